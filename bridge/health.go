package bridge

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/flowcontrol"
	"github.com/sluice-bridge/sluice/telemetry"
)

// health is what a route knows of its two ends. It puts the clock into the state that follows.
type health struct {
	clock *flowcontrol.Clock

	// flowing and writing say that all is well on either side, so that each batch costs one load here.
	flowing, writing atomic.Bool

	mu           sync.Mutex
	source, sink endHealth
	activity     flowcontrol.State // Flowing, Idle or Starved
	standby      string            // the instance that owns the source
	rebalancing  bool
	operated     bool // the operator has something done between two runs
	paused       *telemetry.PauseStatus
	halted       *telemetry.HaltStatus
	commitErr    error
	lookErr      error     // why the sink does not say what it holds, while the source waits for that to begin
	throttled    time.Time // until when the sink asked to wait
	down         time.Time // since when an end is away or the route is halted
}

// endHealth is a source or a sink.
type endHealth struct {
	connected bool
	ever      bool
	err       error // the last failure, until something works again
	failing   bool  // the last call failed
}

func (e *endHealth) worked() { *e = endHealth{connected: true, ever: true} }

func (e *endHealth) lost(err error) { e.connected, e.err = false, err }

// opened is called when a run has opened its ends. An end without a broker is connected then.
func (h *health) opened(remoteSource, remoteSink bool) {
	h.change(func() {
		h.activity = flowcontrol.Idle
		h.source.connected, h.sink.connected = !remoteSource, !remoteSink
		h.source.ever = h.source.ever || !remoteSource
		h.sink.ever = h.sink.ever || !remoteSink
	})
}

// change applies f and shows what follows.
func (h *health) change(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
	now, state := time.Now(), h.state()
	h.flowing.Store(state == flowcontrol.Flowing)
	h.writing.Store(h.sink == (endHealth{connected: true, ever: true}))
	h.clock.Enter(state, now)
	away := !h.source.connected || !h.sink.connected || h.lookErr != nil || h.halted != nil
	switch {
	case away && h.down.IsZero():
		h.down = now
	case !away:
		h.down = time.Time{}
	}
}

// state is called with mu held.
func (h *health) state() flowcontrol.State {
	switch {
	case h.operated:
		return flowcontrol.Paused
	case h.halted != nil:
		return flowcontrol.Halted
	case h.paused != nil:
		return flowcontrol.Paused
	case h.standby != "":
		return flowcontrol.Standby
	case h.rebalancing:
		return flowcontrol.Rebalancing
	case !h.source.connected || h.source.failing || h.lookErr != nil:
		return flowcontrol.Disconnected
	}
	return h.activity
}

// sourceWorked: a Fetch brought something, so the source is connected and owned.
func (h *health) sourceWorked() {
	if h.flowing.Load() {
		return
	}
	h.change(func() {
		h.source.worked()
		h.activity = flowcontrol.Flowing
	})
}

// sinkWorked: the sink has acknowledged something.
func (h *health) sinkWorked() {
	if h.writing.Load() {
		return
	}
	h.change(h.sink.worked)
}

func (h *health) sourceFailed(err error) {
	h.change(func() { h.source.err, h.source.failing = err, true })
}

// waiting: a Fetch that is out has brought nothing for a while; it is not failing.
func (h *health) waiting(lag int64, known bool) {
	activity := flowcontrol.Idle
	if known && lag > 0 {
		activity = flowcontrol.Starved
	}
	h.mu.Lock()
	same := h.activity == activity && !h.source.failing
	h.mu.Unlock()
	if !same {
		h.change(func() { h.activity, h.source.failing = activity, false })
	}
}

func (h *health) sinkConnected() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sink.connected
}

func (h *health) commitFailed(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.commitErr = err
}

// lookFailed: the source waits to begin until the sink says what it holds; nil: it does not any more. It
// reports whether that is new.
func (h *health) lookFailed(err error) bool {
	h.mu.Lock()
	was := h.lookErr
	h.mu.Unlock()
	if was != nil || err != nil {
		h.change(func() { h.lookErr = err })
	}
	return (was == nil) != (err == nil)
}

func (h *health) setHalted(status *telemetry.HaltStatus) { h.change(func() { h.halted = status }) }

func (h *health) setOperated(operated bool) { h.change(func() { h.operated = operated }) }

func (h *health) setPaused(status *telemetry.PauseStatus) { h.change(func() { h.paused = status }) }

// report takes in what a connector reports of one end.
func (h *health) report(end *endHealth, ev connectors.Event) {
	h.change(func() {
		switch ev.Kind {
		case connectors.Connected:
			end.worked()
		case connectors.Disconnected:
			end.lost(ev.Err)
		case connectors.Retrying:
			end.failing, end.err = true, ev.Err
		case connectors.Throttled:
			// However much it acknowledges until then, and whatever another of its brokers asks for.
			if until := time.Now().Add(ev.Wait); end == &h.sink && until.After(h.throttled) {
				h.throttled = until
			}
		case connectors.Rebalancing:
			h.rebalancing = true
		case connectors.Assigned:
			h.rebalancing = false
		case connectors.Standby:
			h.standby = ev.Text
			if h.standby == "" {
				h.standby = "another instance"
			}
		case connectors.Active:
			h.standby = ""
		}
	})
}

// view is a copy of what /status shows.
type view struct {
	sourceConnected, sinkConnected, sinkFailing, throttled, ever bool
	standby, detail                                              string
	halted                                                       *telemetry.HaltStatus
	paused                                                       *telemetry.PauseStatus
	down                                                         time.Time
}

func (h *health) read(now time.Time) view {
	h.mu.Lock()
	defer h.mu.Unlock()
	v := view{
		sourceConnected: h.source.connected, sinkConnected: h.sink.connected, sinkFailing: h.sink.failing,
		throttled: now.Before(h.throttled), ever: h.source.ever && h.sink.ever,
		standby: h.standby, down: h.down, halted: h.halted, paused: h.paused,
	}
	if h.halted != nil {
		v.detail = h.halted.Detail
		return v
	}
	if h.lookErr != nil {
		v.detail = fmt.Sprintf("where the source begins depends on what the sink holds, which cannot be read yet: %v", h.lookErr)
		return v
	}
	for _, err := range []error{h.source.err, h.sink.err, h.commitErr} {
		if err != nil {
			v.detail = err.Error()
			break
		}
	}
	return v
}
