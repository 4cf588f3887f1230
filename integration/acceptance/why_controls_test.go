//go:build integration

package acceptance

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-bridge/sluice/integration/daemon"
	"github.com/sluice-bridge/sluice/integration/proxy"
)

// timeIn is how long the routes of a daemon have been in a state, as /metrics says it.
func timeIn(s *scene, d *daemon.Daemon, state string) (total time.Duration) {
	s.Helper()
	_, text, err := d.Get(s.ctx, "/metrics")
	s.must(err)
	line := regexp.MustCompile(`(?m)^flowcontrol_source_time_seconds_total\{.*flowcontrol_state="` + state + `".*\} (\S+)$`)
	found := line.FindAllStringSubmatch(text, -1)
	if len(found) == 0 {
		s.Fatalf("no time in state %s in\n%s", state, text)
	}
	for _, f := range found {
		seconds, err := strconv.ParseFloat(f[1], 64)
		s.must(err)
		total += time.Duration(seconds * float64(time.Second))
	}
	return total
}

// tolerated is how long a sink may take for what it is given without a fault of Sluice's: a busy machine has stalls
// of its own.
func tolerated() time.Duration {
	if whole() {
		return 0
	}
	return 3 * time.Second
}

// TestWhyNotStalled: what is healthy is never stalled. SLUICE_CATCHUP says for how long the route catches up.
func TestWhyNotStalled(t *testing.T) {
	catchUp := 5 * time.Second
	if text := os.Getenv("SLUICE_CATCHUP"); text != "" {
		var err error
		if catchUp, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	both(t, func(s *scene, way *direction) {
		t := s.T
		ctx, cancel := context.WithTimeout(context.Background(), catchUp+5*time.Minute)
		t.Cleanup(cancel)
		s.ctx = ctx
		s.load.Size = 100
		s.must(way.fill(s, s.ctx, 0, 20_000, 0))
		d := s.start(way.config(s))
		next := int64(20_000)
		for begin := time.Now(); time.Since(begin) < catchUp; next += 20_000 {
			s.must(way.fill(s, s.ctx, next, next+20_000, 0))
		}
		s.passed(d)
		if stalled := timeIn(s, d, "stalled"); stalled > tolerated() {
			t.Errorf("stalled for %v of %v at full speed", stalled, catchUp)
		}
		busy := timeIn(s, d, "limited") + timeIn(s, d, "flowing")
		s.sleep(3 * time.Second)
		if stalled, idle := timeIn(s, d, "stalled"), timeIn(s, d, "idle"); stalled > tolerated() || idle < 2*time.Second {
			t.Errorf("stalled for %v, idle for %v of 3 s without load", stalled, idle)
		}
		row("why: %s: %d messages, flowing or limited for %.1f s; never stalled, nor when idle", way.name, next, busy.Seconds())
		s.end(d)
	})
}

// A second member joins and goes again: partitions move, which is said, and nothing is stalled.
func TestWhyRebalance(t *testing.T) {
	s := newScene(t, 2*time.Minute)
	s.create(nil)
	s.must(s.topic.Write(s.ctx, s.load, 0, 1000, 0))
	first := s.start(s.toStream(""))
	s.inStream(1000, time.Minute)
	loaded := s.background(func(ctx context.Context) error { return s.topic.Write(ctx, s.load, 1000, 16_000, 2000) })
	second := suite.sluice.Start(t, s.toStream(""))
	second.Until(s.ctx, t, "moving messages", func(r *daemon.Route) bool { return r.Counts.Acknowledged > 1000 })
	s.end(second)
	loaded()
	s.inStream(16_000, time.Minute)
	if stalled, moving := timeIn(s, first, "stalled"), timeIn(s, first, "rebalancing"); stalled > tolerated() || moving == 0 {
		t.Errorf("stalled for %v, rebalancing for %v", stalled, moving)
	} else {
		row("why: a member joins and leaves: rebalancing for %v, never stalled", moving)
	}
	s.end(first)
}

// A route that waits for memory which another has says so, and why that one does not give it back.
func TestWhyBudget(t *testing.T) {
	for i, name := range []string{"k2j", "j2k"} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, 2*time.Minute)
			way := &directions[i]
			s.load.Size, s.load.Plain = 8<<10, true
			s.create(nil)
			many(s, way, 2, "    window: {size: static}\n")
			target := suite.pair.NATS.URL[len("nats://"):]
			listen := []string{"127.0.0.1:0", "127.0.0.1:0"}
			targets := []string{target, target}
			if i == 1 {
				for k, p := range suite.pair.Kafka.Proxied[:2] {
					listen[k], targets[k] = p.Listen, p.Target
				}
			}
			dead, err := proxy.New(listen[0], targets[0])
			s.must(err)
			s.Cleanup(func() { _ = dead.Close() })
			far, err := proxy.NewLine(listen[1], targets[1], 300*time.Millisecond, 1<<30)
			s.must(err)
			s.Cleanup(func() { _ = far.Close() })
			config := way.config(s)
			// Of the two routes the first has the dead sink and the second the distant one.
			first, rest, _ := strings.Cut(config, fmt.Sprintf("  %s-1:", s.name))
			direct := suite.pair.NATS.URL
			if i == 1 {
				direct = suite.pair.Kafka.Addr
			}
			via := func(text, addr string) string {
				at := strings.LastIndex(text, direct)
				prefix := strings.TrimSuffix(direct, strings.TrimPrefix(direct, "nats://"))
				return text[:at] + prefix + addr + text[at+len(direct):]
			}
			config = via(first, dead.Addr) + fmt.Sprintf("  %s-1:", s.name) + via(rest, far.Addr)
			s.must(way.fill(s, s.ctx, 0, 16, 0))
			d := s.start(config, "GOMEMLIMIT=64MiB")
			both := func(ok func(a, b *daemon.Route) bool) {
				for {
					all, err := d.Routes(s.ctx)
					if err == nil && ok(&all[0], &all[1]) {
						return
					}
					if s.ctx.Err() != nil {
						s.Fatalf("%+v %v", all, err)
					}
					s.sleep(20 * time.Millisecond)
				}
			}
			both(func(a, b *daemon.Route) bool { return a.Counts.Acknowledged >= 16 && b.Counts.Acknowledged >= 16 })
			dead.Refuse(true)
			dead.Reset()
			loaded := s.background(func(ctx context.Context) error {
				_ = way.fill(s, ctx, 16, 1<<40, 0)
				return nil
			})
			_ = loaded
			both(func(a, b *daemon.Route) bool {
				return a.State == "stalled" && a.Blocker == "sink.disconnected" &&
					b.Cause == "budget" && b.State == "limited" && b.Blocker == "sink.disconnected" && b.Holder == a.Route
			})
			row("why: budget/%s: limited, budget, sink.disconnected of the route that holds it", name)
		})
	}
}
