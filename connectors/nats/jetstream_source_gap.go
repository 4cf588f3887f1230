package nats

import (
	"strconv"
	"sync"
)

// gapFinder finds messages that vanished from the stream before they were read. Where the durable
// reads the whole stream and messages leave it at its head only, every jump of the stream sequence is
// a gap, exactly. Else jumps are normal, and a gap is where the stream's head has overtaken the last
// place the durable has looked at: an upper bound, for other subjects' messages count too.
type gapFinder struct {
	report func(from, to int64) error // whose error says that nothing from behind the gap may be returned

	mu    sync.Mutex
	exact bool
	next  uint64 // the next stream sequence to be seen or reported; 0: unknown
}

// begin sets where reading begins.
func (g *gapFinder) begin(next uint64, exact bool, report func(from, to int64) error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.next, g.exact, g.report = next, exact, report
}

// see is told of every message before it is returned, by one who holds mu.
func (g *gapFinder) see(stream uint64) error {
	from := g.next
	if stream < from || from == 0 {
		return nil
	}
	if g.exact && stream > from {
		if err := g.report(int64(from), int64(stream)); err != nil {
			return err
		}
	}
	g.next = stream + 1
	return nil
}

// examined is told how far the durable has looked and where the stream begins.
func (g *gapFinder) examined(last, first uint64) error {
	g.skip(last + 1)
	return g.head(first)
}

// skip says that nothing before next is missed.
func (g *gapFinder) skip(next uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.next > 0 {
		g.next = max(g.next, next)
	}
}

// head is told where the stream begins.
func (g *gapFinder) head(first uint64) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	from := g.next
	if from == 0 || first <= from {
		return nil
	}
	if err := g.report(int64(from), int64(first)); err != nil {
		return err
	}
	g.next = first
	return nil
}

// before returns the last sequence before what is still to be seen or reported; ok is false while unknown.
func (g *gapFinder) before() (last uint64, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.next - 1, g.next > 0
}

// beginGaps looks for messages that vanished from expect on. Streams whose messages vanish by their
// nature have no gaps: consumed ones, and older ones of a subject.
func (s *jetStreamSource) beginGaps(expect uint64, stream *streamInfo, info *consumerInfo) error {
	if stream.Config.Retention != "limits" || stream.Config.MaxMsgsPerSubject > 0 {
		expect = 0
	}
	s.gaps.begin(expect, len(info.config.filters()) == 0 && !stream.sparse(), s.reportGap)
	if err := s.gaps.head(stream.State.FirstSeq); err != nil {
		return err
	}
	s.gaps.skip(info.AckFloor.Stream + 1)
	return nil
}

// expected is the stream sequence that a new reader of the durable is to see first.
func (s *jetStreamSource) expected(info *consumerInfo) uint64 {
	if n, err := strconv.ParseUint(info.config.Metadata[positionKey], 10, 63); err == nil {
		return n + 1
	}
	if info.NumAckPending == 0 {
		return max(info.AckFloor.Stream, info.Delivered.Stream) + 1
	}
	return info.AckFloor.Stream + 1
}

// tellPurge tells where a purge may have taken unread messages and nobody can know: it takes the durable along,
// and the last owner left no position when it ended.
func (s *jetStreamSource) tellPurge(stream *streamInfo, info *consumerInfo) {
	_, left := info.config.Metadata[positionKey]
	first := stream.State.FirstSeq
	if left || info.owner().inbox == "" || first < 2 || stream.Config.Retention != "limits" ||
		info.AckFloor.Stream+1 != first || info.Delivered.Stream+1 != first {
		return
	}
	s.env.Logger.Warn().Uint64("first", first).
		Msgf("the last reader of %s was killed, and the stream begins where the durable stands: what was purged unread since, if anything, is not known", s.place())
}
