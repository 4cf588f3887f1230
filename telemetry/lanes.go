package telemetry

import (
	"time"

	"github.com/sluice-bridge/sluice/flowcontrol"
)

// lanes follows the partitions of a route that are paused because their lane is full: each is an episode of its
// own, whatever the route as a whole is doing.
type lanes struct {
	route   *tracker            // keeps the spans that have ended
	paused  map[string]*tracker // by partition
	present map[string]bool     // of a poll
}

func newLanes(route *tracker) *lanes {
	return &lanes{route: route, paused: map[string]*tracker{}, present: map[string]bool{}}
}

// observe brings the episodes up to the status.
func (l *lanes) observe(now time.Time, s *RouteStatus) {
	clear(l.present)
	for i := range s.InFlight {
		lane := &s.InFlight[i]
		if !lane.Paused {
			continue
		}
		l.present[lane.Partition] = true
		t := l.paused[lane.Partition]
		if t == nil {
			t = l.begin(lane.Partition)
		}
		t.seen = *lane
		t.observe(now, t.status(s, now, false))
	}
	for name, t := range l.paused {
		if !l.present[name] {
			t.observe(now, t.status(s, now, true))
			delete(l.paused, name)
		}
	}
}

func (l *lanes) begin(partition string) *tracker {
	t := newTracker(l.route.tracer, l.route.route, func(*mark) {}, l.route.ended)
	t.home = l.route
	l.paused[partition] = t
	return t
}

// stop ends the episodes that go on.
func (l *lanes) stop(now time.Time, s *RouteStatus, outcome string) {
	for _, t := range l.paused {
		t.stop(now, t.status(s, now, false), outcome)
	}
}

// going returns the spans of those that go on.
func (l *lanes) going() (all []StallStatus) {
	for _, t := range l.paused {
		if t.current != nil && t.current.span != nil {
			all = append(all, t.stall(time.Time{}))
		}
	}
	return all
}

// status is that of a route which is held back as the lane is.
func (t *tracker) status(s *RouteStatus, now time.Time, over bool) *RouteStatus {
	lane := t.seen
	waited := max(0, now.Sub(lane.PausedSince))
	e := flowcontrol.Episode{Seq: 1, Begin: lane.PausedSince, Waits: 1, Waited: waited, Longest: waited, Cause: flowcontrol.CauseLane}
	if lane.Oldest.Before(lane.PausedSince) { // nothing of it was acknowledged since
		e.Stalled = waited
	}
	one := *s
	one.Cause, one.Blocker, one.Holder = flowcontrol.CauseLane, lane.Blocker, ""
	one.InFlight = []LaneStatus{lane}
	one.Clock.Current, one.Clock.Last = e, flowcontrol.Episode{}
	if over {
		e.End = now
		one.Clock.Current, one.Clock.Last = flowcontrol.Episode{}, e
	}
	return &one
}
