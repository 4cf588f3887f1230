package telemetry

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// pauses makes a span of each pause by an operator. A pause is no stall: it has a name of its own, and is in no
// metric of stalls. While it lasts its segments show it, at the times of those of a stall.
type pauses struct {
	tracer  trace.Tracer
	span    trace.Span // nil between pauses
	current PauseStatus
	segment segment
}

// observe brings the span up to the status.
func (p *pauses) observe(now time.Time, s *RouteStatus) {
	if p.span != nil && (s.Paused == nil || s.Paused.Since != p.current.Since) {
		p.finish(now, OutcomeResumed)
	}
	if s.Paused == nil {
		return
	}
	if p.span == nil {
		p.current, p.segment = *s.Paused, newSegment()
		_, p.span = p.tracer.Start(context.Background(), SpanPause, trace.WithTimestamp(p.current.Since),
			trace.WithAttributes(routeAttributes(s)...), trace.WithAttributes(windowAttributes(s)...), trace.WithAttributes(p.attributes()...))
	}
	if at, ok := p.segment.boundary(now.Sub(p.current.Since)); ok {
		p.emit(at, s)
	}
}

// emit exports the segment up to the moment at, as a child of the root.
func (p *pauses) emit(at time.Duration, s *RouteStatus) {
	p.segment.sequence++
	_, span := p.tracer.Start(trace.ContextWithSpan(context.Background(), p.span), SpanPauseProgress,
		trace.WithTimestamp(p.current.Since.Add(p.segment.from)),
		trace.WithAttributes(routeAttributes(s)...), trace.WithAttributes(windowAttributes(s)...), trace.WithAttributes(p.attributes()...),
		trace.WithAttributes(attribute.Float64(AttrElapsed, at.Seconds()), attribute.Int(AttrSequence, p.segment.sequence)))
	span.End(trace.WithTimestamp(p.current.Since.Add(at)))
	p.segment.from = at
}

func (p *pauses) attributes() []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.String(AttrOperator, cut(p.current.Who, maxError)), attribute.String(AttrReason, cut(p.current.Why, maxError)),
	}
}

// finish ends the span, if one is open. Its time is the status's begin plus a difference: the clock may have been set.
func (p *pauses) finish(now time.Time, outcome string) {
	if p.span == nil {
		return
	}
	p.span.SetAttributes(attribute.String(AttrOutcome, outcome))
	p.span.End(trace.WithTimestamp(p.current.Since.Add(now.Sub(p.current.Since))))
	p.span = nil
}
