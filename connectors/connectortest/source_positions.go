package connectortest

import (
	"context"

	"github.com/sluice-bridge/sluice/connectors"
)

// withPositions runs a check that needs the source's Positions; it is skipped where there are none.
func withPositions(check func(*sourceRun, connectors.Positions)) func(*sourceRun) {
	return func(r *sourceRun) {
		p := r.positions()
		closed := false
		defer func() {
			if !closed {
				r.h.abandon(p)
			}
		}()
		check(r, p)
		closed = true
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), r.h.Grace)
		defer cancel()
		if err := within(ctx, r, r.h.Grace, "Close", func() error { return p.Close(ctx) }); err != nil {
			r.Errorf("Close of the positions: %v", err)
		}
	}
}

func (r *sourceRun) positions() connectors.Positions {
	r.Helper()
	spec := r.up.Spec(r)
	if spec.Positions == nil {
		r.Skip("the source has no Positions")
	}
	p, err := spec.Positions(r.ctx, r.h.environment(r, NewHost()))
	if err != nil {
		r.Fatalf("Positions: %v", err)
	}
	return p
}

// committed returns what upstream has, by partition.
func (r *sourceRun) committed(p connectors.Positions) map[string]connectors.Position {
	r.Helper()
	all, err := p.Committed(r.ctx)
	if err != nil {
		r.Fatalf("Committed: %v", err)
	}
	if len(all) != r.up.Partitions {
		r.Fatalf("Committed tells of %d partitions, there are %d", len(all), r.up.Partitions)
	}
	by := map[string]connectors.Position{}
	for i, at := range all {
		if i > 0 && at.Partition <= all[i-1].Partition {
			r.Errorf("Committed is not in the order of names: %q follows %q", at.Partition, all[i-1].Partition)
		}
		by[at.Partition] = at
	}
	return by
}

// checkSourceCommitted: what a source has committed is seen while it reads, and cannot be set then.
func checkSourceCommitted(r *sourceRun, positions connectors.Positions) {
	const n = 50
	r.putLetters(0, n, 64)
	for name, at := range r.committed(positions) {
		if at.Known {
			r.Errorf("%s: nothing was committed, and the position is %d", name, at.Next)
		}
	}
	r.open()
	e := r.expect(0, n)
	first, next, origins := map[string]int64{}, map[string]int64{}, map[string]string{}
	for e.left > 0 {
		b := r.fetch(wideRoom())
		e.take(b)
		if _, known := first[b.Partition]; !known {
			first[b.Partition] = b.Messages[0].Offset
		}
		next[b.Partition], origins[b.Partition] = b.Next, b.Origin
		r.commit(b)
	}
	seen := func() {
		r.Helper()
		for name, at := range r.committed(positions) {
			if !at.Known || at.Next != next[name] || at.Origin != origins[name] {
				r.Errorf("%s of %q: position %d, known %v; want %d of %q", name, at.Origin, at.Next, at.Known, next[name], origins[name])
			}
		}
	}
	seen()
	if err := positions.Set(r.ctx, first); err == nil {
		r.Errorf("Set was done while a source reads")
	}
	seen()
	r.putLetters(n, 5, 64)
	r.expect(n, 5).fetchAll(wideRoom())
}

// checkSourceSet: a source goes on where the position was set to, backward, forward, or without one before.
func checkSourceSet(r *sourceRun, positions connectors.Positions) {
	const n = 40
	r.putLetters(0, n, 64)
	// Where each letter is has to be learned first, from a source that commits nothing.
	r.open()
	offsets := map[string][]int64{}
	for e := r.expect(0, n); e.left > 0; {
		b := r.fetch(wideRoom())
		e.take(b)
		for i := range b.Messages {
			offsets[b.Partition] = append(offsets[b.Partition], b.Messages[i].Offset)
		}
	}
	r.close()
	if err := positions.Set(r.ctx, map[string]int64{"no such partition": 1}); err == nil {
		r.Errorf("Set accepts a partition that does not exist")
	}
	for _, letter := range []int{20, 3, n - 2, 0} {
		next := map[string]int64{}
		for name, all := range offsets {
			next[name] = all[letter]
		}
		if err := positions.Set(r.ctx, next); err != nil {
			r.Fatalf("Set to letter %d: %v", letter, err)
		}
		for name, at := range r.committed(positions) {
			if !at.Known || at.Next != next[name] {
				r.Errorf("%s was set to %d; the position is %d, known %v", name, next[name], at.Next, at.Known)
			}
		}
		r.open()
		r.expect(letter, n-letter).fetchAll(wideRoom())
		if gaps := r.host.Gaps(); len(gaps) > 0 {
			r.Errorf("after Set to letter %d there are gaps %v", letter, gaps)
		}
		r.close()
	}
}
