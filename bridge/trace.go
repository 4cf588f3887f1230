package bridge

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/telemetry"
)

// traceParent is the W3C header, which passes through both brokers as it is.
const traceParent = "traceparent"

// parentOf returns the W3C header of a message, nil if it has none.
func parentOf(m *connectors.Message) []byte {
	for i := range m.Headers {
		if m.Headers[i].Key == traceParent {
			return m.Headers[i].Value
		}
	}
	return nil
}

// suppressedStride is how many messages one stands for where those without a span are counted: their number need not
// be exact, and whoever sets the flag must not decide what counting costs.
const suppressedStride = 16

// maxTraced is how many spans one Write may have, where OTEL_TRACES_SAMPLER sets no bound a second.
const maxTraced = 1 << 16

// sampled is where a message of a Write stands whose producer was sampled.
type sampled struct{ batch, message int32 }

// lookForTraces finds the messages of the next Write that are to have a span: those whose producer was sampled, as
// long as this second has spans left. It looks before the Write, which needs the headers anyway: afterwards they
// may have left the processor's caches.
func (w *writer) lookForTraces(now time.Time) {
	w.sampled, w.suppressed = w.sampled[:0], 0
	left := int(min(w.route.watch.SpansLeft(now), maxTraced))
	for i, b := range w.batches {
		at := 0
		for ; at < len(b.Messages) && len(w.sampled) < left; at++ {
			if telemetry.PeekSampled(parentOf(&b.Messages[at])) {
				w.sampled = append(w.sampled, sampled{int32(i), int32(at)})
			}
		}
		for ; at < len(b.Messages); at += suppressedStride {
			if telemetry.PeekSampled(parentOf(&b.Messages[at])) {
				w.suppressed += min(suppressedStride, len(b.Messages)-at)
			}
		}
	}
}

// trace makes a span from fetch to acknowledgement of each message that was found before the Write. It links to
// the stall that delayed the message.
func (w *writer) trace(now time.Time) {
	for _, s := range w.sampled {
		b := w.batches[s.batch]
		m := &b.Messages[s.message]
		if is, parent := telemetry.PeekTraceparent(parentOf(m)); is {
			w.traceMessage(w.flights[s.batch], b, m, parent, now)
		}
	}
	if w.suppressed > 0 {
		w.route.watch.SpansSuppressed(w.suppressed)
	}
}

func (w *writer) traceMessage(f *flight, b *connectors.Batch, m *connectors.Message, parent trace.SpanContext, now time.Time) {
	options := []trace.SpanStartOption{
		trace.WithTimestamp(f.fetched),
		trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithAttributes(
			attribute.String(telemetry.AttrRoute, w.route.cfg.Name),
			attribute.String("messaging.destination.partition.id", b.Partition),
			attribute.Int64("messaging.kafka.offset", m.Offset),
		),
	}
	since := m.Time // it waits at its origin too while the route is stalled
	if since.IsZero() {
		since = f.fetched
	}
	if stall, lasted := w.route.watch.DelayedBy(since, now); stall.IsValid() {
		options = append(options,
			trace.WithAttributes(attribute.Float64(telemetry.AttrWait, lasted.Seconds())),
			trace.WithLinks(trace.Link{
				SpanContext: stall,
				Attributes:  []attribute.KeyValue{attribute.String(telemetry.AttrLinkRole, telemetry.LinkDelayedBy)},
			}))
	}
	_, span := w.route.tracer.Tracer("github.com/sluice-bridge/sluice/bridge").
		Start(trace.ContextWithRemoteSpanContext(context.Background(), parent), telemetry.SpanDeliver, options...)
	span.End(trace.WithTimestamp(now))
}
