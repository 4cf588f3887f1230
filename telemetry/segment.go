package telemetry

import (
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// Segments end 5, 10, 20 and 40 seconds after the begin of their episode and then every minute. OTLP
// has no open spans (open-telemetry/opentelemetry-specification#373), so without segments a stall
// would show in a tracing backend only when it is over.
const (
	firstSegment  = 5 * time.Second
	steadySegment = time.Minute
	steadyFrom    = 40 * time.Second
)

// segment is the part of an episode that has not been exported. Times count from the episode's begin.
type segment struct {
	from     time.Duration
	next     time.Duration // when it ends
	sequence int           // segments exported
	waited   map[holdup]time.Duration
}

func newSegment() segment {
	return segment{next: firstSegment, waited: map[holdup]time.Duration{}}
}

// boundary returns the latest moment at which a segment ends and that is not after elapsed.
func (g *segment) boundary(elapsed time.Duration) (at time.Duration, ok bool) {
	for g.next <= elapsed {
		at, ok = g.next, true
		if g.next < steadyFrom {
			g.next *= 2
		} else {
			g.next += steadySegment
		}
	}
	return at, ok
}

// progress exports the segment that is complete. After a pause of the whole process it may span more
// than one boundary.
func (t *tracker) progress(now time.Time, s *RouteStatus) {
	c := t.current
	if c.span == nil {
		return
	}
	if at, ok := c.segment.boundary(now.Sub(c.latest.Begin)); ok {
		t.emit(c, at, s)
	}
}

// emit exports the segment up to the moment at as a child of the root, which is still open.
func (t *tracker) emit(c *episode, at time.Duration, s *RouteStatus) {
	g := &c.segment
	if at <= g.from {
		return
	}
	h := longest(g.waited)
	if len(g.waited) == 0 { // nothing waited for: the source caught its breath for less than a second
		h = holdup{c.latest.Cause, c.blocker}
	}
	g.sequence++
	_, span := t.tracer.Start(c.context(), SpanProgress,
		trace.WithTimestamp(c.latest.Begin.Add(g.from)),
		trace.WithAttributes(routeAttributes(s)...),
		trace.WithAttributes(windowAttributes(s)...),
		trace.WithAttributes(oldestAttributes(s)...),
		trace.WithAttributes(
			attribute.String(AttrCause, h.cause.String()),
			attribute.String(AttrBlocker, blockerName(h.blocker)),
			attribute.String(AttrState, s.State.String()),
			attribute.Float64(AttrElapsed, at.Seconds()),
			attribute.Int(AttrSequence, g.sequence),
		))
	span.End(trace.WithTimestamp(c.latest.Begin.Add(at)))
	g.from = at
	clear(g.waited)
}
