package telemetry

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/sluice-bridge/sluice/flowcontrol"
)

// reading is one integer of a status and the instrument it is shown by.
type reading struct {
	name, unit, help string
	kind             kind
	value            func(*RouteStatus) (int64, bool)
}

type kind uint8

const (
	counter kind = iota // only grows
	level               // may be summed over routes
	gauge
)

func always(f func(*RouteStatus) int64) func(*RouteStatus) (int64, bool) {
	return func(s *RouteStatus) (int64, bool) { return f(s), true }
}

func counted(f func(*Counts) uint64) func(*RouteStatus) (int64, bool) {
	return func(s *RouteStatus) (int64, bool) { return int64(f(&s.Counts)), true }
}

func readings() []reading {
	return []reading{
		{MetricMessagesUsed, "{message}", "Messages in the window.", level, always(func(s *RouteStatus) int64 { return s.Window.Messages })},
		{MetricMessagesLimit, "{message}", "Messages the window may hold at most.", level, always(func(s *RouteStatus) int64 { return s.Window.MessagesLimit })},
		{MetricMessagesNow, "{message}", "Messages the window may hold now: less than the limit where it is adaptive.", level, always(func(s *RouteStatus) int64 { return s.Window.MessagesNow })},
		{MetricBytesUsed, "By", "Memory charged to the window.", level, always(func(s *RouteStatus) int64 { return s.Window.Bytes })},
		{MetricBytesLimit, "By", "Memory the window may hold.", level, always(func(s *RouteStatus) int64 { return s.Window.BytesLimit })},
		{MetricCrossings, "{crossing}", "Times that use reached 90 % of the window.", counter, counted(func(c *Counts) uint64 { return c.Crossings })},
		{MetricLag, "{message}", "Messages not yet fetched; absent while unknown.", gauge, func(s *RouteStatus) (int64, bool) { return s.Lag, s.LagKnown }},
		{MetricFetched, "{message}", "Messages fetched from the source.", counter, counted(func(c *Counts) uint64 { return c.FetchedMessages })},
		{MetricFetchedBytes, "By", "Memory of the messages fetched.", counter, counted(func(c *Counts) uint64 { return c.FetchedBytes })},
		{MetricAcknowledged, "{message}", "Messages the sink has acknowledged.", counter, counted(func(c *Counts) uint64 { return c.AcknowledgedMessages })},
		{MetricCommitted, "{message}", "Messages committed upstream.", counter, counted(func(c *Counts) uint64 { return c.CommittedMessages })},
		{MetricDeadLettered, "{message}", "Messages given to the dead-letter sink.", counter, counted(func(c *Counts) uint64 { return c.DeadLettered })},
		{MetricDropped, "{message}", "Messages dropped because the configuration says so.", counter, counted(func(c *Counts) uint64 { return c.Dropped })},
		{MetricStale, "{message}", "Messages dropped or dead-lettered because they are older than the configuration says.", counter, counted(func(c *Counts) uint64 { return c.Stale })},
		{MetricReturned, "{message}", "Messages that came from where the sink writes and are not sent back there.", counter, counted(func(c *Counts) uint64 { return c.Returned })},
		{MetricFiltered, "{message}", "Messages that the route's filter does not let pass.", counter, counted(func(c *Counts) uint64 { return c.Filtered })},
		{MetricRetries, "{retry}", "Writes tried again.", counter, counted(func(c *Counts) uint64 { return c.Retries })},
		{MetricRefetched, "By", "Fetched and thrown away because their partition is paused.", counter, counted(func(c *Counts) uint64 { return c.RefetchedBytes })},
		{MetricGaps, "{message}", "Messages that vanished before they were read.", counter, counted(func(c *Counts) uint64 { return c.GapMessages })},
	}
}

// observer reads all routes' statuses once per collection.
type observer struct {
	routes   func() []*Route
	readings []reading
	ints     []metric.Int64Observable // in the order of readings

	sourceTime, waitTime, stallAge, oldest metric.Float64Observable
	lagAge, caughtUp, loss                 metric.Float64Observable
	stalls, connected                      metric.Int64Observable
}

func observeRoutes(meter metric.Meter, routes func() []*Route) error {
	o := &observer{routes: routes, readings: readings()}
	var errs []error
	var all []metric.Observable
	for _, r := range o.readings {
		i, err := intInstrument(meter, r.kind, r.name, r.unit, r.help)
		errs, all, o.ints = append(errs, err), append(all, i), append(o.ints, i)
	}
	floats := []struct {
		into       *metric.Float64Observable
		kind       kind
		name, help string
	}{
		{&o.sourceTime, counter, MetricSourceTime, "Time of the source by state; the states sum to wall time."},
		{&o.waitTime, counter, MetricWaitTime, "Time the source waited for room, by the full bound and who held the room."},
		{&o.stallAge, gauge, MetricStallAge, "How long the route has been stalled; 0 when it is not."},
		{&o.oldest, gauge, MetricOldestAge, "How long the oldest message has been in flight."},
		{&o.lagAge, gauge, MetricLagAge, "How old the oldest message not yet fetched is, at most; 0 when there is none, absent while unknown."},
		{&o.caughtUp, gauge, MetricCaughtUp, "Until nothing is unread, as the last half minute went; absent: it does not catch up, or has."},
		{&o.loss, gauge, MetricLoss, "Until upstream removes the oldest unread message, as the last half minute went; absent: it does not."},
	}
	for _, f := range floats {
		i, err := floatInstrument(meter, f.kind, f.name, f.help)
		*f.into, errs, all = i, append(errs, err), append(all, i)
	}
	var err1, err2 error
	o.stalls, err1 = intInstrument(meter, counter, MetricStalls, "{stall}", "Stalls that became a span; counted when they begin.")
	o.connected, err2 = intInstrument(meter, gauge, MetricConnected, "", "1 while the end is connected.")
	_, err := meter.RegisterCallback(o.collect, append(all, o.stalls, o.connected)...)
	return errors.Join(append(errs, err1, err2, err)...)
}

func intInstrument(meter metric.Meter, k kind, name, unit, help string) (metric.Int64Observable, error) {
	switch k {
	case counter:
		return meter.Int64ObservableCounter(name, metric.WithUnit(unit), metric.WithDescription(help))
	case level:
		return meter.Int64ObservableUpDownCounter(name, metric.WithUnit(unit), metric.WithDescription(help))
	default:
		return meter.Int64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(help))
	}
}

func floatInstrument(meter metric.Meter, k kind, name, help string) (metric.Float64Observable, error) {
	if k == counter {
		return meter.Float64ObservableCounter(name, metric.WithUnit("s"), metric.WithDescription(help))
	}
	return meter.Float64ObservableGauge(name, metric.WithUnit("s"), metric.WithDescription(help))
}

func (o *observer) collect(_ context.Context, out metric.Observer) error {
	for _, r := range o.routes() {
		o.route(r, out)
	}
	return nil
}

func (o *observer) route(r *Route, out metric.Observer) {
	s, waited, stalls, stopped := r.status()
	route := attribute.String(AttrRoute, r.name)
	plain := with(route)
	for i, one := range o.readings {
		if v, ok := one.value(&s); ok && (one.kind == counter || !stopped) {
			out.ObserveInt64(o.ints[i], v, plain)
		}
	}
	out.ObserveInt64(o.stalls, int64(stalls), plain)
	for state, d := range s.Clock.Times {
		out.ObserveFloat64(o.sourceTime, d.Seconds(), with(route, attribute.String(AttrState, flowcontrol.State(state).String())))
	}
	for h, d := range waited {
		out.ObserveFloat64(o.waitTime, d.Seconds(), with(route,
			attribute.String(AttrCause, h.cause.String()), attribute.String(AttrBlocker, blockerName(h.blocker))))
	}
	if stopped { // it counts no more, and nothing of it is going on
		return
	}
	out.ObserveInt64(o.connected, number(s.SourceConnected), with(route, attribute.String(AttrEnd, "source")))
	out.ObserveInt64(o.connected, number(s.SinkConnected), with(route, attribute.String(AttrEnd, "sink")))
	out.ObserveFloat64(o.oldest, oldestAge(&s).Seconds(), plain)
	o.unread(&s, out, plain)
	if s.State != flowcontrol.Stalled {
		out.ObserveFloat64(o.stallAge, 0, plain)
		return
	}
	out.ObserveFloat64(o.stallAge, time.Since(s.Since).Seconds(), with(route,
		attribute.String(AttrCause, s.Cause.String()), attribute.String(AttrBlocker, blockerName(blockerOf(&s)))))
}

// unread shows what lies ahead of the source.
func (o *observer) unread(s *RouteStatus, out metric.Observer, plain metric.ObserveOption) {
	if s.LagKnown && s.Lag == 0 {
		out.ObserveFloat64(o.lagAge, 0, plain)
	}
	u := s.Unread
	if u == nil {
		return
	}
	for _, one := range []struct {
		of      metric.Float64Observable
		seconds *float64
	}{{o.lagAge, u.Age}, {o.caughtUp, u.CaughtUp}, {o.loss, u.Loss}} {
		if one.seconds != nil {
			out.ObserveFloat64(one.of, *one.seconds, plain)
		}
	}
}

func with(attributes ...attribute.KeyValue) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(attributes...))
}

func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
