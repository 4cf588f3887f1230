package telemetrytest

import (
	"encoding/hex"
	"time"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

// Span is a span as it came over the wire.
type Span struct {
	Name                      string
	TraceID, SpanID, ParentID string // hexadecimal; ParentID is empty for a root
	Begin, End                time.Time
	Attributes                map[string]any // string, bool, int64 or float64
	Links                     []Link
	Resource                  map[string]any
	Received                  time.Time
}

// Duration is how long the span lasted.
func (s Span) Duration() time.Duration { return s.End.Sub(s.Begin) }

// Link is a link of a span.
type Link struct {
	TraceID, SpanID string
	Attributes      map[string]any
}

// Point is a data point of a metric. Value is the sum of a histogram, and Count how many values it
// holds.
type Point struct {
	Name, Unit string
	Attributes map[string]any
	Value      float64
	Count      uint64
}

func spansOf(all []*tracepb.ResourceSpans, now time.Time) []Span {
	var list []Span
	for _, rs := range all {
		resource := attributesOf(rs.GetResource().GetAttributes())
		for _, ss := range rs.GetScopeSpans() {
			for _, s := range ss.GetSpans() {
				span := Span{
					Name: s.GetName(), TraceID: hex.EncodeToString(s.GetTraceId()), SpanID: hex.EncodeToString(s.GetSpanId()),
					ParentID: hex.EncodeToString(s.GetParentSpanId()),
					Begin:    time.Unix(0, int64(s.GetStartTimeUnixNano())), End: time.Unix(0, int64(s.GetEndTimeUnixNano())),
					Attributes: attributesOf(s.GetAttributes()), Resource: resource, Received: now,
				}
				for _, l := range s.GetLinks() {
					span.Links = append(span.Links, Link{
						TraceID: hex.EncodeToString(l.GetTraceId()), SpanID: hex.EncodeToString(l.GetSpanId()),
						Attributes: attributesOf(l.GetAttributes()),
					})
				}
				list = append(list, span)
			}
		}
	}
	return list
}

func pointsOf(all []*metrics.ResourceMetrics) []Point {
	var list []Point
	for _, rm := range all {
		for _, sm := range rm.GetScopeMetrics() {
			for _, m := range sm.GetMetrics() {
				list = appendPoints(list, m)
			}
		}
	}
	return list
}

func appendPoints(list []Point, m *metrics.Metric) []Point {
	numbers := m.GetSum().GetDataPoints()
	if m.GetGauge() != nil {
		numbers = m.GetGauge().GetDataPoints()
	}
	for _, p := range numbers {
		value := p.GetAsDouble()
		if _, integer := p.GetValue().(*metrics.NumberDataPoint_AsInt); integer {
			value = float64(p.GetAsInt())
		}
		list = append(list, Point{Name: m.GetName(), Unit: m.GetUnit(), Attributes: attributesOf(p.GetAttributes()), Value: value, Count: 1})
	}
	for _, p := range m.GetHistogram().GetDataPoints() {
		list = append(list, Point{Name: m.GetName(), Unit: m.GetUnit(), Attributes: attributesOf(p.GetAttributes()), Value: p.GetSum(), Count: p.GetCount()})
	}
	return list
}

func attributesOf(list []*common.KeyValue) map[string]any {
	m := make(map[string]any, len(list))
	for _, kv := range list {
		switch v := kv.GetValue().GetValue().(type) {
		case *common.AnyValue_StringValue:
			m[kv.GetKey()] = v.StringValue
		case *common.AnyValue_BoolValue:
			m[kv.GetKey()] = v.BoolValue
		case *common.AnyValue_IntValue:
			m[kv.GetKey()] = v.IntValue
		case *common.AnyValue_DoubleValue:
			m[kv.GetKey()] = v.DoubleValue
		}
	}
	return m
}
