package flowcontrol

import (
	"math"
	"testing"
	"time"
)

// feed lets a sink acknowledge what the share's window allows, at a rate, over a distance, for a while.
func feed(t *testing.T, begin, end time.Time, rate float64, distance time.Duration, shares ...*Share) {
	t.Helper()
	for now := begin; now.Before(end); {
		sum := 0.0
		for _, m := range shares {
			sum += float64(m.window.Limit().Messages)
		}
		residence := max(distance, time.Duration(sum/rate*float64(time.Second)))
		now = now.Add(residence / 2)
		for _, m := range shares {
			if m.pressed { // its source has more, as it had
				m.Press()
			}
			m.Acknowledged(now, max(1, int(m.window.Limit().Messages/2)), residence)
		}
	}
}

func TestSizerFindsWhatKeepsTheSinkBusy(t *testing.T) {
	begin := time.Unix(1000, 0)
	for _, c := range []struct {
		rate     float64
		distance time.Duration
		hard     int64
		low, top int64 // of the limit
		asked    int64 // at least
	}{
		{10_000, 20 * time.Millisecond, 8192, 150, 320, 150},
		{100_000, 80 * time.Millisecond, 4096, 3000, 4096, 5000}, // 8,000 would do
		{20, time.Millisecond, 8192, 3, 8, 3},
	} {
		w := newWindow(t, Cost{c.hard, 1 << 20})
		m := new(Sizer).Join(w, begin)
		if got := w.Limit(); got.Messages > 16 || got.Bytes != 1<<20 {
			t.Errorf("begins with %+v", got)
		}
		m.Press()
		feed(t, begin, begin.Add(20*time.Second), c.rate, c.distance, m)
		limit, advice := w.Limit().Messages, m.Advice()
		if limit < c.low || limit > c.top || advice.Asked < c.asked {
			t.Errorf("%+v: limit %d, advice %+v", c, limit, advice)
		}
	}
}

// TestSizerLeavesWhatTheSourceLimits: a window that is not full says nothing of the sink.
func TestSizerLeavesWhatTheSourceLimits(t *testing.T) {
	begin := time.Unix(1000, 0)
	w := newWindow(t, Cost{8192, 1 << 20})
	m := new(Sizer).Join(w, begin)
	before := w.Limit()
	feed(t, begin, begin.Add(20*time.Second), 10_000, 20*time.Millisecond, m)
	if w.Limit() != before {
		t.Errorf("%+v has become %+v", before, w.Limit())
	}
}

func TestSizerShares(t *testing.T) {
	begin := time.Unix(1000, 0)
	small, one, two := newWindow(t, Cost{50, 1 << 20}), newWindow(t, Cost{8192, 1 << 20}), newWindow(t, Cost{8192, 1 << 20})
	var s Sizer
	a, b, c := s.Join(one, begin), s.Join(two, begin), s.Join(small, begin)
	for _, m := range []*Share{a, b, c} {
		m.Press()
	}
	end := begin.Add(20 * time.Second)
	feed(t, begin, end, 10_000, 20*time.Millisecond, a, b, c)
	sum := small.Limit().Messages + one.Limit().Messages + two.Limit().Messages
	if sum < 150 || sum > 320 || one.Limit() != two.Limit() || small.Limit().Messages > 50 {
		t.Errorf("small %+v, the others %+v and %+v: want the sink's 200 in equal parts but for what is bounded", small.Limit(), one.Limit(), two.Limit())
	}
	// Who needs nothing leaves it to the others, and can begin when it does.
	b.Acknowledged(end, int(two.Limit().Messages)+1, 20*time.Millisecond)
	sum = int64(math.Round(s.knee.limit))
	if got := one.Limit().Messages + small.Limit().Messages; got < sum-1 || two.Limit().Messages < sum/4 {
		t.Errorf("the others have %d of %d, who needs nothing may begin with %d", got, sum, two.Limit().Messages)
	}
	// What does not move comes on top.
	a.Hold(100)
	if got := one.Limit().Messages + small.Limit().Messages; got < sum+99 {
		t.Errorf("with 100 held by stuck lanes the others have %d of %d", got, sum)
	}
	a.Hold(0)
	c.Leave(end)
	if got := one.Limit().Messages; got < sum-1 {
		t.Errorf("the only one that needs any has %d of %d", got, sum)
	}
}

// TestSizerPatience: a sink that takes 3 s for whatever it is given answers, only not each second.
func TestSizerPatience(t *testing.T) {
	begin := time.Unix(1000, 0)
	w := newWindow(t, Cost{8192, 1 << 20})
	m := new(Sizer).Join(w, begin)
	m.Press()
	now, patience := begin, time.Duration(0)
	for range 10 {
		now = now.Add(3 * time.Second)
		m.Press()
		patience = m.Acknowledged(now, int(w.Limit().Messages), 3*time.Second)
	}
	if patience != 6*time.Second || w.Limit().Messages == 8192 {
		t.Errorf("patience %v with a limit of %d, want 6s", patience, w.Limit().Messages)
	}
	for i := 0; i < 1000 || i < 1100 && w.Limit().Messages != 8192; i++ { // until the window is not small, nor a probe
		now = now.Add(3 * time.Second)
		m.Press()
		patience = m.Acknowledged(now, int(w.Limit().Messages), 3*time.Second)
	}
	if limit := w.Limit().Messages; limit != 8192 || patience != StallAfter {
		t.Errorf("patience %v with a limit of %d, want %v with the hard bound", patience, limit, StallAfter)
	}
}

func TestSizerThrottled(t *testing.T) {
	begin := time.Unix(1000, 0)
	w := newWindow(t, Cost{8192, 1 << 20})
	m := new(Sizer).Join(w, begin)
	m.Press()
	now := begin.Add(20 * time.Second)
	feed(t, begin, now, 10_000, 20*time.Millisecond, m)
	before := w.Limit().Messages
	m.Throttled(now)
	cut := w.Limit().Messages
	m.Throttled(now.Add(time.Millisecond)) // the same, heard of twice
	if want := int64(math.Round(throttleCut * float64(before))); cut > want+1 || w.Limit().Messages != cut {
		t.Errorf("from %d to %d and then %d", before, cut, w.Limit().Messages)
	}
	feed(t, now, now.Add(5*time.Second), 10_000, 20*time.Millisecond, m)
	if got := w.Limit().Messages; float64(got) > math.Round(throttleNear*float64(before)) {
		t.Errorf("%d again so soon, it was %d", got, before)
	}
}

func TestSizerAllocatesNothing(t *testing.T) {
	begin := time.Unix(1000, 0)
	m := new(Sizer).Join(newWindow(t, Cost{8192, 1 << 20}), begin)
	m.Press()
	now := begin
	if n := testing.AllocsPerRun(1000, func() {
		now = now.Add(time.Millisecond)
		m.Acknowledged(now, 10, 20*time.Millisecond)
		m.Press()
	}); n != 0 {
		t.Errorf("%v allocations a sample", n)
	}
}

func BenchmarkSizer(b *testing.B) {
	begin := time.Unix(1000, 0)
	w, err := NewWindow(Cost{8192, 1 << 20})
	if err != nil {
		b.Fatal(err)
	}
	m := new(Sizer).Join(w, begin)
	m.Press()
	b.ReportAllocs()
	for i := range b.N {
		m.Acknowledged(begin.Add(time.Duration(i)*time.Millisecond), 1000, 20*time.Millisecond)
	}
}
