package nats

import "sync"

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

// see is told of every message before it is returned.
func (g *gapFinder) see(stream uint64) error {
	g.mu.Lock()
	defer g.mu.Unlock()
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
