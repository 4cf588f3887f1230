package connectortest

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
)

// expectation is what a partition still has to bring.
type expectation struct {
	r    *sourceRun
	next []int // by partition: the number of the letter that comes next
	left int
}

// expect puts n letters in each partition and expects them from the first on.
func (r *sourceRun) putLetters(first, n, size int) {
	for p := range r.up.Partitions {
		r.up.Put(r, p, letters(p, first, n, size)...)
	}
}

func (r *sourceRun) expect(first, n int) *expectation {
	e := &expectation{r: r, next: make([]int, r.up.Partitions), left: n * r.up.Partitions}
	for p := range e.next {
		e.next[p] = first
	}
	return e
}

// take checks that a batch brings what comes next in its partition, whole.
func (e *expectation) take(b *connectors.Batch) {
	e.r.Helper()
	for i := range b.Messages {
		m := &b.Messages[i]
		lane, number, ok := parseLetter(m.Value)
		if !ok || lane >= len(e.next) {
			e.r.Fatalf("%s at %d: %s is none of what was put", b.Partition, m.Offset, show(m.Value))
		}
		if name, known := e.r.names[lane]; known && name != b.Partition {
			e.r.Fatalf("partition %d is called %q and %q", lane, name, b.Partition)
		}
		e.r.names[lane] = b.Partition
		if number != e.next[lane] && !e.r.h.Lacks.has(Order) {
			e.r.Fatalf("%s: letter %d came, %d was next", b.Partition, number, e.next[lane])
		}
		if d := difference(e.r.h.Lacks, &letters(lane, number, 1, len(m.Value))[0], m); d != "" {
			e.r.Fatalf("%s letter %d: %s", b.Partition, number, d)
		}
		e.next[lane]++
		e.left--
	}
}

// fetchAll fetches what is left and commits it batch by batch.
func (e *expectation) fetchAll(room connectors.Room) {
	e.r.Helper()
	for e.left > 0 {
		b := e.r.fetch(room)
		e.take(b)
		e.r.commit(b)
	}
	if e.left < 0 {
		e.r.Errorf("%d messages came more often than once", -e.left)
	}
}

func checkSourceOrder(r *sourceRun) {
	const n = 500
	r.begin(func() { r.putLetters(0, n, 64) })
	r.expect(0, n).fetchAll(connectors.Room{Messages: 64, Bytes: 1 << 20})
	if r.spec.Remote && !connected(r.host) {
		r.Errorf("a remote source fetched and never reported Connected")
	}
}

func checkSourceFields(r *sourceRun) {
	want := oddities(r.h.Lacks)
	r.begin(func() { r.up.Put(r, 0, want...) })
	for len(want) > 0 {
		b := r.fetch(wideRoom())
		if len(b.Messages) > len(want) {
			r.Fatalf("%d messages came, %d were left", len(b.Messages), len(want))
		}
		for i := range b.Messages {
			if d := difference(r.h.Lacks, &want[i], &b.Messages[i]); d != "" {
				r.Errorf("message %d: %s", b.Messages[i].Offset, d)
			}
		}
		want = want[len(b.Messages):]
		r.commit(b)
	}
}

func checkSourceRoom(r *sourceRun) {
	const n = 200
	r.begin(func() { r.putLetters(0, n, 300) })
	e := r.expect(0, n)
	random := rand.New(rand.NewPCG(1, 2))
	for e.left > 0 {
		b := r.fetch(connectors.Room{Messages: 1 + random.IntN(9), Bytes: 1 << (10 + random.IntN(4))})
		e.take(b)
		r.commit(b)
	}
}

// checkSourceOversize: a message larger than the room passes alone, or when there is room for it.
func checkSourceOversize(r *sourceRun) {
	const large, small = 200 << 10, 4 << 10
	sizes := []int{100, large, 100, large, 100}
	r.begin(func() {
		for i, size := range sizes {
			r.up.Put(r, 0, letters(0, i, 1, size)...)
		}
	})
	e := &expectation{r: r, next: make([]int, r.up.Partitions), left: len(sizes)}
	alone := true
	for e.left > 0 {
		room := connectors.Room{Messages: 100, Bytes: small}
		b, err := r.call(r.ctx, room)
		var noRoom *connectors.NoRoomError
		switch {
		case errors.As(err, &noRoom):
			if noRoom.Need <= small {
				r.Fatalf("NoRoomError needs %d, and %d was given", noRoom.Need, small)
			}
			if room.Alone = alone; !alone {
				room.Bytes = noRoom.Need
			}
			alone = !alone
			if b, err = r.call(r.ctx, room); errors.As(err, &noRoom) {
				r.Fatalf("Fetch with the room that was asked for (%+v): %v", room, err)
			}
		case errors.Is(err, io.EOF):
			r.Fatalf("the end came before the last message")
		}
		if err != nil {
			pause(r.ctx)
			continue
		}
		e.take(b)
		r.commit(b)
	}
}

// checkSourceInterrupted: whenever a Fetch is interrupted, the next goes on without a hole. Messages
// trickle in, so that many a Fetch waits, or is about to return, when it is interrupted.
func checkSourceInterrupted(r *sourceRun) {
	const n = 300
	step := 6
	if r.up.Ends {
		step = n
	}
	r.begin(func() { r.putLetters(0, step, 64) })
	e := r.expect(0, n)
	var trickle sync.WaitGroup
	defer trickle.Wait()
	trickle.Go(func() {
		for first := step; first < n && r.ctx.Err() == nil; first += step {
			time.Sleep(time.Millisecond)
			r.putLetters(first, step, 64)
		}
	})
	random := rand.New(rand.NewPCG(3, 4))
	for call := 0; e.left > 0; call++ {
		ctx, cancel := context.WithCancel(r.ctx)
		if call%8 != 7 { // the eighth is patient, for a source that needs its time
			timer := time.AfterFunc(time.Duration(random.IntN(2000))*time.Microsecond, cancel)
			defer timer.Stop()
		}
		b, err := r.call(ctx, connectors.Room{Messages: 1 + random.IntN(20), Bytes: 1 << 20})
		ended := ctx.Err() != nil
		cancel()
		switch {
		case err == nil:
			e.take(b)
			r.commit(b)
		case r.ctx.Err() != nil || errors.Is(err, io.EOF):
			r.Fatalf("Fetch: %v, and %d messages are missing", err, e.left)
		case !ended:
			pause(r.ctx)
		}
	}
}

// checkSourceCancelled: with a context that has ended Fetch returns at once, and loses nothing.
func checkSourceCancelled(r *sourceRun) {
	const n = 50
	r.begin(func() { r.putLetters(0, n, 64) })
	e := r.expect(0, n)
	over, cancel := context.WithCancel(r.ctx)
	cancel()
	for e.left > 0 {
		if b, err := r.call(over, wideRoom()); err == nil {
			e.take(b)
			r.commit(b)
			continue
		}
		b := r.fetch(connectors.Room{Messages: 20, Bytes: 1 << 20})
		e.take(b)
		r.commit(b)
	}
}

// checkSourceHeld: a batch's slices stay as they are until it is given back, whatever is fetched.
func checkSourceHeld(r *sourceRun) {
	const n = 200
	r.begin(func() { r.putLetters(0, n, 200) })
	e := r.expect(0, n)
	var held []*connectors.Batch
	var copies [][]connectors.Message
	for e.left > 0 {
		b := r.fetch(connectors.Room{Messages: 16, Bytes: 1 << 20})
		e.take(b)
		c := make([]connectors.Message, len(b.Messages))
		for i := range c {
			c[i] = clone(&b.Messages[i])
		}
		held, copies = append(held, b), append(copies, c)
	}
	for i, b := range held {
		for j := range b.Messages {
			if d := difference(0, &copies[i][j], &b.Messages[j]); d != "" {
				r.Fatalf("%s at %d was altered while it was held: %s", b.Partition, copies[i][j].Offset, d)
			}
		}
		r.giveBack(b) // what is given back must not alter what is still held
	}
	for _, b := range held {
		source := r.source
		if err := within(r.ctx, r, r.h.Grace, "Commit", func() error {
			return insideCommit(r.ctx, source, []*connectors.Batch{b})
		}); err != nil {
			r.Fatalf("Commit: %v", err)
		}
	}
}

// checkSourceEnd: when there is nothing left, Fetch waits, or returns io.EOF again and again.
func checkSourceEnd(r *sourceRun) {
	r.begin(func() { r.putLetters(0, 10, 64) })
	e := r.expect(0, 10)
	e.fetchAll(wideRoom())
	ctx, cancel := context.WithTimeout(r.ctx, 100*time.Millisecond)
	defer cancel()
	b, err := r.call(ctx, wideRoom())
	for err != nil && !errors.Is(err, io.EOF) && ctx.Err() == nil {
		b, err = r.call(ctx, wideRoom())
	}
	if b != nil {
		r.Fatalf("after the last message a batch of %d came", len(b.Messages))
	}
	if !errors.Is(err, io.EOF) {
		var more sync.WaitGroup
		defer more.Wait()
		more.Go(func() { r.putLetters(10, 5, 64) })
		e.left = 5 * r.up.Partitions
		e.fetchAll(wideRoom())
		more.Wait()
	}
	if r.up.End == nil {
		return
	}
	r.up.End(r)
	for range 2 {
		if b, err := r.call(r.ctx, wideRoom()); !errors.Is(err, io.EOF) {
			r.Fatalf("after the end: %v, %v", b, err)
		}
	}
}
