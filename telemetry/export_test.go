package telemetry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-bridge/sluice/flowcontrol"
	"github.com/sluice-bridge/sluice/telemetry/telemetrytest"
)

// soon bounds waits for what happens within milliseconds on an idle machine.
const soon = time.Minute

// output is a log that a test reads while it is written.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// start returns a Telemetry that is shut down with the test, unless that has been done.
func start(t *testing.T, cfg Config) (*Telemetry, *output) {
	t.Helper()
	out := &output{}
	tel, err := New(t.Context(), cfg, zerolog.New(out))
	if err != nil {
		t.Fatal(err)
	}
	return tel, out
}

func shutdown(t *testing.T, tel *Telemetry) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	if err := tel.Shutdown(ctx); err != nil {
		t.Errorf("shutdown: %v", err)
	}
}

// stall watches a route that has stalled since before.
func stall(tel *Telemetry) *Route {
	clock := flowcontrol.NewClock(flowcontrol.Flowing, time.Now().Add(-time.Hour))
	clock.Wait(flowcontrol.CauseBytes, time.Now().Add(-12*time.Second))
	return tel.Watch("orders", zerolog.Nop(), func() RouteStatus {
		reading := clock.Read(time.Now())
		return RouteStatus{
			Route: "orders", Source: "kafka", Sink: "jetstream", State: reading.State, Since: reading.Since, Cause: reading.Cause,
			Clock: reading, Blocker: flowcontrol.BlockerAck, SourceConnected: true, SinkConnected: true, EverConnected: true,
		}
	})
}

// Both protocols, from the configuration and from the environment, carry segments while a stall lasts,
// then the root, the spans of messages, metrics, headers and the resource.
func TestOTLP(t *testing.T) {
	for _, way := range []struct {
		name string
		set  func(t *testing.T, r *telemetrytest.Receiver) Config
	}{
		{"configured gRPC", func(_ *testing.T, r *telemetrytest.Receiver) Config {
			return Config{Endpoint: r.GRPC(), Protocol: "grpc", Service: "shop", Headers: map[string]string{"x-token": "abc"}}
		}},
		{"configured HTTP", func(_ *testing.T, r *telemetrytest.Receiver) Config {
			return Config{Endpoint: r.HTTP(), Service: "shop", Headers: map[string]string{"x-token": "abc"}}
		}},
		{"environment gRPC", func(t *testing.T, r *telemetrytest.Receiver) Config {
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", r.GRPC())
			t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
			t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-token=abc")
			t.Setenv("OTEL_SERVICE_NAME", "shop")
			return Config{}
		}},
		{"environment HTTP for each signal", func(t *testing.T, r *telemetrytest.Receiver) Config {
			t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", r.HTTP()+"/v1/traces")
			t.Setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", r.HTTP()+"/v1/metrics")
			t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-token=abc")
			t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=shop,deployment.environment=test")
			return Config{}
		}},
		{"the configuration wins over the environment", func(t *testing.T, r *telemetrytest.Receiver) Config {
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
			t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
			t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-token=wrong")
			t.Setenv("OTEL_SERVICE_NAME", "wrong")
			return Config{Endpoint: r.GRPC(), Protocol: "grpc", Service: "shop", Headers: map[string]string{"x-token": "abc"}}
		}},
	} {
		t.Run(way.name, func(t *testing.T) {
			r := telemetrytest.New(t)
			t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
			tel, _ := start(t, way.set(t, r))
			route := stall(tel)
			segment := r.Wait(t, soon, "segment", func(s telemetrytest.Span) bool { return s.Name == SpanProgress })
			if segment.Attributes[AttrCause] != "window.bytes" || segment.Attributes[AttrElapsed] != 10.0 || segment.Resource["service.name"] != "shop" {
				t.Errorf("segment %+v", segment)
			}
			parent := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{7}, SpanID: trace.SpanID{8}, TraceFlags: trace.FlagsSampled, Remote: true})
			_, span := tel.Tracer().Tracer("test").Start(trace.ContextWithRemoteSpanContext(t.Context(), parent), "message")
			span.End()
			_, orphan := tel.Tracer().Tracer("test").Start(t.Context(), "orphan")
			orphan.End()
			route.Stop("revoked")
			shutdown(t, tel) // sends what is queued
			r.Wait(t, soon, "span of a message", func(s telemetrytest.Span) bool { return s.Name == "message" })
			root := r.Wait(t, soon, "root", func(s telemetrytest.Span) bool { return s.Name == SpanStall })
			if root.SpanID != segment.ParentID || root.TraceID != segment.TraceID || root.Attributes[AttrOutcome] != "revoked" || root.Duration() < 12*time.Second {
				t.Errorf("root %+v", root)
			}
			r.WaitPoint(t, soon, MetricSourceTime, func(p telemetrytest.Point) bool { return p.Attributes[AttrRoute] == "orders" })
			for _, h := range r.Headers() {
				if h.Get("x-token") != "abc" {
					t.Errorf("a request without the header: %v", h)
				}
			}
			for _, s := range r.Spans() {
				if s.Name == "orphan" {
					t.Error("a span without a sampled parent was exported")
				}
			}
		})
	}
}

// OTEL_TRACES_SAMPLER is for the traffic; stalls are always kept.
func TestStallsIgnoreTheSampler(t *testing.T) {
	r := telemetrytest.New(t)
	t.Setenv("OTEL_TRACES_SAMPLER", "always_off")
	tel, _ := start(t, Config{Endpoint: r.HTTP()})
	stall(tel)
	r.Wait(t, soon, "segment", func(s telemetrytest.Span) bool { return s.Name == SpanProgress })
	shutdown(t, tel)
}

func TestWhatTurnsTracesOff(t *testing.T) {
	for _, way := range []struct {
		name, line string
		env        map[string]string
		cfg        Config
		traces     bool
	}{
		{name: "nothing set", line: "traces are off: no OTLP endpoint"},
		{name: "disabled", line: "OTEL_SDK_DISABLED", env: map[string]string{"OTEL_SDK_DISABLED": "true"}, cfg: Config{Endpoint: "http://127.0.0.1:1"}},
		{name: "none", line: "the exporter is none", env: map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}},
		{name: "none configured", line: "the exporter is none", cfg: Config{Endpoint: "http://127.0.0.1:1", Traces: "none", Metrics: "none"}},
		{name: "metrics only", line: "no OTLP endpoint", env: map[string]string{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://127.0.0.1:1"}},
		{name: "console", line: "standard error", env: map[string]string{"OTEL_TRACES_EXPORTER": "console"}, traces: true},
		{name: "by name only", line: "http://localhost:4318", env: map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_METRICS_EXPORTER": "none"}, traces: true},
		{
			name: "unknown exporter", line: `OTEL_TRACES_EXPORTER names \"zipkin\"`, traces: true,
			env: map[string]string{"OTEL_TRACES_EXPORTER": "zipkin", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_METRICS_EXPORTER": "none"},
		},
		{
			name: "unknown protocol", line: `is \"http/json\"`, traces: true,
			env: map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_METRICS_EXPORTER": "none"},
		},
		{
			name: "no scheme", line: "has no scheme and is taken for TLS", traces: true,
			env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "127.0.0.1:4317", "OTEL_METRICS_EXPORTER": "none"},
		},
		{
			name: "password", line: `"endpoint":"http://127.0.0.1:1"`, traces: true,
			cfg: Config{Endpoint: "http://me:secret@127.0.0.1:1", Metrics: "none"},
		},
	} {
		t.Run(way.name, func(t *testing.T) {
			for k, v := range way.env {
				t.Setenv(k, v)
			}
			tel, out := start(t, way.cfg)
			parent := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{7}, SpanID: trace.SpanID{8}, TraceFlags: trace.FlagsSampled, Remote: true})
			_, span := tel.Tracer().Tracer("test").Start(trace.ContextWithRemoteSpanContext(t.Context(), parent), "message")
			if span.IsRecording() != way.traces {
				t.Errorf("recording %v, want %v", span.IsRecording(), way.traces)
			}
			if !strings.Contains(out.String(), way.line) || strings.Contains(out.String(), "secret") {
				t.Errorf("no line with %q:\n%s", way.line, out)
			}
			if v, _ := scrape(t, tel); len(v) == 0 {
				t.Error("no metrics to scrape")
			}
			shutdown(t, tel)
		})
	}
}

func TestWrongConfiguration(t *testing.T) {
	for want, cfg := range map[string]Config{
		`endpoint "localhost:4317" is not a URL`: {Endpoint: "localhost:4317"},
		`endpoint "ftp://x" is not a URL`:        {Endpoint: "ftp://x"},
		`protocol "http/json" is unknown`:        {Protocol: "http/json"},
		`traces "jaeger" is unknown`:             {Traces: "jaeger"},
		`metrics "statsd" is unknown`:            {Metrics: "statsd"},
	} {
		if _, err := New(t.Context(), cfg, zerolog.Nop()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", cfg, err, want)
		}
	}
}

// A collector that takes requests and never answers, one that drops packets and one that is not there:
// Shutdown keeps its deadline, and no goroutine is left (goleak).
func TestShutdownOfACollectorThatIsGone(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts, for the kernel does, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	for _, protocol := range []string{protocolGRPC, protocolHTTP} {
		r := telemetrytest.New(t)
		r.Hang(true)
		hanging := map[string]string{protocolGRPC: r.GRPC(), protocolHTTP: r.HTTP()}[protocol]
		for name, endpoint := range map[string]string{"hangs": hanging, "is silent": "http://" + silent.Addr().String(), "is away": "http://127.0.0.1:1"} {
			t.Run(protocol+" "+name, func(t *testing.T) {
				tel, _ := start(t, Config{Endpoint: endpoint, Protocol: protocol})
				stall(tel)
				for _, watched := range tel.snapshot() {
					watched.poll(time.Now())
				}
				ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
				defer cancel()
				begin := time.Now()
				_ = tel.Shutdown(ctx) // an error or not: what counts is that it returns
				if d := time.Since(begin); d > 8*time.Second {
					t.Errorf("took %v", d)
				}
			})
		}
	}
}

// A collector that refuses is told once, and once more when it is back.
func TestFaultsAreToldOnce(t *testing.T) {
	r := telemetrytest.New(t)
	tel, out := start(t, Config{Endpoint: r.HTTP(), Metrics: "none"})
	for range 5 { // it comes and goes, which is told once too
		tel.faults.note(&tel.faults.traces, errors.New("connection refused"))
		tel.faults.note(&tel.faults.traces, nil)
		tel.faults.note(&tel.faults.traces, nil)
	}
	if n := strings.Count(out.String(), "could not be sent"); n != 1 {
		t.Errorf("told %d times:\n%s", n, out)
	}
	if n := strings.Count(out.String(), "is sent again"); n != 1 {
		t.Errorf("told %d times that it is over:\n%s", n, out)
	}
	if v, _ := scrape(t, tel); v[`sluice_telemetry_failures_total{sluice_signal="traces"}`] != 5 {
		t.Error("the failures are not counted")
	}
	shutdown(t, tel)
}

// The SDK's own errors come here too, one a minute at most.
func TestErrorsOfTheSDK(t *testing.T) {
	tel, out := start(t, Config{})
	for i := range 10 {
		otel.Handle(fmt.Errorf("inner trouble %d", i))
	}
	if n := strings.Count(out.String(), "inner trouble"); n != 1 {
		t.Errorf("told %d times:\n%s", n, out)
	}
	shutdown(t, tel)
	otel.Handle(errors.New("after the end"))
	if strings.Contains(out.String(), "after the end") {
		t.Error("the log was used after Shutdown")
	}
}

// stuck is a part that ignores its deadline.
type stuck chan struct{}

func (s stuck) Shutdown(context.Context) error { <-s; return nil }

func TestShutdownOfAPartThatIsStuck(t *testing.T) {
	tel, _ := start(t, Config{})
	part := make(stuck)
	defer close(part)
	tel.ends = append(tel.ends, part)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := tel.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

// One who decides about the sampled flag does not decide about our cost.
func TestSampledSpansAreBounded(t *testing.T) {
	r := telemetrytest.New(t)
	tel, _ := start(t, Config{Endpoint: r.HTTP(), Metrics: "none"})
	parent := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{7}, SpanID: trace.SpanID{8}, TraceFlags: trace.FlagsSampled, Remote: true})
	ctx := trace.ContextWithRemoteSpanContext(t.Context(), parent)
	begin, recording := time.Now(), 0
	for range 20 * maxSampledPerSecond {
		_, span := tel.Tracer().Tracer("test").Start(ctx, "message")
		if span.IsRecording() {
			recording++
		}
	}
	if limit := maxSampledPerSecond * (int(time.Since(begin)/time.Second) + 2); recording > limit || recording < maxSampledPerSecond {
		t.Errorf("%d spans of %d, at most %d", recording, 20*maxSampledPerSecond, limit)
	}
	route := tel.Watch("orders", zerolog.Nop(), func() RouteStatus { return RouteStatus{Route: "orders"} })
	if left := route.SpansLeft(begin.Add(time.Hour)); left != maxSampledPerSecond {
		t.Errorf("a fresh second has %d spans", left)
	}
	route.SpansSuppressed(7) // of those that whoever makes the spans has kept back
	if v, _ := scrape(t, tel); v[`sluice_telemetry_suppressed_total`] != float64(20*maxSampledPerSecond-recording+7) {
		t.Error("what was suppressed is not counted")
	}
	shutdown(t, tel)
}

func TestNilIsQuiet(t *testing.T) {
	var tel *Telemetry
	r := tel.Watch("orders", zerolog.Nop(), nil)
	r.Wrote(time.Second, 1)
	r.Stop(OutcomeShutdown)
	if sc, _ := r.DelayedBy(time.Time{}, time.Now()); sc.IsValid() {
		t.Error("delayed by nobody")
	}
	if tel.Tracer() == nil || tel.Handler() == nil || tel.Shutdown(t.Context()) != nil {
		t.Error("nil is not quiet")
	}
}

// A collector that takes nothing costs spans, each of which counts, and neither memory nor time.
func TestLostSpansAreCounted(t *testing.T) {
	r := telemetrytest.New(t)
	r.Hang(true)
	tel, _ := start(t, Config{Endpoint: r.HTTP(), Metrics: "none"})
	const spans = 3 * maxQueued
	for range spans {
		_, span := tel.stalls.Start(t.Context(), "stall")
		span.End()
	}
	if v, _ := scrape(t, tel); v["sluice_telemetry_lost_total"] < spans-maxQueued || v["sluice_telemetry_lost_total"] > spans {
		t.Errorf("%v of %d spans are lost while %d may wait", v["sluice_telemetry_lost_total"], spans, maxQueued)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	begin := time.Now()
	if err := tel.Shutdown(ctx); err == nil {
		t.Error("nothing is said of what was not taken")
	}
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("Shutdown took %s of one second", took)
	}
}
