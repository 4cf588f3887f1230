package telemetry

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// pollEvery is how often the watched routes are looked at. A stall shows as such after a second, so
// its line is out at most 1.5 s after its begin.
const pollEvery = 500 * time.Millisecond

// Telemetry is what a process tells of itself. It is a value: nothing of it is registered globally but
// the SDK's handler of its own errors, of which there is only one a process. All methods may be called
// from any goroutine and on nil, where they do nothing.
type Telemetry struct {
	log     zerolog.Logger
	traffic trace.TracerProvider
	spans   *spanBound // of messages
	stalls  trace.Tracer
	metrics *metrics
	faults  *faults
	reloads *reloads
	ends    []shutdowner // in the order in which they are told to end: all at once

	mu      sync.Mutex
	routes  []*Route
	stop    context.CancelFunc
	stopped chan struct{} // closed when the ticker has ended
}

// New reads cfg and the OTEL_* variables and starts one goroutine that looks at the watched routes.
// It does not connect: a collector that is away is never an error, a configuration that nobody can
// follow is. Shutdown ends what New started.
func New(ctx context.Context, cfg Config, log zerolog.Logger) (*Telemetry, error) {
	plan, err := newPlan(cfg)
	if err != nil {
		return nil, err
	}
	t := &Telemetry{log: log, faults: newFaults(log), reloads: &reloads{}, traffic: noop.NewTracerProvider(), stopped: make(chan struct{})}
	t.stalls = t.traffic.Tracer(scope)
	t.faults.adopt()
	if err := t.open(ctx, cfg, plan); err != nil {
		return nil, errors.Join(err, t.shutdownAll(ctx))
	}
	plan.announce(log)
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	t.stop = stop
	go t.watch(run)
	return t, nil
}

// open makes the providers that plan asks for.
func (t *Telemetry) open(ctx context.Context, cfg Config, plan *plan) error {
	res := newResource(ctx, cfg, t.log)
	t.spans = newSpanBound()
	if plan.traces.on() {
		traffic, err := plan.spanExporter(ctx, cfg, t.faults)
		if err != nil {
			return err
		}
		options := []sdktrace.TracerProviderOption{sdktrace.WithResource(res), sdktrace.WithSpanProcessor(newSpanQueue(traffic))}
		if t.spans != nil {
			options = append(options, sdktrace.WithSampler(t.spans.sampler()))
		}
		provider := sdktrace.NewTracerProvider(options...)
		t.traffic, t.ends = provider, append(t.ends, provider)

		// Stalls have their own queue and connection: at full traffic a shared one loses them.
		own, err := plan.spanExporter(ctx, cfg, t.faults)
		if err != nil {
			return err
		}
		stalls := newStallProvider(own, res)
		t.stalls, t.ends = stalls.Tracer(scope), append(t.ends, stalls)
	}
	readers, err := plan.metricReaders(ctx, cfg, t.faults)
	if err != nil {
		return err
	}
	t.metrics, err = newMetrics(cfg, res, readers, t.snapshot, t.faults, t.spans, t.reloads)
	if t.metrics != nil {
		t.ends = append(t.ends, t.metrics)
	}
	return err
}

// newStallProvider returns the provider of the stall spans: all are kept, whatever
// OTEL_TRACES_SAMPLER says, and they leave within a second.
func newStallProvider(exporter *guardedSpans, res *resource.Resource) *sdktrace.TracerProvider {
	return sdktrace.NewTracerProvider(
		sdktrace.WithResource(res),
		sdktrace.WithSampler(sdktrace.AlwaysSample()),
		sdktrace.WithSpanProcessor(newSpanQueue(exporter, sdktrace.WithBatchTimeout(time.Second))),
	)
}

// Tracer returns the provider for the spans of messages. A span whose parent is not sampled costs no
// more than the sampler's answer; without an endpoint all of it is a no-op.
func (t *Telemetry) Tracer() trace.TracerProvider {
	if t == nil {
		return noop.NewTracerProvider()
	}
	return t.traffic
}

// Handler serves the metrics in Prometheus' and OpenMetrics' text formats.
func (t *Telemetry) Handler() http.Handler {
	if t == nil {
		return http.NotFoundHandler()
	}
	return t.metrics.handler
}

// Watch looks at a route twice a second until Stop. read returns its status, which need not hold what the
// route says of itself once for all: Guarantee, Order, Touches, Backlog and Memory. It is called from the
// ticker and from scrapes, possibly at the same time, and must not block. A route of the same name
// that was watched before and has stopped is replaced: its clock and its counts have to go on, and what was told of
// them is not told again.
func (t *Telemetry) Watch(route string, log zerolog.Logger, read func() RouteStatus) *Route {
	if t == nil {
		return nil
	}
	r := newRoute(t, route, log, read)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.routes = slices.DeleteFunc(t.routes, func(old *Route) bool { return old.name == route && r.succeed(old) })
	t.routes = append(t.routes, r)
	return r
}

// Forget drops what was watched of a route and has stopped: its counts are not shown any more. What histograms hold of
// it is, until the process ends: the SDK forgets nothing, and from 2000 sets of attributes on puts all others into one.
func (t *Telemetry) Forget(route string) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.routes = slices.DeleteFunc(t.routes, func(r *Route) bool { return r.name == route && r.ended() })
}

func (t *Telemetry) watch(ctx context.Context) {
	defer close(t.stopped)
	// At whole ticks of the clock, when the routes too are awake that do something now and then.
	untilTick := func() time.Duration { return pollEvery - time.Duration(time.Now().UnixNano())%pollEvery }
	timer := time.NewTimer(untilTick())
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			timer.Reset(untilTick())
			for _, r := range t.snapshot() {
				r.poll(time.Now())
			}
		}
	}
}

// snapshot returns the watched routes, those that have stopped included: their counts stay readable.
func (t *Telemetry) snapshot() []*Route {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.routes)
}

// Stalls returns the latest stalls of a watched route, oldest first: spans that have ended and the one that
// is open. It waits for a poll of the route that is going on.
func (t *Telemetry) Stalls(route string) []StallStatus {
	if t == nil {
		return nil
	}
	for _, r := range t.snapshot() {
		if r.name == route {
			return r.stalls()
		}
	}
	return nil
}

// Shutdown stops the routes that are still watched, sends what is queued and releases everything. It
// returns when that is done or ctx ends, whichever is first, even if a collector neither answers nor
// refuses. It is called once.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	if t == nil {
		return nil
	}
	t.stop()
	<-t.stopped
	for _, r := range t.snapshot() {
		r.Stop(OutcomeShutdown)
	}
	return t.shutdownAll(ctx)
}

type shutdowner interface {
	Shutdown(ctx context.Context) error
}

func (t *Telemetry) shutdownAll(ctx context.Context) error {
	defer t.faults.release()
	results := make(chan error, len(t.ends))
	for _, end := range t.ends {
		go func() { results <- end.Shutdown(ctx) }()
	}
	var errs []error
	for range t.ends {
		select {
		case err := <-results:
			errs = append(errs, err)
		case <-ctx.Done():
			t.faults.abandon()
			return errors.Join(append(errs, ctx.Err())...)
		}
	}
	return errors.Join(errs...)
}
