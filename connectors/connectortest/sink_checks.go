package connectortest

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
)

func checkSinkOrder(r *sinkRun) {
	const n = 300
	r.open()
	for first := 0; first < n; first += 30 {
		r.write(r.batches(0, letters(0, first, 30, 64), 1+first/30))
	}
	r.arrived(1, n, false)
	if r.spec.Remote && !connected(r.host) {
		r.Errorf("a remote sink wrote and never reported Connected")
	}
}

// checkSinkLanes: lanes write at once, each in its order.
func checkSinkLanes(r *sinkRun) {
	const lanes, n = 4, 200
	r.open()
	r.eachLane(lanes, func(lane int) {
		for first := 0; first < n; first += 20 {
			r.write(r.batches(lane, letters(lane, first, 20, 64), 7))
		}
	})
	r.arrived(lanes, n, false)
}

// eachLane runs do for each lane at once. A Fatalf in one ends that lane; the check ends after all.
func (r *sinkRun) eachLane(lanes int, do func(lane int)) {
	r.Helper()
	var all sync.WaitGroup
	for lane := range lanes {
		all.Go(func() { do(lane) })
	}
	all.Wait()
	if r.Failed() {
		r.FailNow()
	}
}

func checkSinkFields(r *sinkRun) {
	r.open()
	want := oddities(r.h.Lacks)
	r.write(r.batches(0, want, 3))
	got := r.down.Read(r, len(want))
	if len(got) != len(want) {
		r.Fatalf("%d messages arrived, %d were written", len(got), len(want))
	}
	// Keys differ, so that a sink that spreads by key may keep these apart: each is looked for.
	for i := range want {
		closest := ""
		for j := range got {
			d := difference(r.h.Lacks, &want[i], &got[j])
			if d == "" {
				closest = ""
				got = append(got[:j], got[j+1:]...)
				break
			}
			if closest == "" || j == i {
				closest = d
			}
		}
		if closest != "" {
			r.Fatalf("message %d did not arrive as it was: %s", i, closest)
		}
	}
}

// checkSinkLarge: one Write of many batches, one of them of large messages.
func checkSinkLarge(r *sinkRun) {
	const n = 3000
	r.open()
	messages := letters(0, 0, n, 100)
	copy(messages[n/2:], letters(0, n/2, 20, 50_000))
	r.write(r.batches(0, messages, 250))
	r.arrived(1, n, false)
}

// checkSinkKept: the memory of messages is overwritten as soon as Write has returned, whatever it
// returned, and what arrives is still what was written.
func checkSinkKept(r *sinkRun) {
	const n = 400
	r.open()
	random := rand.New(rand.NewPCG(5, 6))
	for first := 0; first < n; first += 20 {
		ctx, cancel := context.WithTimeout(r.ctx, time.Duration(random.IntN(1500))*time.Microsecond)
		batches := r.batches(0, letters(0, first, 20, 2000), 6)
		err := r.call(ctx, batches)
		cancel()
		overwrite(batches)
		if err != nil {
			batches = r.batches(0, letters(0, first, 20, 2000), 6)
			r.write(batches)
			overwrite(batches)
		}
	}
	r.arrived(1, n, true)
}

func overwrite(batches []*connectors.Batch) {
	for _, b := range batches {
		for i := range b.Messages {
			m := &b.Messages[i]
			fill(m.Key)
			fill(m.Value)
			for j := range m.Headers {
				fill(m.Headers[j].Value)
			}
			clear(m.Headers)
		}
		clear(b.Messages)
	}
}

func fill(b []byte) {
	for i := range b {
		b[i] = scribble
	}
}

// checkSinkInterrupted: a Write whose context ends returns; what it did not acknowledge is written
// again, in order, and nothing is lost.
func checkSinkInterrupted(r *sinkRun) {
	const lanes, n = 3, 120
	r.open()
	r.eachLane(lanes, func(lane int) {
		random := rand.New(rand.NewPCG(7, uint64(lane)))
		for first := 0; first < n; first += 10 {
			r.writeInterrupted(r.batches(lane, letters(lane, first, 10, 200), 4), random)
		}
	})
	r.arrived(lanes, n, true)
}

// writeInterrupted interrupts the first attempts; the very first comes with a context that has ended.
func (r *sinkRun) writeInterrupted(batches []*connectors.Batch, random *rand.Rand) {
	r.Helper()
	for attempt := range 3 {
		ctx, cancel := context.WithCancel(r.ctx)
		timer := time.AfterFunc(time.Duration(random.IntN(1000)*attempt)*time.Microsecond, cancel)
		if attempt == 0 {
			cancel()
		}
		err := r.call(ctx, batches)
		timer.Stop()
		cancel()
		var partial *connectors.BatchError
		switch {
		case err == nil:
			return
		case errors.As(err, &partial):
			batches = only(batches, partial)
		}
	}
	r.write(batches)
}

// checkSinkOversize: what downstream can never take is refused for good, and only that.
func checkSinkOversize(r *sinkRun) {
	if r.down.Oversize == 0 {
		r.Skip("downstream takes any size")
	}
	const n, large = 6, 2
	r.open()
	messages := letters(0, 0, n, 64)
	messages[large] = connectors.Message{Key: messages[0].Key, Value: make([]byte, r.down.Oversize)}
	batches := r.batches(0, messages, 4)
	var refused bool
	for len(batches) > 0 {
		err := r.call(r.ctx, batches)
		var partial *connectors.BatchError
		switch {
		case err == nil:
			batches = nil
		case r.ctx.Err() != nil:
			r.Fatalf("Write: %v", err)
		case errors.As(err, &partial):
			batches = r.afterRefusal(batches, partial, &refused)
		default:
			pause(r.ctx)
		}
	}
	if !refused {
		r.Fatalf("a message of %d bytes was acknowledged", r.down.Oversize)
	}
	got := r.down.Read(r, n-1)
	for i, m := range got {
		want := i
		if i >= large {
			want++
		}
		if lane, number, ok := parseLetter(m.Value); !ok || lane != 0 || number != want {
			r.Fatalf("message %d that arrived is %s, want letter %d", i, show(m.Value), want)
		}
	}
	if len(got) != n-1 {
		r.Fatalf("%d messages arrived, want %d", len(got), n-1)
	}
}

// afterRefusal takes the refused message out and returns what is to be tried again.
func (r *sinkRun) afterRefusal(batches []*connectors.Batch, e *connectors.BatchError, refused *bool) []*connectors.Batch {
	r.Helper()
	failed := only(batches, e)
	var permanent connectors.BatchError
	for i, f := range e.Failed {
		if connectors.IsPermanent(f.Err) {
			permanent.Failed = append(permanent.Failed, connectors.Failure{Index: i})
		}
	}
	for _, b := range only(failed, &permanent) {
		for _, m := range b.Messages {
			if len(m.Value) != r.down.Oversize {
				r.Fatalf("%s was refused beside an oversize message: %v", show(m.Value), e)
			}
			*refused = true
		}
	}
	return without(failed, &permanent)
}

// checkSinkClose: a sink may be closed at once and after a Write that was interrupted.
func checkSinkClose(r *sinkRun) {
	r.open()
	r.close()
	r.open()
	ctx, cancel := context.WithTimeout(r.ctx, time.Millisecond)
	defer cancel()
	_ = r.call(ctx, r.batches(0, letters(0, 0, 500, 500), 50))
	r.close()
}
