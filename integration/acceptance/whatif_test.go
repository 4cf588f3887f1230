//go:build integration

package acceptance

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/sluice-bridge/sluice/integration/daemon"
)

// What is foretold of a sink that is down for a while is what comes when it is frozen for so long.
func TestWhatIf(t *testing.T) {
	suite.pair.NeedControl(t)
	for i, name := range []string{"k2j", "j2k"} {
		if i == 0 && !whole() {
			continue // half a minute each
		}
		t.Run(name, func(t *testing.T) {
			s := newScene(t, 5*time.Minute)
			way := &directions[i]
			s.load.Plain = i == 1
			s.create(func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour })
			tr := &trial{scene: s, way: way, toStream: i == 0}
			const perSecond, down = 1000, 20 * time.Second
			loading, stop := context.WithCancel(s.ctx)
			defer stop()
			loaded := make(chan struct{})
			go func() {
				defer close(loaded)
				_ = way.fill(s, loading, 0, 1<<40, perSecond)
			}()
			d := s.start(way.config(s) + "    window: {max_messages: 2000}\n")
			tr.daemon = d
			s.arrive("the sink", way.arrived(s), 12*perSecond, time.Minute)

			var told []struct {
				Then     int64    `json:"lag_then"`
				Arriving float64  `json:"arriving_per_second"`
				Left     *float64 `json:"left_seconds"`
				Loss     bool
			}
			s.must(json.Unmarshal([]byte(s.do(d, "whatif", "--sink-down", down.String(), "--json")), &told))
			tr.freeze()
			frozen := time.Now()
			s.sleep(down)
			lag := freshLag(s, d)
			foretold := float64(told[0].Then) + told[0].Arriving*(time.Since(frozen)-down).Seconds()
			tr.thaw()
			// The source holds what its broker sent before it had to wait: some of its own requests more.
			if off := foretold/float64(lag) - 1; told[0].Loss || off > 0.15 || off < -0.15 {
				s.Errorf("foretold %+v, which is %.0f by now, and the lag is %d", told[0], foretold, lag)
			}
			if i == 1 && (told[0].Left == nil || *told[0].Left > 3600 || *told[0].Left < 3500) {
				s.Errorf("a stream that keeps messages for an hour keeps them for %v", told[0].Left)
			}
			row("%s, %d/s, sink frozen for %v: lag foretold %.0f, lag %d", way.name, perSecond, down, foretold, lag)
			if i == 1 {
				if said, code := s.operate(d, "whatif", "--sink-down", "2h"); code != 1 {
					s.Errorf("exit code %d for longer than the stream keeps anything: %s", code, said)
				}
			}
			stop()
			<-loaded
			d.Until(s.ctx, s.T, "done", func(r *daemon.Route) bool { return r.LagKnown && r.Lag == 0 && r.Window.Messages == 0 })
			s.end(d)
			s.clean(way.compare(s))
		})
	}
}

// freshLag returns the lag as soon as the daemon has asked for it anew: it does so every two seconds only.
func freshLag(s *scene, d *daemon.Daemon) int64 {
	before, err := d.Status(s.ctx)
	s.must(err)
	for now := before; ; s.sleep(10 * time.Millisecond) {
		now, err = d.Status(s.ctx)
		s.must(err)
		if now.Lag != before.Lag {
			return now.Lag
		}
	}
}
