package bridge

import (
	"slices"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/flowcontrol"
	"github.com/sluice-bridge/sluice/telemetry"
)

// sizerFor returns the sizer of a route beside others, nil where its window is not adaptive. Routes whose sinks
// write to one place share one: each by itself would take more in flight for more of the sink.
func sizerFor(rc *RouteConfig, others []*Route) *flowcontrol.Sizer {
	if !rc.Adaptive || rc.Sink == nil {
		return nil
	}
	for _, o := range others {
		if o.sizer != nil && slices.ContainsFunc(o.cfg.Sink.Places, func(place string) bool { return slices.Contains(rc.Sink.Places, place) }) {
			return o.sizer
		}
	}
	return new(flowcontrol.Sizer)
}

func (n *run) joinSizer() {
	if n.route.sizer == nil {
		return
	}
	n.share = n.route.sizer.Join(n.window, time.Now())
	n.route.share.Store(n.share)
}

// leave gives back what the run has in common with others. Everything of it has ended.
func (n *run) leave() {
	n.part.Leave()
	if n.share == nil {
		return
	}
	n.route.share.Store(nil)
	n.share.Leave(time.Now())
	n.route.clock.Expect(flowcontrol.StallAfter, time.Now())
}

// sized tells the sizer what a Write has acknowledged: so many messages, which were in flight for
// residence together.
func (n *run) sized(now time.Time, messages int, residence time.Duration) {
	if n.share == nil || messages == 0 {
		return
	}
	n.route.clock.Expect(n.share.Acknowledged(now, messages, residence/time.Duration(messages)), now)
}

// holdStuck keeps the window open for the lanes that move, whatever the stuck ones hold.
func (n *run) holdStuck(now time.Time) {
	if n.share == nil {
		return
	}
	var held int64
	for _, p := range n.snapshot() {
		if n.stuck(p, now) {
			held += p.lane.Held()
		}
	}
	n.share.Hold(held)
}

// noteSink tells the sizer what a sink reports of itself.
func noteSink(share *flowcontrol.Share, ev connectors.Event) {
	switch ev.Kind {
	case connectors.Throttled:
		share.Throttled(time.Now())
	case connectors.Connected:
		share.Reconnected(time.Now())
	}
}

// fillSize adds the limit that holds now, and what the sizer has found.
func (n *run) fillSize(w *telemetry.WindowStatus) {
	if n.share == nil {
		return
	}
	found := n.share.Advice()
	w.Adaptive, w.MessagesNow, w.MessagesAsked = true, n.window.Limit().Messages, found.Asked
	w.InFlightSeconds, w.RoundTripSeconds = found.Residence.Seconds(), found.Least.Seconds()
}
