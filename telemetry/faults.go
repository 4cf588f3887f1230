package telemetry

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// repeatFault is how long a failure that goes on is not told again, and anotherFault how long the next
// failure waits after one was told.
const (
	repeatFault  = time.Hour
	anotherFault = time.Minute
)

// sdkWarnings is the verbosity at which the SDK logs warnings beside errors.
const sdkWarnings = 1

// faults tells of what telemetry itself cannot do: once when it begins, once an hour while it lasts,
// once when it is over, and at most once a minute if it comes and goes.
type faults struct {
	log zerolog.Logger
	// abandon ends the exports that are still out when Shutdown runs out of time, so that no goroutine
	// outlives it by the exporters' own timeouts; onAbandon lets an export hear of it.
	abandon   func()
	onAbandon func(func()) (forget func() bool)

	traces, metrics, other fault
	lost                   atomic.Uint64 // spans
	released               atomic.Bool
}

type fault struct {
	signal string
	total  atomic.Uint64

	mu        sync.Mutex
	failing   bool // of other: for ever, for nobody reports its success
	announced bool // the failure that goes on was told
	since     time.Time
	told      time.Time // when one was told
	text      string    // what was told
	untold    int
}

func newFaults(log zerolog.Logger) *faults {
	f := &faults{log: log}
	hung, hang := context.WithCancel(context.Background())
	f.abandon = hang
	f.onAbandon = func(do func()) func() bool { return context.AfterFunc(hung, do) }
	f.traces.signal, f.metrics.signal, f.other.signal = "traces", "metrics", "sdk"
	return f
}

// adopt sends the SDK's own errors here. The SDK has one handler a process; without it errors would go
// to standard error in a form of their own.
func (f *faults) adopt() {
	//nolint:forbidigo // a handler, not a provider: the SDK takes its errors nowhere else
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { f.note(&f.other, err) }))
	//nolint:forbidigo // as above
	otel.SetLogger(funcr.New(func(_, text string) { f.note(&f.other, errors.New(text)) }, funcr.Options{Verbosity: sdkWarnings}))
}

// release makes the handler silent, for the process's logger may be closed after Shutdown.
func (f *faults) release() { f.released.Store(true) }

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
	if err == nil {
		if s.announced {
			f.log.Info().Str("signal", s.signal).Float64("seconds", seconds(now.Sub(s.since))).Msg("telemetry is sent again")
		}
		s.failing, s.announced = false, false
		return
	}
	if !s.failing {
		s.failing, s.since = true, now
	}
	wait := anotherFault
	if s.announced && (s != &f.other || err.Error() == s.text) {
		wait = repeatFault
	}
	if !s.told.IsZero() && now.Sub(s.told) < wait {
		s.untold++
		return
	}
	e := f.log.Warn().Str("signal", s.signal).Err(err)
	if s.untold > 0 {
		e = e.Int("repeats", s.untold)
	}
	e.Msg("telemetry could not be sent; messages move on regardless")
	s.announced, s.told, s.text, s.untold = true, now, err.Error(), 0
}

// guard returns a context for one export that also ends when Shutdown has run out of time.
func (f *faults) guard(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	forget := f.onAbandon(cancel)
	return ctx, func() { forget(); cancel() }
}

// guardedSpans keeps the errors of an exporter from the SDK's global handler.
type guardedSpans struct {
	sdktrace.SpanExporter
	faults *faults
	done   func(spans int, err error) // of the queue
}

func (g *guardedSpans) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	ctx, done := g.faults.guard(ctx)
	defer done()
	err := g.SpanExporter.ExportSpans(ctx, spans)
	g.done(len(spans), err)
	g.faults.note(&g.faults.traces, err)
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
