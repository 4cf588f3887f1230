package bridge

import (
	"context"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/connectortest"
	"github.com/sluice-bridge/sluice/telemetry"
	"github.com/sluice-bridge/sluice/telemetry/telemetrytest"
)

// A message whose producer was sampled has a span that belongs to the producer's trace; its header
// arrives as it was. One whose producer was not sampled has none.
func TestSampledMessageHasASpan(t *testing.T) {
	receiver := telemetrytest.New(t)
	tel, err := telemetry.New(t.Context(), telemetry.Config{Endpoint: receiver.HTTP(), Metrics: "none"}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0"
	source, sink := connectortest.NewTopic("orders", 1), connectortest.NewTopic("out", 0)
	for _, sampled := range []string{"0", "1", "0"} {
		source.Put(0, connectors.Message{Headers: []connectors.Header{{Key: traceParent, Value: []byte(parent + sampled)}}})
	}
	source.End()
	b, err := New(Config{Routes: []RouteConfig{between(source, sink)}}, zerolog.Nop(), tel)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := tel.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	spans := receiver.Spans()
	if len(spans) != 1 || spans[0].Name != telemetry.SpanDeliver || spans[0].TraceID != parent[3:35] || spans[0].ParentID != parent[36:52] {
		t.Errorf("spans: %+v", spans)
	}
	if got := sink.Messages("orders/0"); len(got) != 3 || string(got[1].Headers[0].Value) != parent+"1" {
		t.Errorf("arrived: %+v", got)
	}
}

// However many producers are sampled, a second has its spans and no more: each of the others is counted, and costs
// no allocation.
func TestSampledMessagesBeyondTheBoundCostNothing(t *testing.T) {
	receiver := telemetrytest.New(t)
	tel, err := telemetry.New(t.Context(), telemetry.Config{Endpoint: receiver.HTTP(), Metrics: "none"}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	route := &Route{cfg: RouteConfig{Name: "orders"}, tracer: tel.Tracer()}
	route.watch = tel.Watch("orders", zerolog.Nop(), func() telemetry.RouteStatus { return telemetry.RouteStatus{Route: "orders"} })
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	b := &connectors.Batch{Partition: "0"}
	for range 5000 {
		b.Messages = append(b.Messages, connectors.Message{Headers: []connectors.Header{{Key: traceParent, Value: []byte(parent)}}})
	}
	w := &writer{run: &run{route: route}, flights: []*flight{{batch: b, fetched: time.Now()}}, batches: []*connectors.Batch{b}}
	// The sampler looks at the clock by itself, so that it may be in the next second.
	now := time.Now()
	for ; route.watch.SpansLeft(now) > 0; now = time.Now() {
		w.lookForTraces(now)
		w.trace(now)
	}
	if n := testing.AllocsPerRun(10, func() { w.lookForTraces(now); w.trace(now) }); n > 500 { // the exporter is at work too
		t.Errorf("%v allocations for 5000 messages without a span", n)
	}
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
}
