package bridge

import (
	"bytes"
	"context"
	"slices"

	"github.com/sluice-bridge/sluice/connectors"
)

// sinkView is what a sink holds of a source's partitions, as seen backwards from its end.
//
// Where a route was killed that ends raggedly: what was in flight need not have been taken in order of the
// source, and a Kafka sink spreads one partition over many. But what a run has fetched of a partition behind a
// message that the sink does not hold is all uncommitted, and that is bounded. So if more messages of it are
// in the sink behind some place, everything before that place is there.
type sinkView struct {
	open int64 // messages that a run may have fetched and not committed
	tail tail
	seen map[string]*seenAtOrigin // by origin; those that are looked for
}

// seenAtOrigin is what the sink holds of one partition of the source.
type seenAtOrigin struct {
	last    int64         // the highest offset, -1: none
	value   []byte        // of that message
	offsets []int64       // ascending once a look has returned
	settled int64         // everything before it is in the sink; -1: unknown
	lowest  map[int]int64 // in each partition of the sink that has shown some
}

func newSinkView(open int64) *sinkView {
	return &sinkView{open: open, seen: map[string]*seenAtOrigin{}}
}

// expect names a partition to be looked for.
func (v *sinkView) expect(origin string) *seenAtOrigin {
	s := &seenAtOrigin{last: -1, settled: -1, lowest: map[int]int64{}}
	v.seen[origin] = s
	return s
}

// look looks back until something of each partition that was expected has been seen, or with settled until
// it is known what is settled of it; or until there is nothing left.
func (v *sinkView) look(ctx context.Context, sink connectors.Log, settled bool) error {
	if err := v.tail.begin(ctx, sink); err != nil {
		return err
	}
	for v.tail.left() > 0 && !v.enough(settled) {
		err := v.tail.back(ctx, sink, v.see)
		if err != nil {
			return err
		}
		for _, s := range v.seen {
			s.settle(v.open)
		}
	}
	return nil
}

func (v *sinkView) enough(settled bool) bool {
	for _, s := range v.seen {
		if settled && !s.whole(&v.tail) || s.last < 0 {
			return false
		}
	}
	return true
}

func (v *sinkView) see(part int, m *connectors.Message) {
	o, ok := originOf(m)
	if !ok {
		return
	}
	s := v.seen[string(o.Partition)]
	if s == nil {
		return
	}
	if o.Offset > s.last {
		s.last, s.value = o.Offset, bytes.Clone(m.Value)
	}
	s.offsets = append(s.offsets, o.Offset)
	if low, ok := s.lowest[part]; !ok || o.Offset < low {
		s.lowest[part] = o.Offset
	}
}

// settle finds the place behind which more messages are in the sink than can be open.
func (s *seenAtOrigin) settle(open int64) {
	slices.Sort(s.offsets)
	s.offsets = slices.Compact(s.offsets)
	if n := int64(len(s.offsets)); n > open {
		s.settled = s.offsets[n-open-1]
	}
}

// whole reports whether all that the sink holds from the settled place on was seen.
func (s *seenAtOrigin) whole(t *tail) bool {
	if s.settled < 0 {
		return false
	}
	for part, low := range s.lowest {
		if low > s.settled && t.parts[part].end > t.parts[part].first {
			return false
		}
	}
	return true
}
