package bridge

import (
	"errors"
	"testing"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/flowcontrol"
	"github.com/sluice-bridge/sluice/telemetry"
)

// Only what the sink asks for is put down to the sink, for as long as it asked.
func TestThrottledIsTheSinks(t *testing.T) {
	h := &health{clock: flowcontrol.NewClock(flowcontrol.Disconnected, time.Now())}
	h.opened(true, true)
	for _, end := range []*endHealth{&h.source, &h.sink} {
		h.report(end, connectors.Event{Kind: connectors.Connected})
	}
	h.report(&h.source, connectors.Event{Kind: connectors.Throttled, Wait: time.Minute})
	if h.read(time.Now()).throttled {
		t.Error("a source that is asked to slow down is taken for a sink")
	}
	h.report(&h.sink, connectors.Event{Kind: connectors.Throttled, Wait: time.Minute})
	h.report(&h.sink, connectors.Event{Kind: connectors.Throttled, Wait: time.Second})
	h.sinkWorked()
	if now := time.Now(); !h.read(now.Add(50*time.Second)).throttled || h.read(now.Add(2*time.Minute)).throttled {
		t.Error("a sink has asked for a minute, whatever it acknowledges meanwhile")
	}
}

// A Write that brings nothing to an end is no acknowledgement: the sink is as little well as before.
func TestRefusalIsNoProgress(t *testing.T) {
	r := &Route{clock: flowcontrol.NewClock(flowcontrol.Flowing, time.Now())}
	r.health.clock = r.clock
	r.health.opened(true, true)
	r.health.report(&r.health.sink, connectors.Event{Kind: connectors.Retrying, Err: errors.New("full")})
	batch := &connectors.Batch{Messages: make([]connectors.Message, 2)}
	n := &run{route: r}
	w := &writer{run: n, p: n.bare("a"), batches: []*connectors.Batch{batch}, flights: []*flight{{batch: batch, left: 2}}}
	full := connectors.Failure{Err: errors.New("full")}
	retryable, reject := w.settle(&connectors.BatchError{Failed: []connectors.Failure{full, {Index: 1, Err: full.Err}}}, time.Now())
	if retryable == nil || reject != nil || len(w.batches) != 1 {
		t.Fatalf("settle: %v, %v, %d batches left", retryable, reject, len(w.batches))
	}
	if v := r.health.read(time.Now()); !v.sinkFailing || w.p.acked.Load() != 0 {
		t.Errorf("taken for an acknowledgement: failing %v, acknowledged at %d", v.sinkFailing, w.p.acked.Load())
	}
}

// bare is a partition without a writer.
func (n *run) bare(name string) *partition {
	p := &partition{name: name, lane: flowcontrol.NewLane[*flight](), changed: make(chan struct{}, 1)}
	if n.partitions == nil {
		n.partitions = map[string]*partition{}
	}
	n.partitions[name] = p
	return p
}

// Where all lanes are refused there is none to protect: no partition is paused, and the window fills.
func TestAllRefusedIsNotStuck(t *testing.T) {
	r := &Route{clock: flowcontrol.NewClock(flowcontrol.Flowing, time.Now())}
	r.health.clock = r.clock
	r.health.opened(false, false)
	n := &run{route: r}
	a, b := n.bare("a"), n.bare("b")
	a.enter(flowcontrol.BlockerRetry)
	if now := time.Now(); !n.stuck(a, now) {
		t.Error("a refused lane beside a sound one is not stuck")
	}
	b.enter(flowcontrol.BlockerDeadLetter)
	if now := time.Now(); n.stuck(a, now) || n.stuck(b, now) {
		t.Error("lanes are stuck although all are refused")
	}
}

// What is not committed is put down to the commit only where most of it is acknowledged.
func TestUncommittedBlocker(t *testing.T) {
	for _, c := range []struct {
		inFlight, open int64
		want           flowcontrol.Blocker
	}{{10, 400, flowcontrol.BlockerCommit}, {390, 400, flowcontrol.BlockerRetry}} {
		r := &Route{clock: flowcontrol.NewClock(flowcontrol.Flowing, time.Now())}
		r.health.clock = r.clock
		r.health.opened(false, false)
		window, err := flowcontrol.NewWindow(flowcontrol.Cost{Messages: 1000, Bytes: 1000})
		if err != nil {
			t.Fatal(err)
		}
		n := &run{route: r, window: window}
		p := n.bare("a")
		p.enter(flowcontrol.BlockerRetry)
		p.lane.Push(nil, c.inFlight)
		n.window.Add(flowcontrol.Cost{Messages: c.inFlight})
		n.open.Store(c.open)
		s := telemetry.RouteStatus{Cause: flowcontrol.CauseUncommitted}
		n.fillStatus(&s, r.health.read(time.Now()))
		if s.Blocker != c.want {
			t.Errorf("%d in flight of %d not committed: %v, want %v", c.inFlight, c.open, s.Blocker, c.want)
		}
	}
}
