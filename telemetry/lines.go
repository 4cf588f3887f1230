package telemetry

import (
	"slices"
	"time"

	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/trace"
)

// lines writes the log of a route: a line on each side of a change of state, a few while an outage
// lasts, nothing per message. An outage of any length is at most maxOutage lines.
type lines struct {
	log        zerolog.Logger
	conditions []*condition
	crossings  crossings
	connected  bool // both ends have been, and it was told

	outage   time.Time // begin of the first condition that was told; zero while there is none
	told     int       // lines since then
	progress int       // lines about its progress
}

// progressAfter says after how long the lines tell that an outage goes on.
func progressAfter() [4]time.Duration {
	return [...]time.Duration{time.Minute, 10 * time.Minute, time.Hour, 24 * time.Hour}
}

// maxProgress is the number of lines of an outage from which on its progress is not told, so that the
// lines of its end still fit in ten.
const maxProgress = 6

func newLines(log zerolog.Logger) *lines {
	return &lines{log: log, conditions: newConditions(), crossings: crossings{tokens: crossingBurst}}
}

// observe writes what is due. sc is the trace of the stall that is going on, if one is.
func (l *lines) observe(now time.Time, s *RouteStatus, sc trace.SpanContext) {
	var begun []*condition
	for _, c := range l.conditions {
		switch c.observe(now, s) {
		case began:
			begun = append(begun, c)
		case over:
			l.end(c, now)
		}
	}
	if s.EverConnected && !l.connected {
		l.connected = true
		l.log.Info().Str("source", s.Source).Str("sink", s.Sink).Msg("route connected")
	}
	l.warn(now, s, slices.Contains(begun, l.conditions[stalled]))
	for _, c := range begun {
		l.begin(c, s, sc)
	}
	l.outageProgress(now, s, sc)
}

// warn tells that use has reached 90 % of the hard bound. It comes before the line of a stall.
func (l *lines) warn(now time.Time, s *RouteStatus, stall bool) {
	n := l.crossings.due(now, s.Counts.Crossings, stall)
	if n == 0 {
		return
	}
	l.count()
	e := l.log.Warn()
	w := &s.Window
	if 4*w.Messages >= 3*w.MessagesLimit || 4*w.Bytes >= 3*w.BytesLimit { // else it has emptied since
		e = e.Int64("in_flight", w.Messages).Int64("bytes", w.Bytes)
	}
	e = e.Int64("limit", w.MessagesLimit).Int64("bytes_limit", w.BytesLimit)
	if n > 1 {
		e = e.Uint64("crossings", n)
	}
	e.Msg("window was filled to 90 %")
}

func (l *lines) begin(c *condition, s *RouteStatus, sc trace.SpanContext) {
	if c.outage && l.outage.IsZero() {
		l.outage, l.told, l.progress = c.since, 0, 0
	}
	if c.silent {
		return
	}
	l.count()
	e := l.log.WithLevel(c.level)
	if c.repeats > 0 {
		e = e.Int("repeats", c.repeats)
		c.repeats = 0
	}
	describe(e, c, s, sc)
	e.Msg(c.text(s))
}

func (l *lines) end(c *condition, now time.Time) {
	if !c.silent {
		l.count()
		e := l.log.Info()
		duration(e, c, now)
		e.Msg(c.overText)
	}
	for _, other := range l.conditions {
		if other.told && other.outage && other != c {
			return
		}
	}
	l.outage = time.Time{}
}

// duration adds for how long a condition held, and the trace that shows it.
func duration(e *zerolog.Event, c *condition, now time.Time) {
	until := c.quiet
	if until.IsZero() {
		until = now
	}
	e.Float64("seconds", seconds(until.Sub(c.since)))
	if c.trace.IsValid() {
		e.Hex("trace_id", c.traceID[:])
	}
	c.trace = trace.SpanContext{}
}

// outageProgress tells that an outage goes on.
func (l *lines) outageProgress(now time.Time, s *RouteStatus, sc trace.SpanContext) {
	if l.outage.IsZero() {
		return
	}
	before := l.progress
	for after := progressAfter(); l.progress < len(after) && now.Sub(l.outage) >= after[l.progress]; {
		l.progress++
	}
	if l.progress == before || l.told >= maxProgress {
		return
	}
	if c := l.worst(); c != nil {
		l.count()
		e := l.log.Warn().Float64("seconds", seconds(now.Sub(c.since)))
		describe(e, c, s, sc)
		e.Msg("still: " + c.text(s))
	}
}

// worst returns the condition that says most of an outage: a stall, which names who holds the room,
// before what it is due to.
func (l *lines) worst() *condition {
	var first *condition
	for _, c := range l.conditions {
		switch {
		case !c.told || !c.outage || !c.quiet.IsZero():
		case c.kind == stalled:
			return c
		case first == nil:
			first = c
		}
	}
	return first
}

// stop tells what went on until the route was stopped.
func (l *lines) stop(now time.Time, outcome string) {
	for _, c := range l.conditions {
		if c.told && !c.silent {
			l.count()
			e := l.log.Info().Str("outcome", outcome)
			duration(e, c, now)
			e.Msg("watch ends; until now: " + c.start)
		}
		c.told = false
	}
}

func (l *lines) count() { l.told++ }

// describe adds what an operator needs to know first.
func describe(e *zerolog.Event, c *condition, s *RouteStatus, sc trace.SpanContext) {
	if c.kind == stalled {
		e.Stringer("cause", s.Cause).Str("blocker", blockerName(blockerOf(s)))
	}
	if c.outage {
		e.Int64("in_flight", s.Window.Messages)
	}
	if c.kind == stalled && len(s.InFlight) > 0 {
		e.Str("partition", s.InFlight[0].Partition).Int64("offset", s.InFlight[0].Offset)
	}
	if text := reason(c, s); text != "" {
		e.Str("error", cut(text, maxError))
	}
	if c.kind == standby && s.Owner != "" {
		e.Str("owner", s.Owner)
	}
	if c.kind == paused && s.Paused != nil {
		e.Str("who", s.Paused.Who).Str("why", s.Paused.Why)
	}
	if c.kind == stalled && sc.IsValid() {
		c.trace, c.traceID = sc, sc.TraceID()
		e.Hex("trace_id", c.traceID[:])
	}
}

// reason returns the error that a condition is due to.
func reason(c *condition, s *RouteStatus) string {
	switch {
	case (c.kind == stalled || c.kind == retrying) && len(s.InFlight) > 0 && s.InFlight[0].Error != "":
		return s.InFlight[0].Error
	case c.kind == stalled && s.SourceConnected && s.SinkConnected, c.kind == paused, c.kind == standby, c.kind == rebalancing:
		return ""
	}
	return s.Detail
}
