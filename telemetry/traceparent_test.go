package telemetry

import (
	"testing"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

const sampledHeader = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func TestPeekTraceparent(t *testing.T) {
	sampled, sc := PeekTraceparent([]byte(sampledHeader))
	if !sampled || sc.TraceID().String() != "4bf92f3577b34da6a3ce929d0e0e4736" || sc.SpanID().String() != "00f067aa0ba902b7" || !sc.IsRemote() {
		t.Errorf("%v %v", sampled, sc)
	}
	if n := testing.AllocsPerRun(100, func() { PeekTraceparent([]byte(sampledHeader)) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzPeekTraceparent compares with the propagator of OpenTelemetry, but for flags of the future.
func FuzzPeekTraceparent(f *testing.F) {
	for _, seed := range []string{
		sampledHeader, "", "00", sampledHeader + "-00", sampledHeader[:54],
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
		"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-comes-later",
		"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.what",
		"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		sampled, sc := PeekTraceparent(value)
		if sampled && value[1] == '0' && (value[53] != '0' || value[54] > '3') {
			return // the propagator refuses flags it does not know; the recommendation says to ignore them
		}
		if len(value) == traceparentLength+1 && string(value[:2]) == "00" {
			return // the propagator takes a dash at the end of version 00
		}
		carrier := propagation.MapCarrier{"traceparent": string(value)}
		want := trace.SpanContextFromContext(propagation.TraceContext{}.Extract(t.Context(), carrier))
		if sampled != want.IsSampled() {
			t.Fatalf("%q: sampled %v, the propagator says %v", value, sampled, want.IsSampled())
		}
		if sampled && (sc.TraceID() != want.TraceID() || sc.SpanID() != want.SpanID()) {
			t.Fatalf("%q: %v, the propagator says %v", value, sc, want)
		}
	})
}
