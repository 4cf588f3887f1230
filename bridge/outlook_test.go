package bridge

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/connectortest"
	"github.com/sluice-bridge/sluice/flowcontrol"
	"github.com/sluice-bridge/sluice/telemetry"
)

// What is shown follows from how the lag and the time that is left have changed, and from whether anything is
// read at all.
func TestOutlook(t *testing.T) {
	never := -1.0
	for name, c := range map[string]struct {
		state          flowcontrol.State
		lag            [2]int64   // ten seconds apart
		left           [2]float64 // seconds; -1: for ever
		caughtUp, loss float64    // seconds
	}{
		"catches up":           {flowcontrol.Limited, [2]int64{1000, 500}, [2]float64{100, 200}, 10, never},
		"falls behind":         {flowcontrol.Limited, [2]int64{500, 1000}, [2]float64{100, 90}, never, 90},
		"falls behind slowly":  {flowcontrol.Flowing, [2]int64{500, 1000}, [2]float64{100, 95}, never, 190},
		"stalled":              {flowcontrol.Stalled, [2]int64{500, 1000}, [2]float64{100, 90}, never, 90},
		"stalled just now":     {flowcontrol.Stalled, [2]int64{1000, 500}, [2]float64{100, 200}, never, 200},
		"lost already":         {flowcontrol.Stalled, [2]int64{500, 1000}, [2]float64{5, -5}, never, 0},
		"kept for ever":        {flowcontrol.Stalled, [2]int64{500, 1000}, [2]float64{-1, -1}, never, never},
		"kept for ever, moves": {flowcontrol.Flowing, [2]int64{1000, 900}, [2]float64{-1, -1}, 90, never},
	} {
		now := time.Now()
		var o outlook
		var f *forecast
		for i := range 2 {
			at := now.Add(time.Duration(i-1) * 10 * time.Second)
			f = &forecast{lag: c.lag[i], unread: connectors.Unread{Oldest: now.Add(-time.Minute)}}
			if c.left[i] != -1 {
				f.unread.Lost, f.unread.Limit = at.Add(time.Duration(c.left[i]*float64(time.Second))), "retention"
			}
			o.samples = append(o.samples, sample{at, c.lag[i], 0, f.unread.Lost.Sub(at)})
			o.extrapolate(f)
		}
		r := &Route{}
		r.forecast.Store(f)
		s := telemetry.RouteStatus{State: c.state}
		r.fillUnread(&s, now)
		check := func(what string, got *float64, want float64) {
			value := never
			if got != nil {
				value = *got
			}
			if math.Abs(value-want) > 0.01 {
				t.Errorf("%s: %s in %v s, want %v", name, what, value, want)
			}
		}
		check("caught up", s.Unread.CaughtUp, c.caughtUp)
		check("lost", s.Unread.Loss, c.loss)
		check("age", s.Unread.Age, 60)
		if (s.Unread.Limit != "") != (s.Unread.Loss != nil) {
			t.Errorf("%s: limit %q", name, s.Unread.Limit)
		}
	}
}

// Of a source that has nothing to read nothing is said.
func TestOutlookWithoutLag(t *testing.T) {
	r := &Route{}
	var s telemetry.RouteStatus
	r.fillUnread(&s, time.Now())
	r.forecast.Store(&forecast{unread: connectors.Unread{Lost: time.Now()}})
	r.fillUnread(&s, time.Now())
	if s.Unread != nil {
		t.Errorf("%+v", s.Unread)
	}
}

// How fast messages come and are read follows from the lag and from what was read.
func TestOutlookPace(t *testing.T) {
	var o outlook
	now := time.Now()
	kept := 7 * 24 * time.Hour
	for i, c := range []struct {
		lag            int64
		read           uint64
		known          bool
		arriving, most float64
	}{
		{1000, 0, false, 0, 0},
		{1000, 100, false, 0, 0}, // too soon
		{500, 1000, true, 50, 100},
		{500, 1000, true, 25, 100}, // nothing came and nothing was read meanwhile, but the fastest stays
	} {
		at := now.Add(time.Duration([]int{0, 1, 10, 20}[i]) * time.Second)
		f := &forecast{lag: c.lag, unread: connectors.Unread{Kept: kept, Limit: "retention"}}
		o.samples = append(o.samples, sample{at, c.lag, c.read, 0})
		o.measure(f)
		if f.known != c.known || f.arriving != c.arriving || f.most != c.most {
			t.Errorf("%d: %+v", i, f)
		}
		p := f.pace(at)
		if p.Left == nil || *p.Left != kept.Seconds() || p.Limit != "retention" {
			t.Errorf("%d: %+v", i, p)
		}
		f.unread.Lost = at.Add(time.Minute)
		if p := f.pace(at); *p.Left != 60 {
			t.Errorf("%d: left %v", i, *p.Left)
		}
	}
}

// TestOutlookBeginsAnew: where an operator sets a position back, nothing has come for that.
func TestOutlookBeginsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := timed(1, 100)
		s := start(t, between(source, connectortest.NewTopic("out", 0)))
		s.until("committed", func(*Route) bool { return source.CommittedSum() == 100 })
		time.Sleep(10 * time.Second)
		if err := s.Pause("orders", ann); err != nil {
			t.Fatal(err)
		}
		if _, err := s.SetPosition(t.Context(), "orders", PositionOrder{To: "earliest", By: ann}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(measureOver + 2*outlookEvery)
		if now := s.Status()[0]; now.Lag != 100 || now.Pace == nil || now.Pace.Arriving != 0 {
			t.Errorf("%d behind, %+v", now.Lag, now.Pace)
		}
		s.end()
	})
}
