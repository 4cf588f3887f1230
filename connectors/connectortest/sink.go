package connectortest

import (
	"context"
	"errors"
	"testing"

	"go.uber.org/goleak"

	"github.com/sluice-bridge/sluice/connectors"
)

// SinkHarness tells the suite how to reach a sink and what is downstream of it.
type SinkHarness struct {
	// New prepares a downstream that is empty and that no other check uses; t.Cleanup takes it down.
	New func(t testing.TB) Downstream
	Settings
}

// Downstream is one place to write to.
type Downstream struct {
	// Spec returns a checked sink.
	Spec func(t testing.TB) *connectors.SinkSpec
	// Read returns everything that has arrived, without the connector's help, once that is at least n
	// messages. What arrived in one place is in its order. Headers that the sink adds are taken off.
	Read func(t testing.TB, n int) []connectors.Message
	// Subject is the one that the suite's messages have; empty: "suite".
	Subject string

	// The rest is optional; checks that need what is nil are skipped.

	// Break takes the broker away, Mend brings it back with all that it had acknowledged. The test's
	// end may find it broken.
	Break, Mend func(t testing.TB)
	// Oversize is the size of a value that downstream refuses for good; 0: it refuses none.
	Oversize int
}

// Sink runs the suite against a sink.
func Sink(t *testing.T, h SinkHarness) {
	h.setDefaults()
	for _, c := range sinkChecks() {
		t.Run(c.name, func(t *testing.T) { runSinkCheck(t, h, c.run) })
	}
}

type sinkCheck struct {
	name string
	run  func(*sinkRun)
}

func sinkChecks() []sinkCheck {
	return []sinkCheck{
		{"order", checkSinkOrder},
		{"lanes", checkSinkLanes},
		{"fields", checkSinkFields},
		{"large", checkSinkLarge},
		{"kept", checkSinkKept},
		{"interrupted", checkSinkInterrupted},
		{"oversize", checkSinkOversize},
		{"close", checkSinkClose},
		{"outage", checkSinkOutage},
		{"away at start", checkSinkAwayAtStart},
	}
}

// sinkRun is one check under way.
type sinkRun struct {
	testing.TB
	h    SinkHarness
	down Downstream
	ctx  context.Context
	host *Host
	sink connectors.Sink
	spec *connectors.SinkSpec
	// given is a lane whose Writes were given up: what it wrote may have arrived or not. 0: none is.
	given int
}

func runSinkCheck(t testing.TB, h SinkHarness, run func(*sinkRun)) {
	ctx, cancel := context.WithTimeout(t.Context(), h.Timeout)
	defer cancel()
	down := h.New(t)
	if down.Subject == "" {
		down.Subject = "suite"
	}
	before := goleak.IgnoreCurrent()
	r := &sinkRun{TB: t, h: h, down: down, ctx: ctx}
	t.Cleanup(func() {
		if r.sink != nil {
			h.abandon(r.sink)
		}
	})
	run(r)
	if r.sink != nil {
		r.close()
	}
	if t.Failed() {
		return
	}
	h.noLeak(t, before)
}

func (r *sinkRun) open() {
	r.Helper()
	r.host, r.spec = NewHost(), r.down.Spec(r)
	s, err := r.spec.Open(r.ctx, r.h.environment(r, r.host))
	if err != nil {
		r.Fatalf("Open: %v", err)
	}
	r.sink = s
}

func (r *sinkRun) close() {
	r.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), r.h.Grace)
	defer cancel()
	sink := r.sink
	r.sink = nil
	if err := within(ctx, r, r.h.Grace, "Close", func() error { return sink.Close(ctx) }); err != nil {
		r.Errorf("Close: %v", err)
	}
	for _, fault := range r.host.callFaults() {
		r.Errorf("%s: the bridge may wait in it for that call to end", fault)
	}
}

// batches cuts a lane's letters into batches that own their memory, as a source's do.
func (r *sinkRun) batches(lane int, messages []connectors.Message, size int) []*connectors.Batch {
	var all []*connectors.Batch
	for len(messages) > 0 {
		n := min(size, len(messages))
		b := &connectors.Batch{Partition: partitionName(lane), Origin: "suite:here/" + partitionName(lane)}
		for i := range messages[:n] {
			m := clone(&messages[i])
			m.Subject = r.down.Subject
			m.Offset = int64(i)
			if lane, number, ok := parseLetter(m.Value); ok && lane >= 0 {
				m.Offset = int64(number)
			}
			b.Messages = append(b.Messages, m)
			b.Memory += memory(&m)
		}
		b.Next = b.Messages[n-1].Offset + 1
		all = append(all, b)
		messages = messages[n:]
	}
	return all
}

func partitionName(lane int) string { return "suite/" + string(rune('0'+lane)) }

// insideWrite is looked for by name in the stack of Host's callers.
func insideWrite(ctx context.Context, s connectors.Sink, batches []*connectors.Batch) error {
	return s.Write(ctx, batches)
}

// call is one Write whose answer is checked for what holds always.
func (r *sinkRun) call(ctx context.Context, batches []*connectors.Batch) error {
	r.Helper()
	sink := r.sink
	err := within(ctx, r, r.h.Grace, "Write", func() error { return insideWrite(ctx, sink, batches) })
	var partial *connectors.BatchError
	switch {
	case errors.As(err, &partial):
		r.inspect(partial, count(batches))
	case connectors.IsPermanent(err):
		r.Fatalf("Write: permanent error without a cause: %v", err)
	}
	return err
}

// inspect checks the rules of a BatchError. The suite's messages of a lane all go to one place.
func (r *sinkRun) inspect(e *connectors.BatchError, n int) {
	r.Helper()
	if len(e.Failed) == 0 {
		r.Errorf("a BatchError without failures")
	}
	last, failed := -1, 0
	retryable := false
	for _, f := range e.Failed {
		if f.Index <= last || f.Index >= n {
			r.Fatalf("BatchError: index %d follows %d, of %d messages", f.Index, last, n)
		}
		if retryable && f.Index != last+1 {
			r.Errorf("BatchError: message %d is acknowledged behind %d, which is to be tried again", f.Index-1, last)
		}
		if f.Err == nil {
			r.Errorf("BatchError: message %d has no error", f.Index)
		}
		retryable = retryable || !connectors.IsPermanent(f.Err)
		last = f.Index
		failed++
	}
	if retryable && last != n-1 {
		r.Errorf("BatchError: message %d is acknowledged behind %d, which is to be tried again", n-1, last)
	}
}

// write writes as the bridge does: what failed is tried again, alone, until nothing is left.
func (r *sinkRun) write(batches []*connectors.Batch) {
	r.Helper()
	for {
		err := r.call(r.ctx, batches)
		if err == nil {
			return
		}
		if r.ctx.Err() != nil {
			r.Fatalf("Write: %v", err)
		}
		var partial *connectors.BatchError
		if errors.As(err, &partial) {
			for _, f := range partial.Failed {
				if connectors.IsPermanent(f.Err) {
					r.Fatalf("message %d was refused: %v", f.Index, f.Err)
				}
			}
			batches = only(batches, partial)
		}
		pause(r.ctx)
	}
}

// only returns batches with only the messages that failed.
func only(batches []*connectors.Batch, failed *connectors.BatchError) []*connectors.Batch {
	inverse := &connectors.BatchError{}
	next := 0
	for i := range count(batches) {
		if next < len(failed.Failed) && failed.Failed[next].Index == i {
			next++
			continue
		}
		inverse.Failed = append(inverse.Failed, connectors.Failure{Index: i})
	}
	return without(batches, inverse)
}

// arrived reads until each of lanes' n letters is there and checks that they first appeared in order.
// Unless again is set, none may be there twice.
func (r *sinkRun) arrived(lanes, n int, again bool) {
	r.Helper()
	next := make([]int, lanes)
	for want, missing := lanes*n, lanes*n; missing > 0; want++ {
		if r.ctx.Err() != nil {
			r.Fatalf("%d messages were acknowledged and have not arrived", missing)
		}
		clear(next)
		for _, m := range r.down.Read(r, want) {
			lane, number, ok := parseLetter(m.Value)
			switch {
			case ok && r.given > 0 && lane == r.given:
				continue
			case !ok || lane >= lanes || number >= n:
				r.Fatalf("%s arrived, which was never written", show(m.Value))
			case number > next[lane]:
				r.Fatalf("lane %d: letter %d arrived, %d was next", lane, number, next[lane])
			case number < next[lane] && !again:
				r.Fatalf("lane %d: letter %d arrived twice", lane, number)
			}
			if d := difference(r.h.Lacks, &letters(lane, number, 1, len(m.Value))[0], &m); d != "" {
				r.Fatalf("lane %d letter %d: %s", lane, number, d)
			}
			next[lane] = max(next[lane], number+1)
		}
		missing = lanes * n
		for _, got := range next {
			missing -= got
		}
	}
}
