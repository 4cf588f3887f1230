package connectortest

import (
	"context"
	"sync"

	"github.com/sluice-bridge/sluice/connectors"
)

// checkSourceCommit: what was committed does not come again; commits and fetches run side by side; a
// commit whose context has ended returns and can be made again.
func checkSourceCommit(r *sourceRun) {
	const n = 300
	r.begin(func() { r.putLetters(0, n, 64) })
	e := r.expect(0, n)
	settled := make(chan *connectors.Batch, n*r.up.Partitions)
	var committer sync.WaitGroup
	committer.Go(func() {
		var done []*connectors.Batch
		for b := range settled {
			r.giveBack(b)
			done = append(done[:0], b)
			for drained := false; !drained; {
				select {
				case b, ok := <-settled:
					if drained = !ok; ok {
						r.giveBack(b)
						done = append(done, b)
					}
				default:
					drained = true
				}
			}
			r.commitUntil(done)
		}
	})
	for e.left > 0 {
		b := r.fetch(connectors.Room{Messages: 16, Bytes: 1 << 20})
		e.take(b)
		settled <- b
	}
	close(settled)
	committer.Wait()
	if r.Failed() || r.h.Lacks.has(Redelivery) {
		return
	}
	r.close()
	r.putLetters(n, 10, 64)
	r.open()
	r.expect(n, 10).fetchAll(wideRoom())
}

// commitUntil commits batches that are given back already, first with a context that has ended. It
// may run in a goroutine of its own.
func (r *sourceRun) commitUntil(done []*connectors.Batch) {
	over, cancel := context.WithCancel(r.ctx)
	cancel()
	err := insideCommit(over, r.source, done)
	for err != nil && r.ctx.Err() == nil {
		if err = insideCommit(r.ctx, r.source, done); err != nil {
			if connectors.IsPermanent(err) {
				break
			}
			pause(r.ctx)
		}
	}
	if err != nil {
		r.Errorf("Commit: %v", err)
	}
}

// checkSourceRedelivery: after a kill everything that was not committed comes again, in order, and
// nothing that was.
func checkSourceRedelivery(r *sourceRun) {
	if r.h.Lacks.has(Redelivery) {
		r.Skip("the source cannot deliver again")
	}
	const n = 120
	r.begin(func() { r.putLetters(0, n, 64) })
	e := r.expect(0, n)
	committed := make([]int, r.up.Partitions)
	left := n * r.up.Partitions
	for turn := 0; e.left > n*r.up.Partitions/4; turn++ {
		b := r.fetch(connectors.Room{Messages: 10, Bytes: 1 << 20})
		e.take(b)
		if lane, number, _ := parseLetter(b.Messages[len(b.Messages)-1].Value); turn < 3*r.up.Partitions {
			committed[lane] = number + 1
			left -= len(b.Messages)
			r.commit(b)
		}
	}
	r.close()
	r.open()
	again := &expectation{r: r, next: committed, left: left}
	again.fetchAll(wideRoom())
}

// checkSourceClose: a source may be closed at once, with work outstanding, and after an interrupted
// Fetch; nothing of it stays.
func checkSourceClose(r *sourceRun) {
	r.open()
	r.close()
	r.begin(func() { r.putLetters(0, 50, 64) })
	held := r.fetch(connectors.Room{Messages: 5, Bytes: 1 << 20})
	over, cancel := context.WithCancel(r.ctx)
	cancel()
	_, _ = r.call(over, wideRoom())
	r.close()
	if lane, _, ok := parseLetter(held.Messages[0].Value); !ok || lane >= r.up.Partitions {
		r.Errorf("what is held was altered by Close: %s", show(held.Messages[0].Value))
	}
}
