//go:build integration

package acceptance

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/sluice-bridge/sluice/bridge"
	"github.com/sluice-bridge/sluice/integration/daemon"
	"github.com/sluice-bridge/sluice/integration/truth"
)

func (way *direction) toStream() bool { return way == &directions[0] }

// lose makes upstream forget the position of the route, as time or a colleague does.
func (s *scene) lose(way *direction) {
	s.Helper()
	group := "sluice-" + s.name
	if way.toStream() {
		// A member that was killed keeps the group until its session ends.
		for s.topic.Forget(s.ctx, group) != nil {
			s.sleep(200 * time.Millisecond)
		}
		return
	}
	s.must(s.stream.DeleteDurable(s.ctx, group))
}

// A position that upstream has lost halts the route, after a soft end and after a kill, and one command goes on
// where the sink ends: nothing is lost, and after a soft end nothing is doubled.
func TestPositionLost(t *testing.T) {
	for _, killed := range []bool{false, true} {
		t.Run(fmt.Sprintf("killed-%v", killed), func(t *testing.T) {
			both(t, func(s *scene, way *direction) {
				n := messages(200_000, 20_000)
				if killed {
					n = messages(600_000, 60_000) // so many are under way then
				}
				s.must(way.fill(s, s.ctx, 0, n/2, 0))
				d := s.start(way.config(s))
				if killed {
					s.arrive("the sink", way.arrived(s), n/6, time.Minute)
					s.must(d.Kill())
				} else {
					s.passed(d)
					s.end(d)
				}
				s.lose(way)
				s.must(way.fill(s, s.ctx, n/2, n, 0))
				before, err := way.arrived(s)(s.ctx)
				s.must(err)
				d.Again(s.T)
				r := s.halts(d, "position_lost")
				s.do(d, "position", s.name)
				s.do(d, "position", s.name, "set", "--to", "sink", "--dry-run")
				if now, err := way.arrived(s)(s.ctx); err != nil || now != before {
					s.Errorf("%d messages came while the route was halted (%v)", now-before, err)
				}
				s.way(d, r)
				s.passed(d)
				status, err := d.Status(s.ctx)
				s.must(err)
				if a := status.Actions; len(a) != 1 || !strings.HasPrefix(a[0].What, "position set --to sink") || a[0].Why != s.Name() || !strings.Contains(a[0].Before, " none") {
					s.Errorf("actions %+v", a)
				}
				s.end(d)
				report := way.compare(s)
				doubled := int64(0)
				if killed {
					doubled = 5 * 8192
				}
				s.whole(report, doubled)
				row("%s, position lost, killed %v, position set --to sink: %v", way.name, killed, report)
			})
		})
	}
}

// The position in one partition alone is lost: the route waits, and goes on where each partition was.
func TestPositionLostInOnePartition(t *testing.T) {
	s := newScene(t, 5*time.Minute)
	s.create(nil)
	s.must(s.topic.Write(s.ctx, s.load, 0, 5000, 0))
	d := s.start(s.toStream(""))
	s.passed(d)
	s.end(d)
	s.must(s.topic.Forget(s.ctx, "sluice-"+s.name, 2))
	s.must(s.topic.Write(s.ctx, s.load, 5000, 6000, 0))
	d = s.start(s.toStream(""))
	r := s.halts(d, "position_lost")
	if !strings.HasPrefix(r.Halted.Detail, s.topic.Name+"/2 has no committed position") {
		s.Errorf("%+v", *r.Halted)
	}
	s.way(d, r)
	s.passed(d)
	s.inStream(6000, time.Minute)
	s.end(d)
	s.clean(s.compareToStream())
}

// A route that was renamed has no position either.
func TestRenamedRoute(t *testing.T) {
	both(t, func(s *scene, way *direction) {
		s.must(way.fill(s, s.ctx, 0, 5000, 0))
		d := s.start(way.config(s))
		s.passed(d)
		s.end(d)
		config := strings.Replace(way.config(s), "\n  "+s.name+":", "\n  renamed:", 1)
		d = s.start(config)
		r := s.halts(d, "position_lost")
		s.way(d, r)
		s.must(way.fill(s, s.ctx, 5000, 6000, 0))
		s.passed(d)
		s.arrive("the sink", way.arrived(s), 6000, time.Minute)
		s.end(d)
		s.clean(way.compare(s))
	})
}

// A first start looks through the sink no further than it has to, and tells how far: not at all where the sink
// is empty, and where it holds others' messages once through them.
func TestFirstStart(t *testing.T) {
	both(t, func(s *scene, way *direction) {
		s.must(way.fill(s, s.ctx, 0, 100, 0))
		first := func(name string, until func(*daemon.Route) bool) (took time.Duration, looked int) {
			begun := time.Now()
			d := s.start(strings.Replace(way.config(s), "\n  "+s.name+":", "\n  "+name+":", 1))
			d.Until(s.ctx, s.T, "begun", until)
			took = time.Since(begun)
			s.end(d)
			lines, err := d.Lines()
			s.must(err)
			for _, l := range lines {
				if strings.HasPrefix(l.Message(), "looked back through the sink") {
					looked++
				}
			}
			return took, looked
		}
		empty, looked := first("first", func(r *daemon.Route) bool { return r.Counts.Acknowledged > 0 })
		if looked > 0 {
			s.Errorf("an empty sink was looked through %d times", looked)
		}
		// The messages of that start stand behind many of others now, and another route asks for them.
		others := messages(600_000, 50_000)
		s.must(way.foreign(s, others))
		behind, looked := first("second", func(r *daemon.Route) bool { return r.Halted != nil && r.Halted.Reason == "position_lost" })
		if looked != 1 {
			s.Errorf("looked through the sink %d times, want once", looked)
		}
		row("%s, first start: the first message after %v with an empty sink; what stands behind %d messages of others is found after %v",
			way.name, empty.Round(10*time.Millisecond), others, behind.Round(10*time.Millisecond))
	})
}

// foreign writes messages into the sink that are of no route.
func (way *direction) foreign(s *scene, n int64) error {
	load := &truth.Load{Run: "others", Size: 200, Subjects: 64}
	if way.toStream() {
		return s.stream.Write(s.ctx, load, s.name, 0, n, 0)
	}
	return s.topic.Write(s.ctx, load, 0, n, 0)
}

// positions asks where the route goes on.
func (s *scene) positions(d *daemon.Daemon) []bridge.PositionStatus {
	s.Helper()
	var answer struct{ Partitions []bridge.PositionStatus }
	s.must(json.Unmarshal([]byte(s.do(d, "position", s.name, "--json")), &answer))
	if len(answer.Partitions) == 0 {
		s.Fatal("no partition has a position")
	}
	return answer.Partitions
}

// A position is set back on a running route: exactly what lies behind comes again, in order.
func TestPositionSet(t *testing.T) {
	both(t, func(s *scene, way *direction) {
		n := messages(200_000, 20_000)
		s.must(way.fill(s, s.ctx, 0, n, 0))
		d := s.start(way.config(s))
		s.passed(d)
		all := s.positions(d)
		for slices.ContainsFunc(all, func(p bridge.PositionStatus) bool { return p.Lag > 0 }) {
			s.sleep(20 * time.Millisecond) // what is acknowledged is committed a moment later
			all = s.positions(d)
		}
		partition, at := all[0].Partition, all[0].Committed
		args := []string{"position", s.name, "set", "--to", fmt.Sprint(at - 500), "--partition", partition}
		if said := s.do(d, append(args, "--dry-run")...); !strings.Contains(said, "500") || !strings.Contains(said, "dry run") {
			t.Errorf("the plan: %s", said)
		}
		s.do(d, args...)
		s.arrive("the sink", way.arrived(s), n+500, time.Minute)
		s.passed(d)
		said, code := s.operate(d, "position", s.name, "set", "--to", fmt.Sprint(at+1), "--partition", partition)
		if code != 1 || !strings.Contains(said, "has no position") {
			s.Errorf("beyond the end: exit code %d: %s", code, said)
		}
		s.end(d)
		r := way.compare(s)
		s.Log(r)
		if r.Lost+r.Phantom+r.Altered+r.Reordered > 0 || r.Doubled != 500 {
			s.Errorf("want exactly 500 doubled: %v", r)
		}
	})
}

// While another instance reads the position is not set, and who it is is said.
func TestPositionSetWhileAnotherReads(t *testing.T) {
	both(t, func(s *scene, way *direction) {
		s.must(way.fill(s, s.ctx, 0, 5000, 0))
		d := s.start(way.config(s))
		s.passed(d)
		second := suite.sluice.Start(s.T, way.config(s))
		asked, want := d, "is being read by sluice at 127.0.0.1"
		if way.toStream() {
			second.Until(s.ctx, s.T, "member", func(r *daemon.Route) bool { return r.LagKnown && r.State == "idle" })
		} else {
			second.Until(s.ctx, s.T, "standing by", func(r *daemon.Route) bool { return r.State == "standby" })
			asked, want = second, "is being read by the instance"
		}
		said, code := s.operate(asked, "position", s.name, "set", "--to", "earliest")
		if code != 1 || !strings.Contains(said, want) {
			s.Errorf("exit code %d: %s", code, said)
		}
		s.end(second)
		s.passed(d)
		s.do(d, "position", s.name, "set", "--to", "earliest")
		s.arrive("the sink", way.arrived(s), 10_000, time.Minute)
		s.passed(d)
		s.end(d)
		s.whole(way.compare(s), 5000)
	})
}

// The one message that blocks goes to the dead letters, and nothing else does.
func TestSkip(t *testing.T) {
	s := newScene(t, 5*time.Minute)
	s.create(func(c *jetstream.StreamConfig) { c.MaxMsgSize = 4096 })
	letters := truth.Stream{URL: s.stream.URL, Name: s.stream.Name + "-LETTERS"}
	s.must(letters.Create(s.ctx, nil, s.name+"-letters"))
	s.Cleanup(func() { _ = letters.Delete(context.WithoutCancel(s.ctx)) })
	s.must(s.topic.Write(s.ctx, s.load, 0, 2000, 0))
	large := s.load.Message(2000)
	large.Value = make([]byte, 10_000)
	s.must(s.topic.WriteMessages(s.ctx, 1, large))
	s.must(s.topic.Write(s.ctx, s.load, 2001, 4000, 0))
	d := s.start(s.toStream(fmt.Sprintf(`    dead_letter:
      sink: {jetstream: {servers: ["%s"], stream: "%s", subject: "%s-letters"}}
`, s.stream.URL, letters.Name, s.name)))
	r := s.halts(d, "message_refused")
	if r.Halted.Partition != s.topic.Name+"/1" || !strings.Contains(r.Halted.Way, "--skip") || strings.Contains(r.Halted.Way, "--drop") {
		t.Errorf("%+v", *r.Halted)
	}
	if said := s.do(d, "resume", s.name, "--skip", "--reason", "too large for them"); !strings.Contains(said, "goes on") {
		t.Errorf("%s", said)
	}
	status := s.passed(d)
	if status.Counts.DeadLettered != 1 || len(status.Actions) != 1 || status.Actions[0].Why != "too large for them" {
		t.Errorf("%+v, %+v", status.Counts, status.Actions)
	}
	s.end(d)
	kept := 0
	s.must(letters.Read(s.ctx, func(m jetstream.Msg, _ *jetstream.MsgMetadata) {
		kept++
		if len(m.Data()) != 10_000 || !strings.HasSuffix(m.Headers().Get("Dead-Letter-Position"), fmt.Sprintf("/1@%d", r.Halted.Offset)) {
			t.Errorf("dead letter of %d bytes: %v", len(m.Data()), m.Headers())
		}
	}))
	report := s.compareToStream()
	s.Log(report)
	if kept != 1 || report.Lost != 1 || report.Phantom+report.Altered+report.Reordered > 0 {
		t.Errorf("%d dead letters, %v; want one, and everything else in the stream", kept, report)
	}
	row("Kafka -> JetStream, one message too large, resume --skip: %d dead letter, %v", kept, report)
}
