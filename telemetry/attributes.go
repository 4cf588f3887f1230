package telemetry

import (
	"time"

	"go.opentelemetry.io/otel/attribute"
)

// maxError bounds what a span carries of an error, maxEvidence what of evidence.
const (
	maxError    = 256
	maxEvidence = 512
)

// routeAttributes say whose span it is. Each span stands alone, because backends search spans.
func routeAttributes(s *RouteStatus) []attribute.KeyValue {
	list := []attribute.KeyValue{
		attribute.String(AttrRoute, s.Route),
		attribute.String(AttrSource, s.Source),
		attribute.String(AttrSink, s.Sink),
		attribute.Int(AttrPriority, 1),
	}
	if s.Evidence != "" {
		list = append(list, attribute.String(AttrEvidence, cut(s.Evidence, maxEvidence)))
	}
	if s.LagKnown {
		list = append(list, attribute.Int64(AttrLag, s.Lag))
	}
	if u := s.Unread; u != nil {
		if u.Age != nil {
			list = append(list, attribute.Float64(AttrLagAge, *u.Age))
		}
		if u.Loss != nil {
			list = append(list, attribute.Float64(AttrLoss, *u.Loss))
		}
	}
	return list
}

func windowAttributes(s *RouteStatus) []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.Int64(AttrMessages, s.Window.Messages),
		attribute.Int64(AttrMessagesNow, s.Window.MessagesNow),
		attribute.Int64(AttrMessagesLimit, s.Window.MessagesLimit),
		attribute.Int64(AttrBytes, s.Window.Bytes),
		attribute.Int64(AttrBytesLimit, s.Window.BytesLimit),
	}
}

// oldestAttributes name the oldest message in flight: who looks into a stall starts there.
func oldestAttributes(s *RouteStatus) []attribute.KeyValue {
	if len(s.InFlight) == 0 {
		return nil
	}
	lane := &s.InFlight[0]
	list := []attribute.KeyValue{
		attribute.String(AttrOldestPartition, lane.Partition),
		attribute.Int64(AttrOldestOffset, lane.Offset),
		attribute.Float64(AttrOldestAge, oldestAge(s).Seconds()),
	}
	if text := lane.Error; text != "" {
		list = append(list, attribute.String(AttrError, cut(text, maxError)))
	}
	return list
}

// oldestAge is how long the oldest message has been in flight; 0 if none is.
func oldestAge(s *RouteStatus) time.Duration {
	if len(s.InFlight) == 0 || s.InFlight[0].Oldest.IsZero() {
		return 0
	}
	return time.Since(s.InFlight[0].Oldest)
}

// cut shortens text to at most limit bytes, at the border of a character.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && text[limit]&0xc0 == 0x80 {
		limit--
	}
	return text[:limit]
}
