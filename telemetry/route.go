package telemetry

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/trace"
)

// Outcomes of a stall. Route.Stop may be told others, such as revoked.
const (
	OutcomeResumed  = "resumed"
	OutcomePaused   = "paused" // by an operator
	OutcomeShutdown = "shutdown"
	OutcomeReloaded = "reloaded" // another configuration of the route takes its place, or none does
)

// Route makes spans, metrics and log lines of one route's status. All methods may be called from any
// goroutine and on nil. Stall and Wrote take no lock.
type Route struct {
	tel  *Telemetry
	name string
	read func() RouteStatus

	latest atomic.Pointer[mark] // of the current or latest span of a stall
	writes writes

	mu      sync.Mutex
	stopped bool
	final   RouteStatus // once stopped
	tracker *tracker
	partial *lanes
	pauses  pauses
	changes changes
	lines   *lines
}

// mark is what Stall returns of a span.
type mark struct {
	context    trace.SpanContext
	begin, end time.Time // end is zero while it lasts
}

func newRoute(t *Telemetry, name string, log zerolog.Logger, read func() RouteStatus) *Route {
	r := &Route{tel: t, name: name, read: read, lines: newLines(log), writes: t.metrics.writesOf(name)}
	r.tracker = newTracker(t.stalls, name, r.latest.Store, t.metrics.stallEnded)
	r.partial = newLanes(r.tracker)
	r.pauses.tracer = t.stalls
	return r
}

// succeed goes on where a route of the same name has stopped, and reports whether it has. It is called before anybody
// else knows r.
func (r *Route) succeed(old *Route) bool {
	old.mu.Lock()
	defer old.mu.Unlock()
	if !old.stopped {
		return false
	}
	was := old.tracker
	r.tracker.done, r.tracker.waited, r.tracker.stalls, r.tracker.past = was.done, was.copyWaited(), was.stalls, slices.Clone(was.past)
	r.changes = slices.Clone(old.changes)
	r.lines.crossings = old.lines.crossings
	r.latest.Store(old.latest.Load())
	return true
}

// poll makes what is due of the route's status now.
func (r *Route) poll(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.stopped {
		r.observe(now)
	}
}

func (r *Route) observe(now time.Time) RouteStatus {
	status := r.read()
	r.tracker.observe(now, &status) // first, because the lines carry the trace's id
	r.partial.observe(now, &status)
	r.pauses.observe(now, &status)
	r.changes.observe(now, &status)
	r.lines.observe(now, &status, r.tracker.context())
	return status
}

// Stop looks at the route for the last time and ends the span that is open, with outcome as its
// reason. read is not called after Stop has returned. Stopping twice does nothing.
func (r *Route) Stop(outcome string) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped {
		return
	}
	now := time.Now()
	r.final = r.observe(now)
	r.tracker.stop(now, &r.final, outcome)
	r.partial.stop(now, &r.final, outcome)
	r.pauses.finish(now, outcome)
	r.lines.stop(now, outcome)
	r.stopped = true
}

// DelayedBy returns the current or latest stall if it overlaps the time between from and to, and for
// how long. For a message, from is when the origin stored it and to is now: a message that was there
// while its route was stalled was delayed by that.
func (r *Route) DelayedBy(from, to time.Time) (trace.SpanContext, time.Duration) {
	if r == nil {
		return trace.SpanContext{}, 0
	}
	m := r.latest.Load()
	if m == nil {
		return trace.SpanContext{}, 0
	}
	if m.begin.After(from) {
		from = m.begin
	}
	if !m.end.IsZero() && m.end.Before(to) {
		to = m.end
	}
	if d := to.Sub(from); d > 0 {
		return m.context, d
	}
	return trace.SpanContext{}, 0
}

// SpansLeft returns how many spans of messages this second may still have, for all routes together. Whoever makes
// spans asks once for many messages, so that those which get none cost nothing, and says how many those are.
func (r *Route) SpansLeft(now time.Time) int64 {
	if r == nil {
		return 0
	}
	return r.tel.spans.left(now)
}

// SpansSuppressed says that so many messages with a sampled parent got no span, because none was left.
func (r *Route) SpansSuppressed(messages int) {
	if r != nil {
		r.tel.spans.suppress(messages)
	}
}

// Wrote says that one Sink.Write of so many messages took d. It is called once a Write, whatever its
// result, and allocates nothing.
func (r *Route) Wrote(d time.Duration, messages int) {
	if r == nil {
		return
	}
	r.writes.duration.Record(context.Background(), d.Seconds(), r.writes.route...)
	r.writes.size.Record(context.Background(), int64(messages), r.writes.route...)
}

// Delivered says that the sink has acknowledged a batch whose first message the origin had stored so long ago.
// It is called once a batch and allocates nothing.
func (r *Route) Delivered(d time.Duration) {
	if r == nil {
		return
	}
	r.writes.delivery.Record(context.Background(), max(0, d.Seconds()), r.writes.route...)
}

func (r *Route) ended() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stopped
}

// status returns the route's status now, or the last one once it was stopped, and what only polling
// knows: the time waited and the spans begun.
func (r *Route) status() (s RouteStatus, waited map[holdup]time.Duration, stalls uint64, stopped bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped {
		return r.final, r.tracker.waited, r.tracker.stalls, true
	}
	return r.read(), r.tracker.copyWaited(), r.tracker.stalls, false
}

func (r *Route) stalls() []StallStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := append(r.tracker.latest(), r.partial.going()...)
	slices.SortFunc(all, func(a, b StallStatus) int { return a.Begin.Compare(b.Begin) })
	return all[max(0, len(all)-keptStalls-1):]
}

func seconds(d time.Duration) float64 { return d.Round(time.Millisecond).Seconds() }
