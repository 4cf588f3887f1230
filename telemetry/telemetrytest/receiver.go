// Package telemetrytest is a collector inside the test's process: it takes traces and metrics by OTLP
// over gRPC and HTTP and lets a test wait for them. It can also refuse and hang.
package telemetrytest

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	collectormetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	collectortrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
)

// Receiver takes what is exported to it. All methods may be called from any goroutine.
type Receiver struct {
	grpcAddress, httpAddress string
	ended                    chan struct{} // closed when the test is over: nothing hangs any more

	mu      sync.Mutex
	spans   []Span
	points  []Point
	headers []http.Header // of each request, whichever way it came
	refused error
	hanging chan struct{} // closed when it no longer hangs; nil if it does not
	changed chan struct{} // closed at each change
}

// New returns a receiver that listens on two free ports of the loopback until the test is over.
func New(tb testing.TB) *Receiver {
	tb.Helper()
	r := &Receiver{ended: make(chan struct{}), changed: make(chan struct{})}
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			tb.Fatalf("telemetrytest: listen: %v", err)
		}
		return l
	}
	forGRPC, forHTTP := listen(), listen()
	r.grpcAddress, r.httpAddress = forGRPC.Addr().String(), forHTTP.Addr().String()

	g := grpc.NewServer()
	collectortrace.RegisterTraceServiceServer(g, &traceService{receiver: r})
	collectormetrics.RegisterMetricsServiceServer(g, &metricsService{receiver: r})
	h := &http.Server{Handler: r.handler(), ReadHeaderTimeout: 10 * time.Second}
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := g.Serve(forGRPC); err != nil {
			tb.Errorf("telemetrytest: gRPC: %v", err)
		}
	})
	serving.Go(func() {
		if err := h.Serve(forHTTP); !errors.Is(err, http.ErrServerClosed) {
			tb.Errorf("telemetrytest: HTTP: %v", err)
		}
	})
	tb.Cleanup(func() {
		close(r.ended)
		g.Stop()
		if err := h.Close(); err != nil {
			tb.Errorf("telemetrytest: close: %v", err)
		}
		serving.Wait()
	})
	return r
}

// GRPC returns the URL for OTLP over gRPC. Its port is not 4317, so the protocol must be said too.
func (r *Receiver) GRPC() string { return "http://" + r.grpcAddress }

// HTTP returns the URL for OTLP over HTTP, to which exporters append /v1/traces and /v1/metrics.
func (r *Receiver) HTTP() string { return "http://" + r.httpAddress }

// Spans returns the spans received so far, in order of arrival.
func (r *Receiver) Spans() []Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.spans)
}

// Points returns the data points of the metric called name in order of arrival; "" returns all.
func (r *Receiver) Points(name string) []Point {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []Point
	for _, p := range r.points {
		if name == "" || p.Name == name {
			list = append(list, p)
		}
	}
	return list
}

// Headers returns the headers, or the gRPC metadata, of each request so far.
func (r *Receiver) Headers() []http.Header {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.headers)
}

// Wait waits until a span matches and returns the first that does. After timeout the test fails with a
// list of what was received.
func (r *Receiver) Wait(tb testing.TB, timeout time.Duration, what string, match func(Span) bool) Span {
	tb.Helper()
	var found Span
	r.until(tb, timeout, what, func() bool {
		i := slices.IndexFunc(r.spans, match)
		if i >= 0 {
			found = r.spans[i]
		}
		return i >= 0
	})
	return found
}

// WaitPoint waits until a data point of a metric matches and returns the first that does.
func (r *Receiver) WaitPoint(tb testing.TB, timeout time.Duration, name string, match func(Point) bool) Point {
	tb.Helper()
	var found Point
	r.until(tb, timeout, "metric "+name, func() bool {
		i := slices.IndexFunc(r.points, func(p Point) bool { return p.Name == name && match(p) })
		if i >= 0 {
			found = r.points[i]
		}
		return i >= 0
	})
	return found
}

// WaitRequest waits until so many requests have arrived, those that hang or were refused included.
func (r *Receiver) WaitRequest(tb testing.TB, timeout time.Duration, n int) {
	tb.Helper()
	r.until(tb, timeout, "requests", func() bool { return len(r.headers) >= n })
}

// until waits until done, which is called with mu held, returns true.
func (r *Receiver) until(tb testing.TB, timeout time.Duration, what string, done func() bool) {
	tb.Helper()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for {
		r.mu.Lock()
		ok, changed := done(), r.changed
		r.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-timer.C:
			tb.Fatalf("telemetrytest: no %s within %v; received %d spans: %v", what, timeout, len(r.Spans()), r.names())
		}
	}
}

func (r *Receiver) names() []string {
	var names []string
	for _, s := range r.Spans() {
		names = append(names, s.Name)
	}
	return names
}

// Refuse makes the receiver answer with err, or take things again if it is nil.
func (r *Receiver) Refuse(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused = err
}

// Hang makes the receiver take requests and not answer, until it is called with false.
func (r *Receiver) Hang(hang bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case hang && r.hanging == nil:
		r.hanging = make(chan struct{})
	case !hang && r.hanging != nil:
		close(r.hanging)
		r.hanging = nil
	}
}

// enter notes a request and holds or refuses it as the test has asked for.
func (r *Receiver) enter(ctx context.Context, header http.Header) error {
	r.mu.Lock()
	r.headers = append(r.headers, header)
	r.notify()
	hanging, refused := r.hanging, r.refused
	r.mu.Unlock()
	if hanging != nil {
		select {
		case <-hanging:
		case <-ctx.Done():
			return ctx.Err()
		case <-r.ended:
			return errors.New("the test is over")
		}
	}
	return refused
}

func (r *Receiver) addSpans(spans []Span) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.spans = append(r.spans, spans...)
	r.notify()
}

func (r *Receiver) addPoints(points []Point) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.points = append(r.points, points...)
	r.notify()
}

// notify is called with mu held.
func (r *Receiver) notify() {
	close(r.changed)
	r.changed = make(chan struct{})
}
