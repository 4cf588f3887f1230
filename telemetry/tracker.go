package telemetry

import (
	"context"
	"maps"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-bridge/sluice/flowcontrol"
)

// keptStalls is how many episodes that are over a status shows.
const keptStalls = 31

// minStall is how much waiting an episode needs to become a span: a route that runs at the sink's pace
// waits for milliseconds again and again.
const minStall = 100 * time.Millisecond

// holdup is a full bound and who held the room.
type holdup struct {
	cause   flowcontrol.Cause
	blocker flowcontrol.Blocker
}

// tracker follows the episodes of a route's clock from poll to poll and makes spans of them. Times are
// the clock's; which blocker a wait is put down to is as fine as the polls are.
type tracker struct {
	tracer trace.Tracer
	route  string
	mark   func(*mark)
	ended  func(ctx context.Context, route string, h holdup, d time.Duration)

	done    uint64   // the latest episode that is over
	current *episode // nil between episodes
	waited  map[holdup]time.Duration
	stalls  uint64        // spans begun
	past    []StallStatus // spans ended, the latest, oldest first, at most keptStalls

	home *tracker   // keeps past and counts stalls: the route's, itself unless this is a lane's
	seen LaneStatus // of a lane's, as it was seen last
}

// episode is the one that is going on.
type episode struct {
	latest  flowcontrol.Episode // as of the last poll
	blocker flowcontrol.Blocker // as of the last poll that saw one
	waiting bool                // the last poll saw a wait going on
	held    holdup              // by whom, then
	waited  map[holdup]time.Duration
	segment segment

	span trace.Span // nil until minStall has been waited
	mark mark
}

func newTracker(tracer trace.Tracer, route string, mark func(*mark),
	ended func(context.Context, string, holdup, time.Duration),
) *tracker {
	t := &tracker{tracer: tracer, route: route, mark: mark, ended: ended, waited: map[holdup]time.Duration{}}
	t.home = t
	return t
}

// context returns the span context of the episode that is going on.
func (t *tracker) context() trace.SpanContext {
	if t.current == nil || t.current.span == nil {
		return trace.SpanContext{}
	}
	return t.current.span.SpanContext()
}

func (t *tracker) copyWaited() map[holdup]time.Duration { return maps.Clone(t.waited) }

// observe brings the tracker up to the status. The clock keeps an episode that has ended for at least
// a second, which is two polls, so none is missed unless the process was suspended.
func (t *tracker) observe(now time.Time, s *RouteStatus) {
	current, last := s.Clock.Current, s.Clock.Last
	if t.current != nil && t.current.latest.Seq != current.Seq {
		if last.Seq != t.current.latest.Seq {
			last = t.current.latest // suspended: what was seen of it is all there is
		}
		t.advance(last, s)
		t.finish(lastWait(last, now), s, outcomeOf(s))
		last = s.Clock.Last
	}
	if last.Seq > t.done { // over before a poll saw it
		t.begin(last)
		t.advance(last, s)
		t.finish(lastWait(last, now), s, outcomeOf(s))
	}
	if current.Seq == 0 {
		return
	}
	if t.current == nil {
		t.begin(current)
	}
	t.advance(current, s)
	t.progress(now, s)
}

// stop ends the episode that is going on. The status was observed before.
func (t *tracker) stop(now time.Time, s *RouteStatus, outcome string) {
	if t.current != nil {
		t.finish(lastWait(t.current.latest, now), s, outcome)
	}
}

func (t *tracker) begin(e flowcontrol.Episode) {
	t.current = &episode{
		latest: flowcontrol.Episode{Seq: e.Seq, Begin: e.Begin},
		waited: map[holdup]time.Duration{}, segment: newSegment(),
	}
}

// advance puts what has been waited since the last poll down to whoever held the room then, or holds it
// now if the source was not waiting then, and opens the span when it is due.
func (t *tracker) advance(e flowcontrol.Episode, s *RouteStatus) {
	c := t.current
	if b := blockerOf(s); b != flowcontrol.BlockerNone {
		c.blocker = b
	}
	seen := holdup{e.Cause, c.blocker}
	h := seen
	if d := e.Waited - c.latest.Waited; d > 0 {
		if c.waiting { // most of it is that wait's, not of what may have come after it
			h = c.held
		}
		t.waited[h] += d
		c.waited[h] += d
		c.segment.waited[h] += d
	}
	c.latest, c.waiting, c.held = e, e.End.IsZero(), seen
	switch {
	case c.span == nil && e.Waited >= minStall:
		t.open(s)
	case c.span != nil && s.Evidence != "": // it takes a moment to come
		c.span.SetAttributes(attribute.String(AttrEvidence, cut(s.Evidence, maxEvidence)))
	}
}

// open starts the root span, at the time the episode began.
func (t *tracker) open(s *RouteStatus) {
	c := t.current
	options := []trace.SpanStartOption{
		trace.WithTimestamp(c.latest.Begin),
		trace.WithAttributes(routeAttributes(s)...),
		trace.WithAttributes(windowAttributes(s)...),
		trace.WithAttributes(oldestAttributes(s)...),
	}
	if len(s.InFlight) > 0 && s.InFlight[0].OldestTrace.IsSampled() {
		options = append(options, trace.WithLinks(trace.Link{
			SpanContext: s.InFlight[0].OldestTrace,
			Attributes:  []attribute.KeyValue{attribute.String(AttrLinkRole, LinkOldest)},
		}))
	}
	// A root of its own: a stall belongs to no message, and a sampled child of one that is not would be
	// an orphan.
	_, c.span = t.tracer.Start(context.Background(), SpanStall, options...)
	c.mark = mark{context: c.span.SpanContext(), begin: c.latest.Begin}
	t.home.stalls++
	t.mark(&c.mark)
}

// finish ends the episode at the moment end.
func (t *tracker) finish(end time.Time, s *RouteStatus, outcome string) {
	c := t.current
	defer func() { t.current, t.done = nil, c.latest.Seq }()
	if c.span == nil {
		return
	}
	h := longest(c.waited)
	t.home.keep(t.stall(end))
	if c.segment.sequence > 0 {
		t.emit(c, end.Sub(c.latest.Begin), s)
	}
	c.span.SetAttributes(
		attribute.String(AttrCause, h.cause.String()),
		attribute.String(AttrBlocker, blockerName(h.blocker)),
		attribute.String(AttrOutcome, outcome),
		attribute.Float64(AttrWaited, c.latest.Waited.Seconds()),
		attribute.Int64(AttrWaits, c.latest.Waits),
		attribute.Float64(AttrLongest, c.latest.Longest.Seconds()),
		attribute.Float64(AttrStalled, c.latest.Stalled.Seconds()),
	)
	// begin plus a difference, because the wall clock may have been set meanwhile.
	end = c.latest.Begin.Add(end.Sub(c.latest.Begin))
	c.span.End(trace.WithTimestamp(end))
	t.mark(&mark{context: c.mark.context, begin: c.mark.begin, end: end})
	t.ended(c.context(), t.route, h, end.Sub(c.latest.Begin))
}

// keep remembers a span that has ended.
func (t *tracker) keep(s StallStatus) {
	if len(t.past) == keptStalls {
		t.past = slices.Delete(t.past, 0, 1)
	}
	t.past = append(t.past, s)
}

// latest returns the spans that ended last and the one that is open.
func (t *tracker) latest() []StallStatus {
	all := slices.Clone(t.past)
	if t.current != nil && t.current.span != nil {
		all = append(all, t.stall(time.Time{}))
	}
	return all
}

// stall returns what is known of the current episode. end is zero while it goes on.
func (t *tracker) stall(end time.Time) StallStatus {
	c := t.current
	h := longest(c.waited)
	s := StallStatus{
		Partition: t.seen.Partition,
		Begin:     c.latest.Begin, End: end, Cause: h.cause, Blocker: h.blocker,
		Waited: seconds(c.latest.Waited), Longest: seconds(c.latest.Longest), Stalled: seconds(c.latest.Stalled),
	}
	if id := c.span.SpanContext().TraceID(); id.IsValid() {
		s.TraceID = id.String()
	}
	return s
}

// context returns one that holds the root span, for its children and for exemplars.
func (c *episode) context() context.Context {
	return trace.ContextWithSpan(context.Background(), c.span)
}

// lastWait returns when the last wait of e ended, or now if it is going on.
func lastWait(e flowcontrol.Episode, now time.Time) time.Time {
	if e.End.IsZero() {
		return now
	}
	return e.End
}

// outcomeOf says how an episode ended that is over.
func outcomeOf(s *RouteStatus) string {
	if s.State == flowcontrol.Paused {
		return OutcomePaused
	}
	return OutcomeResumed
}

// longest returns what most of the time was waited for; of equals any, but always the same.
func longest(waited map[holdup]time.Duration) holdup {
	blockers, causes := map[flowcontrol.Blocker]time.Duration{}, map[flowcontrol.Cause]time.Duration{}
	for h, d := range waited {
		blockers[h.blocker] += d
		causes[h.cause] += d
	}
	return holdup{cause: most(causes), blocker: most(blockers)}
}

func most[K ~uint8](times map[K]time.Duration) K {
	var best K
	for k, d := range times {
		if d > times[best] || d == times[best] && k < best {
			best = k
		}
	}
	return best
}

// blockerOf returns who holds most of what is in flight, or at least the oldest of it.
func blockerOf(s *RouteStatus) flowcontrol.Blocker {
	if s.Blocker == flowcontrol.BlockerNone && len(s.InFlight) > 0 {
		return s.InFlight[0].Blocker
	}
	return s.Blocker
}

// blockerName names a blocker; unknown is one that no poll has seen.
func blockerName(b flowcontrol.Blocker) string {
	if b == flowcontrol.BlockerNone {
		return "unknown"
	}
	return b.String()
}
