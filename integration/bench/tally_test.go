package main

import (
	"testing"
	"time"

	"github.com/sluice-bridge/sluice/integration/bench/load"
)

// Each fault is counted as what it is.
func TestTally(t *testing.T) {
	at := time.Unix(100, 0)
	for _, test := range []struct {
		name                              string
		partition                         func(i int) int32 // of the sink
		sink                              []int64
		arrived, doubled, reordered, rest int64
	}{
		{name: "clean", sink: []int64{0, 1, 2, 3, 4, 5, 6, 7}, arrived: 8},
		// Lanes are n mod 4: 4 before 1 is no fault, 4 before 0 is.
		{name: "lanes mix", sink: []int64{0, 4, 1, 5, 2, 6, 3, 7}, arrived: 8},
		{name: "reordered", sink: []int64{4, 0, 1, 5, 2, 6, 3, 7}, arrived: 8, reordered: 1},
		{name: "in another sink partition", sink: []int64{4, 0, 1, 5, 2, 6, 3, 7}, partition: func(i int) int32 { return int32(i) }, arrived: 8},
		{name: "doubled", sink: []int64{0, 1, 2, 3, 0, 4, 5, 6, 7}, arrived: 8, doubled: 1},
		{name: "lost", sink: []int64{0, 1, 2, 3, 4, 5, 6}, arrived: 7},
		{name: "a stranger's", sink: []int64{0, 1, 2, 3, 4, 5, 6, 7, 1 << 20}, arrived: 8, rest: 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newTally(8, 4)
			for i, n := range test.sink {
				partition := int32(0)
				if test.partition != nil {
					partition = test.partition(i)
				}
				c.add(string(load.ID(nil, n)), partition, at.Add(time.Duration(i)*time.Second))
			}
			if c.arrived != test.arrived || c.doubled != test.doubled || c.reordered != test.reordered || c.odd != test.rest {
				t.Errorf("arrived %d, doubled %d, reordered %d, odd %d; want %d, %d, %d, %d", c.arrived, c.doubled, c.reordered, c.odd,
					test.arrived, test.doubled, test.reordered, test.rest)
			}
			if want := float64(test.arrived) / float64(len(test.sink)-1); c.rate() != want {
				t.Errorf("rate %v, want %v", c.rate(), want)
			}
		})
	}
}

// The ratio is the median of the rounds' ratios, not the ratio of the medians.
func TestRatio(t *testing.T) {
	rows := func(rates ...float64) *row {
		r := &row{contender: &contender{}}
		for _, rate := range rates {
			r.outcomes = append(r.outcomes, &outcome{rate: rate})
		}
		return r
	}
	rate := func(o *outcome) float64 { return o.rate }
	hand := rows(100, 10, 50)
	if got := ratio(rows(200, 20, 150), hand, rate); got != "2.00" {
		t.Errorf("ratio %s, want 2.00", got)
	}
	if got := ratio(hand, hand, rate); got != "" {
		t.Errorf("ratio of by hand to itself: %s", got)
	}
	if got := spread(rows(1000, 3000, 2000).outcomes, thousands, rate); got != "2k [1k..3k]" {
		t.Errorf("spread %s", got)
	}
}
