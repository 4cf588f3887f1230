package telemetry

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// repeatFaults is how long a failure that goes on is not told again.
const repeatFaults = time.Hour

// faults tells of what telemetry itself cannot do: once when it begins, once an hour while it lasts,
// once when it is over. A collector that is away for a day makes 26 lines a signal.
type faults struct {
	log zerolog.Logger
	// hung ends the exports that are still out when Shutdown runs out of time, so that no goroutine
	// outlives it by the exporters' own timeouts.
	hung context.Context
	hang context.CancelFunc

	traces, metrics, other fault
	released               atomic.Bool
}

type fault struct {
	signal string
	total  atomic.Uint64

	mu       sync.Mutex
	failing  bool
	since    time.Time
	told     time.Time
	untold   int
	lastText string
}

func newFaults(log zerolog.Logger) *faults {
	f := &faults{log: log}
	f.hung, f.hang = context.WithCancel(context.Background())
	f.traces.signal, f.metrics.signal, f.other.signal = "traces", "metrics", "sdk"
	return f
}

// adopt sends the SDK's own errors here. The SDK has one handler a process; without it errors would go
// to standard error in a form of their own.
func (f *faults) adopt() {
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { f.note(&f.other, err) }))
	otel.SetLogger(logr.Discard())
}

// release makes the handler silent, for the process's logger may be closed after Shutdown.
func (f *faults) release() { f.released.Store(true) }

// abandon cancels the exports that are still out.
func (f *faults) abandon() { f.hang() }

// note takes the outcome of an export; nil is a success.
func (f *faults) note(s *fault, err error) {
	if err != nil {
		s.total.Add(1)
	}
	if f.released.Load() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	switch {
	case err == nil && s.failing:
		s.failing = false
		f.log.Info().Str("signal", s.signal).Float64("seconds", seconds(now.Sub(s.since))).Msg("telemetry is sent again")
	case err == nil:
	case !s.failing && s != &f.other || s.told.IsZero() || now.Sub(s.told) >= repeatFaults:
		if !s.failing {
			s.since = now
		}
		s.failing, s.told = s != &f.other, now
		e := f.log.Warn().Str("signal", s.signal).Err(err)
		if s.untold > 0 {
			e = e.Int("repeats", s.untold)
		}
		e.Msg("telemetry could not be sent; messages move on regardless")
		s.untold = 0
	default:
		s.untold++
	}
}

// guard returns a context for one export that also ends when Shutdown has run out of time.
func (f *faults) guard(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	detach := context.AfterFunc(f.hung, cancel)
	return ctx, func() { detach(); cancel() }
}

// guardedSpans keeps the errors of an exporter from the SDK's global handler.
type guardedSpans struct {
	sdktrace.SpanExporter
	faults *faults
}

func (g *guardedSpans) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	ctx, done := g.faults.guard(ctx)
	defer done()
	g.faults.note(&g.faults.traces, g.SpanExporter.ExportSpans(ctx, spans))
	return nil
}

// guardedMetrics is guardedSpans for metrics.
type guardedMetrics struct {
	sdkmetric.Exporter
	faults *faults
}

func (g *guardedMetrics) Export(ctx context.Context, data *metricdata.ResourceMetrics) error {
	ctx, done := g.faults.guard(ctx)
	defer done()
	g.faults.note(&g.faults.metrics, g.Exporter.Export(ctx, data))
	return nil
}
