package bridge

import (
	"slices"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/flowcontrol"
	"github.com/sluice-bridge/sluice/telemetry"
)

const (
	// outlookEvery is how often it is looked how far behind a source is.
	outlookEvery = time.Second
	// outlookOver is over how long it is looked whether it catches up.
	outlookOver = 30 * time.Second
)

// outlook is how far a source is behind, and where that leads to. One goroutine.
type outlook struct {
	samples []sample // of the last outlookOver, oldest first
	most    float64  // messages a second: the fastest that it was seen to read
}

// sample is what a source said at a time.
type sample struct {
	at   time.Time
	lag  int64
	read uint64        // messages fetched, ever
	left time.Duration // until upstream removes the oldest unread message if nothing is read until then
}

// forecast is what follows from the samples. Zero times: it does not come to that, or nobody knows.
type forecast struct {
	lag    int64
	unread connectors.Unread
	// Messages a second, as the last half minute went; known: there was time to see.
	known                bool
	arriving, read, most float64
	// If the source goes on as it did.
	caughtUp, lost time.Time
}

// look asks the source, and keeps what follows for the status.
func (o *outlook) look(n *run, now time.Time) {
	if len(o.samples) > 0 && now.Sub(o.samples[len(o.samples)-1].at) < outlookEvery {
		return
	}
	lagger, ok := n.source.(connectors.Lagger)
	if !ok {
		return
	}
	lag, known := lagger.Lag()
	if !known {
		return
	}
	f := &forecast{lag: lag}
	if forecaster, ok := n.source.(connectors.Forecaster); ok {
		f.unread = forecaster.Unread()
	}
	o.samples = slices.DeleteFunc(o.samples, func(s sample) bool { return now.Sub(s.at) > outlookOver })
	o.samples = append(o.samples, sample{now, lag, n.route.counts.fetchedMessages.Load(), f.unread.Lost.Sub(now)})
	o.extrapolate(f)
	o.measure(f)
	n.route.forecast.Store(f)
}

// extrapolate draws the line through the oldest and the latest sample. What upstream removes comes nearer by
// the difference between reading and ageing: a source that catches up loses nothing.
func (o *outlook) extrapolate(f *forecast) {
	first, last := o.samples[0], o.samples[len(o.samples)-1]
	took := last.at.Sub(first.at).Seconds()
	if read := float64(first.lag - last.lag); last.lag > 0 && read > 0 {
		f.caughtUp = last.at.Add(after(float64(last.lag) / read * took))
	}
	if nearer := (first.left - last.left).Seconds() / took; nearer > 0 && !f.unread.Lost.IsZero() { // by so many seconds each second
		f.lost = last.at.Add(after(last.left.Seconds() / nearer))
	}
}

// measureOver is how long it takes at least to know how fast messages come and are read.
const measureOver = 5 * time.Second

// measure says how fast messages came and were read.
func (o *outlook) measure(f *forecast) {
	first, last := o.samples[0], o.samples[len(o.samples)-1]
	took := last.at.Sub(first.at)
	if took < measureOver {
		return
	}
	f.known = true
	f.read = float64(last.read-first.read) / took.Seconds()
	f.arriving = max(0, f.read+float64(last.lag-first.lag)/took.Seconds()) // less where somebody moved the position
	o.most = max(o.most, f.read)
	f.most = o.most
}

// after is a duration of so many seconds, of three years at most.
func after(seconds float64) time.Duration {
	return time.Duration(max(0, min(seconds, 1e8)) * float64(time.Second))
}

// fillUnread adds what the forecast says now. What nobody reads is lost when upstream says, whatever was read
// before; the same of a route that is halted and has no source.
func (r *Route) fillUnread(s *telemetry.RouteStatus, now time.Time) {
	f := r.forecast.Load()
	if f == nil {
		return
	}
	if f.known {
		s.Pace = f.pace(now)
	}
	if f.lag == 0 {
		return
	}
	until := func(at time.Time) *float64 {
		if at.IsZero() {
			return nil
		}
		seconds := max(0, at.Sub(now).Seconds())
		return &seconds
	}
	u := &telemetry.UnreadStatus{Loss: until(f.unread.Lost)}
	if s.State == flowcontrol.Flowing || s.State == flowcontrol.Limited {
		u.CaughtUp, u.Loss = until(f.caughtUp), until(f.lost)
	}
	if u.Loss != nil {
		u.Limit = f.unread.Limit
	}
	if !f.unread.Oldest.IsZero() {
		age := max(0, now.Sub(f.unread.Oldest).Seconds())
		u.Age = &age
	}
	s.Unread = u
}

// pace is what `sluice whatif` begins with.
func (f *forecast) pace(now time.Time) *telemetry.PaceStatus {
	p := &telemetry.PaceStatus{Arriving: f.arriving, Read: f.read, Most: f.most}
	left := f.unread.Kept
	if !f.unread.Lost.IsZero() {
		left = max(0, f.unread.Lost.Sub(now))
	}
	if left > 0 || !f.unread.Lost.IsZero() {
		seconds := left.Seconds()
		p.Left, p.Limit = &seconds, f.unread.Limit
	}
	return p
}
