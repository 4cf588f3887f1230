//go:build integration

package acceptance

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluice-bridge/sluice/integration/brokers"
	"github.com/sluice-bridge/sluice/integration/daemon"
)

// SIGTERM under load finishes what is in flight: started again it doubles nothing.
func TestEndUnderLoad(t *testing.T) {
	both(t, func(s *scene, way *direction) {
		n := messages(600_000, 120_000)
		s.must(way.fill(s, s.ctx, 0, n, 0))
		d := s.start(way.config(s))
		for i := range int64(3) {
			s.arrive("the sink", way.arrived(s), n*(i+1)/5, time.Minute)
			d.Until(s.ctx, s.T, "at work", func(r *daemon.Route) bool {
				return r.Counts.Acknowledged > 0 || r.LagKnown && r.Lag == 0
			})
			s.end(d)
			d.Again(s.T)
		}
		s.arrive("the sink", way.arrived(s), n, time.Minute)
		d.Until(s.ctx, s.T, "done", func(r *daemon.Route) bool { return r.Window.Messages == 0 && r.LagKnown && r.Lag == 0 })
		s.end(d)
		r := way.compare(s)
		s.clean(r)
		row("%s, SIGTERM x 3 under load: %v", way.name, r)
	})
}

// With a frozen sink SIGTERM ends at the drain deadline with exit code 4 and says how much will come
// again; a second signal ends at once.
func TestEndWithFrozenSink(t *testing.T) {
	suite.pair.NeedControl(t)
	s := newScene(t, 5*time.Minute)
	n := messages(100_000, 50_000)
	s.create(nil)
	s.must(s.topic.Write(s.ctx, s.load, 0, n, 0))
	config := s.toStream("shutdown: {drain: 3s}\n")
	nats := suite.pair.NATS.Process
	d := s.start(config)
	s.inStream(n/10, time.Minute)
	s.must(nats.Freeze())
	d.Until(s.ctx, t, "stalled", func(r *daemon.Route) bool { return r.State == "stalled" })
	asked := time.Now()
	s.must(d.Signal(terminate))
	<-d.Exited()
	took := time.Since(asked)
	if code := d.ExitCode(); code != 4 || took > 15*time.Second {
		t.Errorf("exit code %d after %v, want 4 soon after 3 s", code, took)
	}
	lines, err := d.Lines()
	s.must(err)
	if !said(lines, "come again") {
		t.Errorf("nothing says what will come again: %v", lines[max(0, len(lines)-3):])
	}
	s.must(nats.Thaw())
	d.Again(t)
	have, err := s.stream.Count(s.ctx)
	s.must(err)
	s.inStream(min(n, have+1000), time.Minute)
	s.must(nats.Freeze())
	s.must(d.Signal(terminate))
	s.sleep(300 * time.Millisecond)
	asked = time.Now()
	s.must(d.Signal(terminate))
	<-d.Exited()
	if code, took := d.ExitCode(), time.Since(asked); code != 143 && code != 0 || took > 10*time.Second {
		t.Errorf("second signal: exit code %d after %v, want 143 at once", code, took)
	}
	s.must(nats.Thaw())
	d.Again(t)
	s.arriveAll(d, n)
	s.end(d)
	s.whole(s.compareToStream(), 2*2*window)
	row("SIGTERM with a frozen sink, drain 3s: exit 4 after %v", took.Round(100*time.Millisecond))
}

// arriveAll waits until the daemon has nothing left to move.
func (s *scene) arriveAll(d *daemon.Daemon, n int64) {
	s.Helper()
	s.inStream(n, time.Minute)
	d.Until(s.ctx, s.T, "everything committed", func(r *daemon.Route) bool {
		return r.Window.Messages == 0 && r.LagKnown && r.Lag == 0
	})
}

func said(lines []daemon.Line, what string) bool {
	for _, l := range lines {
		if strings.Contains(l.Message(), what) {
			return true
		}
	}
	return false
}

// Whatever is missing at the start is a state with a name, and mends itself.
func TestMissingAtStart(t *testing.T) {
	suite.pair.NeedControl(t)
	tests := map[string]struct {
		breaks func(*scene)
		mends  func(*scene)
		says   string
	}{
		"stream": {
			func(s *scene) { s.must(s.topic.Create(s.ctx, 4, nil)) },
			func(s *scene) { s.createStream(nil) },
			"stream",
		},
		"topic": {
			func(s *scene) { s.createStream(nil) },
			func(s *scene) { s.must(s.topic.Create(s.ctx, 4, nil)) },
			"topic",
		},
		"kafka": {
			func(s *scene) { s.create(nil); s.must(suite.pair.Kafka.Process.Kill()) },
			func(s *scene) { s.must(suite.pair.Kafka.Restart(s.ctx)) },
			"connection refused",
		},
		"nats": {
			func(s *scene) { s.create(nil); s.must(suite.pair.NATS.Process.Kill()) },
			func(s *scene) { s.must(suite.pair.NATS.Restart(s.ctx)) },
			"nats",
		},
		"both": {
			func(s *scene) {
				s.create(nil)
				s.must(suite.pair.NATS.Process.Kill())
				s.must(suite.pair.Kafka.Process.Kill())
			},
			func(s *scene) {
				s.must(suite.pair.NATS.Restart(s.ctx))
				s.must(suite.pair.Kafka.Restart(s.ctx))
			},
			"",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, time.Minute)
			tt.breaks(s)
			d := s.start(s.toStream(""))
			d.Until(s.ctx, t, "naming what is missing", func(r *daemon.Route) bool {
				return r.Detail != "" && strings.Contains(strings.ToLower(r.Detail), tt.says) && !(r.SourceConnected && r.SinkConnected)
			})
			s.sleep(2 * time.Second)
			if code, _, err := d.Get(s.ctx, "/livez"); err != nil || code != 200 {
				t.Errorf("/livez: %d, %v", code, err)
			}
			if code, body, err := d.Get(s.ctx, "/readyz"); err != nil || code != 503 {
				t.Errorf("/readyz: %d %s %v", code, body, err)
			}
			tt.mends(s)
			s.must(s.topic.Write(s.ctx, s.load, 0, 1000, 0))
			s.inStream(1000, time.Minute)
			status := d.Until(s.ctx, t, "connected", func(r *daemon.Route) bool { return r.SourceConnected && r.SinkConnected })
			if status.State != "idle" && status.State != "flowing" {
				t.Errorf("state %s after all is well", status.State)
			}
			s.end(d)
			s.clean(s.compareToStream())
		})
	}
}

// A wrong address, or a name that nobody has, is told from a right one, and the daemon stays.
func TestWrongAddress(t *testing.T) {
	ports, err := brokers.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	nobody := fmt.Sprintf("127.0.0.1:%d", ports[0])
	for name, where := range map[string]struct{ kafka, nats string }{
		"kafka nobody": {kafka: nobody}, "kafka no name": {kafka: "kafka.invalid:9092"},
		"nats nobody": {nats: nobody}, "nats no name": {nats: "nats.invalid:4222"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, time.Minute)
			s.create(nil)
			wrong := *s
			wrong.topic.Addr, wrong.stream.URL = cmp.Or(where.kafka, s.topic.Addr), cmp.Or(where.nats, s.stream.URL)
			d := s.start(wrong.toStream(""))
			d.Until(s.ctx, t, "naming the address", func(r *daemon.Route) bool {
				return r.State == "disconnected" && strings.Contains(r.Detail, where.kafka+where.nats)
			})
			if code, _, err := d.Get(s.ctx, "/livez"); err != nil || code != 200 {
				t.Errorf("/livez: %d, %v", code, err)
			}
			s.end(d)
		})
	}
}

// The 90 % warning stands before the first stall in the log.
func TestWarningPrecedesStall(t *testing.T) {
	suite.pair.NeedControl(t)
	s := newScene(t, 3*time.Minute)
	s.must(s.topic.Create(s.ctx, 4, nil))
	s.createStream(nil)
	d := s.start(s.toStream("    window: {size: static}\n")) // an adaptive one is stalled before the hard bound is near
	s.must(s.topic.Write(s.ctx, s.load, 0, 400, 0))          // a first start reads nothing before it knows what the sink holds
	s.inStream(400, time.Minute)
	s.must(suite.pair.NATS.Process.Freeze())
	loaded := s.background(func(ctx context.Context) error { return s.topic.Write(ctx, s.load, 400, 20_000, 5000) })
	status := d.Until(s.ctx, t, "stalled", func(r *daemon.Route) bool { return r.State == "stalled" })
	s.sleep(2 * time.Second)
	lines, err := d.Lines()
	s.must(suite.pair.NATS.Process.Thaw())
	s.must(err)
	warned, stalled := -1, -1
	for i, l := range lines {
		switch {
		case strings.Contains(l.Message(), "90 %") && warned < 0:
			warned = i
		case strings.Contains(l.Message(), "stalled") && stalled < 0:
			stalled = i
		}
	}
	if warned < 0 || stalled < 0 || warned > stalled {
		t.Errorf("the warning is line %d, the stall line %d", warned, stalled)
	}
	if status.Counts.Crossings != 1 {
		t.Errorf("%d crossings of 90 %%, want 1", status.Counts.Crossings)
	}
	loaded()
	s.inStream(20_000, time.Minute)
	s.end(d)
	s.clean(s.compareToStream())
}
