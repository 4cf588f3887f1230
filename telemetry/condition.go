package telemetry

import (
	"time"

	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-bridge/sluice/flowcontrol"
)

// conditionKind is an index into a route's conditions.
type conditionKind uint8

// The conditions, in the order in which those that begin together are told.
const (
	halted conditionKind = iota
	sourceAway
	sinkAway
	stalled
	retrying
	standby
	rebalancing
	paused
)

// condition is something about a route that is told when it begins and when it is over.
type condition struct {
	kind     conditionKind
	level    zerolog.Level
	outage   bool // nothing moves because of it, and it is told again while it lasts
	start    string
	overText string
	// linger is how long it must be gone to be over: a stall with an acknowledgement every two
	// seconds is one stall for people.
	linger  time.Duration
	grace   time.Duration // how long it must last to be told
	ofState bool          // it is a state of the clock, which knows when it began and ended
	silent  bool          // told by whoever brings it about, who knows the way out; only its progress is ours
	on      func(*RouteStatus) bool

	active  bool
	told    bool
	since   time.Time
	quiet   time.Time // since when it is gone; zero while it is not
	trace   trace.SpanContext
	traceID trace.TraceID

	lastTold time.Time
	step     int // index into gaps()
	repeats  int // times that it began and was not told
}

// gaps are the times between two tellings of a condition that comes again and again, such as the loss
// of a broker that restarts in a loop. A condition that was gone for calmAfter starts anew.
func gaps() [numGaps]time.Duration {
	return [...]time.Duration{0, 0, 0, 10 * time.Second, time.Minute, 10 * time.Minute, time.Hour}
}

const (
	numGaps   = 7
	calmAfter = 10 * time.Minute
)

// awayGrace is how long an end may be away without a line: a connection that is back at once, or that
// is made anew after a halt, is no news. startGrace is the same for the first time.
const (
	awayGrace  = time.Second
	startGrace = 2 * time.Second
)

func newConditions() []*condition {
	in := func(state flowcontrol.State) func(*RouteStatus) bool {
		return func(s *RouteStatus) bool { return s.State == state }
	}
	// A route that is halted has closed its ends: that they are away then is no news.
	working := func(s *RouteStatus) bool { return s.State != flowcontrol.Halted }
	return []*condition{
		{
			kind: halted, ofState: true, outage: true, silent: true, on: in(flowcontrol.Halted),
			start: "route halted: it needs an operator",
		},
		{
			kind: sourceAway, level: zerolog.WarnLevel, outage: true, grace: awayGrace,
			// A source that is connected but cannot fetch, because a topic is missing, counts as away too.
			on: func(s *RouteStatus) bool {
				return working(s) && (!s.SourceConnected || s.State == flowcontrol.Disconnected)
			},
			start: "source disconnected", overText: "source connected",
		},
		{
			kind: sinkAway, level: zerolog.WarnLevel, outage: true, grace: awayGrace,
			on:    func(s *RouteStatus) bool { return working(s) && !s.SinkConnected },
			start: "sink disconnected", overText: "sink connected",
		},
		{
			kind: stalled, ofState: true, level: zerolog.WarnLevel, outage: true, linger: 2 * time.Second, on: in(flowcontrol.Stalled),
			start: "route stalled: the source waits for room and none comes", overText: "route is no longer stalled",
		},
		{
			kind: retrying, level: zerolog.WarnLevel, outage: true, grace: 2 * time.Second, linger: 2 * time.Second,
			on: func(s *RouteStatus) bool {
				return working(s) && s.SinkConnected && s.State != flowcontrol.Stalled && retried(s)
			},
			start: "sink fails: writes are tried again", overText: "sink no longer fails",
		},
		{
			kind: standby, ofState: true, level: zerolog.InfoLevel, on: in(flowcontrol.Standby),
			start: "route stands by: another instance owns the source", overText: "route no longer stands by",
		},
		{
			kind: rebalancing, ofState: true, level: zerolog.InfoLevel, on: in(flowcontrol.Rebalancing),
			start: "partitions are moving", overText: "partitions have moved",
		},
		{
			kind: paused, ofState: true, level: zerolog.InfoLevel, on: in(flowcontrol.Paused),
			start: "route paused by the operator", overText: "route is no longer paused",
		},
	}
}

// retried reports whether what is in flight is in retry, also while it is an operator who holds the route.
func retried(s *RouteStatus) bool {
	if s.Blocker == flowcontrol.BlockerOperator {
		return len(s.InFlight) > 0 && s.InFlight[0].Blocker == flowcontrol.BlockerRetry
	}
	return blockerOf(s) == flowcontrol.BlockerRetry
}

// change is what a look at a condition found.
type change uint8

const (
	unchanged change = iota
	began            // to be told
	over             // its begin was told, so its end is
)

func (c *condition) observe(now time.Time, s *RouteStatus) change {
	if s.Ended {
		return unchanged // what stands now is told as such when the watch ends, not as over
	}
	if !c.on(s) {
		return c.gone(now, s)
	}
	if !c.active {
		c.active, c.since = true, c.beginning(now, s)
	}
	c.quiet = time.Time{}
	grace := c.grace
	if !s.EverConnected && c.away() {
		grace = startGrace
	}
	if c.told || now.Sub(c.since) < grace || !c.mayTell(now) {
		return unchanged
	}
	c.told, c.lastTold, c.step = true, now, min(c.step+1, numGaps-1)
	return began
}

func (c *condition) gone(now time.Time, s *RouteStatus) change {
	if !c.active {
		if c.step > 0 && now.Sub(c.quiet) >= calmAfter {
			c.step = 0
		}
		return unchanged
	}
	if c.quiet.IsZero() {
		c.quiet = now
		if c.ofState && s.Since.After(c.since) && s.Since.Before(now) {
			c.quiet = s.Since // exact, where a poll is late
		}
	}
	if now.Sub(c.quiet) < c.linger {
		return unchanged
	}
	c.active = false
	if !c.told {
		if !c.mayTell(now) {
			c.repeats++
		}
		return unchanged
	}
	c.told = false
	return over
}

// beginning returns when the condition that holds now began, as far as the status knows.
func (c *condition) beginning(now time.Time, s *RouteStatus) time.Time {
	at := s.Since
	switch {
	case c.kind == stalled:
		at = at.Add(-flowcontrol.StallAfter) // people count from the last acknowledgement
	case c.kind == retrying, c.away() && s.EverConnected && !s.SourceConnected && !s.SinkConnected:
		return now // Down is the other end's
	case c.away():
		at = s.Down
	}
	if at.IsZero() || at.After(now) {
		return now
	}
	return at
}

func (c *condition) away() bool { return c.kind == sourceAway || c.kind == sinkAway }

// mayTell reports whether enough time has passed since the condition was told last.
func (c *condition) mayTell(now time.Time) bool {
	return !c.told && (c.lastTold.IsZero() || now.Sub(c.lastTold) >= gaps()[c.step])
}

func (c *condition) text(s *RouteStatus) string {
	switch {
	case s.EverConnected || !c.away():
		return c.start
	case c.kind == sourceAway:
		return "source not reached yet"
	default:
		return "sink not reached yet"
	}
}
