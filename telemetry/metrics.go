package telemetry

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	otelruntime "go.opentelemetry.io/contrib/instrumentation/runtime"
	"go.opentelemetry.io/otel/attribute"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
)

// metrics is the meter provider with all instruments. What a status tells is read when somebody asks:
// a counter of time that grew only at the end of a stall would read 0 for all of it.
type metrics struct {
	provider *sdkmetric.MeterProvider
	handler  http.Handler

	stallDuration metric.Float64Histogram
	writeDuration metric.Float64Histogram
	writeSize     metric.Int64Histogram
	delivery      metric.Float64Histogram
}

// writes are the instruments of the one path that is not polled, with their attributes prepared.
type writes struct {
	duration metric.Float64Histogram
	size     metric.Int64Histogram
	delivery metric.Float64Histogram
	route    []metric.RecordOption
}

func newMetrics(cfg Config, res *resource.Resource, readers []sdkmetric.Reader, routes func() []*Route,
	f *faults, s *spanBound, l *reloads,
) (*metrics, error) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	scrape, err := otelprom.New(otelprom.WithRegisterer(registry), otelprom.WithoutScopeInfo())
	if err != nil {
		return nil, err
	}
	options := []sdkmetric.Option{sdkmetric.WithResource(res), sdkmetric.WithReader(scrape)}
	for _, r := range readers {
		options = append(options, sdkmetric.WithReader(r))
	}
	m := &metrics{
		provider: sdkmetric.NewMeterProvider(options...),
		handler:  promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true}),
	}
	meter := m.provider.Meter(scope, metric.WithInstrumentationVersion(cfg.Version))
	err = errors.Join(
		m.histograms(meter),
		observeRoutes(meter, routes),
		observeProcess(meter, cfg.Version, f, s),
		l.observe(meter),
		otelruntime.Start(otelruntime.WithMeterProvider(m.provider), otelruntime.WithMinimumReadMemStatsInterval(15*time.Second)),
	)
	return m, err
}

// histograms makes them with bounds from a hiccup to an hour and more for a stall, and from loopback to
// a broker that is frozen for a write.
func (m *metrics) histograms(meter metric.Meter) error {
	var errs [4]error
	m.stallDuration, errs[0] = meter.Float64Histogram(MetricStallDuration, metric.WithUnit("s"),
		metric.WithDescription("Stalls that have ended, from the first to the last wait for room."),
		metric.WithExplicitBucketBoundaries(.1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 600, 3600))
	m.writeDuration, errs[1] = meter.Float64Histogram(MetricWriteDuration, metric.WithUnit("s"),
		metric.WithDescription("Time of one write until the sink has acknowledged all of it or failed."),
		metric.WithExplicitBucketBoundaries(.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60))
	m.writeSize, errs[2] = meter.Int64Histogram(MetricWriteSize, metric.WithUnit("{message}"),
		metric.WithDescription("Messages of one write."),
		metric.WithExplicitBucketBoundaries(1, 4, 16, 64, 256, 1024, 4096, 16384))
	m.delivery, errs[3] = meter.Float64Histogram(MetricDelivery, metric.WithUnit("s"),
		metric.WithDescription("Time from when the origin stored the first message of a batch until the sink acknowledged the batch."),
		metric.WithExplicitBucketBoundaries(.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 600, 3600, 21600, 86400))
	return errors.Join(errs[:]...)
}

func (m *metrics) writesOf(route string) writes {
	return writes{
		duration: m.writeDuration, size: m.writeSize, delivery: m.delivery,
		route: []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(attribute.String(AttrRoute, route)))},
	}
}

// stallEnded records a stall. ctx holds its span, which becomes the exemplar.
func (m *metrics) stallEnded(ctx context.Context, route string, h holdup, d time.Duration) {
	m.stallDuration.Record(ctx, d.Seconds(), metric.WithAttributes(
		attribute.String(AttrRoute, route),
		attribute.String(AttrCause, h.cause.String()),
		attribute.String(AttrBlocker, blockerName(h.blocker))))
}

// Shutdown sends what is not yet sent and releases the readers.
func (m *metrics) Shutdown(ctx context.Context) error { return m.provider.Shutdown(ctx) }

// observeProcess makes the instruments that belong to no route.
func observeProcess(meter metric.Meter, version string, f *faults, s *spanBound) error {
	build := metric.WithAttributeSet(attribute.NewSet(
		attribute.String("version", version), attribute.String("go.version", runtime.Version())))
	_, err1 := meter.Int64ObservableGauge(MetricBuild, metric.WithDescription("1; its labels say what runs."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(1, build)
			return nil
		}))
	var signals []metric.ObserveOption
	all := []*fault{&f.traces, &f.metrics, &f.other}
	for _, one := range all {
		signals = append(signals, metric.WithAttributeSet(attribute.NewSet(attribute.String(AttrSignal, one.signal))))
	}
	_, err2 := meter.Int64ObservableCounter(MetricFailures, metric.WithUnit("{failure}"),
		metric.WithDescription("Exports of telemetry that failed."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			for i, one := range all {
				o.Observe(int64(one.total.Load()), signals[i])
			}
			return nil
		}))
	_, err3 := meter.Int64ObservableCounter(MetricSuppressed, metric.WithUnit("{span}"),
		metric.WithDescription("Spans of messages with a sampled parent that were not made, to bound the cost."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(int64(s.count()))
			return nil
		}))
	_, err4 := meter.Int64ObservableCounter(MetricLost, metric.WithUnit("{span}"),
		metric.WithDescription("Spans that were made and reached no collector."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(int64(f.lost.Load()))
			return nil
		}))
	return errors.Join(err1, err2, err3, err4)
}
