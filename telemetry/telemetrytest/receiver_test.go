package telemetrytest

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// exporters returns one exporter for each way, without retries.
func exporters(t *testing.T, r *Receiver) map[string]sdktrace.SpanExporter {
	t.Helper()
	g, err := otlptracegrpc.New(t.Context(), otlptracegrpc.WithEndpointURL(r.GRPC()), otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{}))
	if err != nil {
		t.Fatal(err)
	}
	h, err := otlptracehttp.New(t.Context(), otlptracehttp.WithEndpointURL(r.HTTP()+"/v1/traces"),
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{}), otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
	if err != nil {
		t.Fatal(err)
	}
	return map[string]sdktrace.SpanExporter{"gRPC": g, "HTTP": h}
}

func spans(name string) []sdktrace.ReadOnlySpan {
	return tracetest.SpanStubs{{Name: name}}.Snapshots()
}

func TestReceiverTakesRefusesAndHangs(t *testing.T) {
	r := New(t)
	for name, e := range exporters(t, r) {
		r.Refuse(errors.New("not now"))
		if err := e.ExportSpans(t.Context(), spans(name)); err == nil {
			t.Errorf("%s: not refused", name)
		}
		r.Refuse(nil)
		r.Hang(true)
		before := len(r.Headers())
		done := make(chan error, 1)
		go func() { done <- e.ExportSpans(t.Context(), spans(name)) }()
		r.WaitRequest(t, 10*time.Second, before+1)
		if len(r.Spans()) != 0 && r.Spans()[len(r.Spans())-1].Name == name {
			t.Errorf("%s: answered while it hangs", name)
		}
		r.Hang(false)
		if err := <-done; err != nil {
			t.Errorf("%s: %v", name, err)
		}
		r.Wait(t, 10*time.Second, name, func(s Span) bool { return s.Name == name })
		if err := e.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestReceiverRefusesNonsense(t *testing.T) {
	r := New(t)
	defer http.DefaultClient.CloseIdleConnections()
	for contentType, body := range map[string]string{"application/json": "{}", "application/x-protobuf": "nonsense"} {
		answer, err := http.Post(r.HTTP()+"/v1/traces", contentType, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %s", contentType, answer.Status)
		}
	}
}
