package telemetry

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/metric"
)

// reloads are what metrics show of the latest reload.
type reloads struct {
	at      atomic.Int64 // in Unix milliseconds; 0: there was none
	refused atomic.Bool
}

// Reloaded says that the configuration was read again, and whether it holds.
func (t *Telemetry) Reloaded(at time.Time, ok bool) {
	if t == nil {
		return
	}
	t.reloads.refused.Store(!ok)
	t.reloads.at.Store(at.UnixMilli())
}

func (l *reloads) observe(meter metric.Meter) error {
	_, err1 := meter.Int64ObservableGauge(MetricReload, metric.WithDescription("0: the latest reload was refused, and the configuration before it holds."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(number(!l.refused.Load()))
			return nil
		}))
	_, err2 := meter.Float64ObservableGauge(MetricReloadTime, metric.WithUnit("s"), metric.WithDescription("When the latest reload was, in Unix time; absent: there was none."),
		metric.WithFloat64Callback(func(_ context.Context, o metric.Float64Observer) error {
			if at := l.at.Load(); at != 0 {
				o.Observe(float64(at) / 1000)
			}
			return nil
		}))
	return errors.Join(err1, err2)
}
