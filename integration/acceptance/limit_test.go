//go:build integration

package acceptance

import (
	"testing"
	"time"
)

// A limited route keeps to its rate with both brokers, also to another one while it runs, and is never stalled for it.
func TestLimitHolds(t *testing.T) {
	both(t, func(s *scene, way *direction) {
		const n = 60_000
		s.must(way.fill(s, s.ctx, 0, n, 0))
		config := way.config(s) + "    limit: {messages: 1000/s}\n"
		d := s.start(config)
		s.arrive("the sink", way.arrived(s), 1, time.Minute)
		measure := func(limit float64) float64 {
			const over = 5 * time.Second
			before, err := d.Status(s.ctx)
			s.must(err)
			begin := time.Now()
			s.sleep(over)
			after, err := d.Status(s.ctx)
			s.must(err)
			got := float64(after.Counts.Fetched-before.Counts.Fetched) / time.Since(begin).Seconds()
			if got > 1.1*limit || got < 0.9*limit && whole() || got < 0.5*limit {
				s.Errorf("%.0f messages/s, the limit is %.0f", got, limit)
			}
			return got
		}
		first := measure(1000)
		s.do(d, "limit", s.name, "--messages", "4000/s", "--reason", "it is warm")
		s.sleep(time.Second)
		second := measure(4000)
		if stalled := timeIn(s, d, "stalled"); stalled > tolerated() {
			s.Errorf("stalled for %v", stalled)
		}
		s.do(d, "limit", s.name, "--messages", "none")
		s.arrive("the sink", way.arrived(s), n, time.Minute)
		s.passed(d)
		s.end(d)
		report := way.compare(s)
		s.clean(report)
		row("%s, limited to 1000/s and then 4000/s: %.0f/s and %.0f/s; %v", way.name, first, second, report)
	})
}
