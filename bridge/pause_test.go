package bridge

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/connectortest"
	"github.com/sluice-bridge/sluice/flowcontrol"
)

var ann = Operator{Who: "ann@desk (127.0.0.1)", Why: "the stream moves"}

// counted makes a source that counts how often it was opened and how many of its Fetches have begun and ended.
type counted struct{ opened, fetches, out atomic.Int64 }

func (c *counted) source(spec *connectors.SourceSpec) *connectors.SourceSpec {
	wrapped := *spec
	wrapped.Open = func(ctx context.Context, env connectors.Env) (connectors.Source, error) {
		c.opened.Add(1)
		s, err := spec.Open(ctx, env)
		return &countedSource{s, c}, err
	}
	return &wrapped
}

type countedSource struct {
	connectors.Source
	counts *counted
}

func (s *countedSource) Fetch(ctx context.Context, room connectors.Room) (*connectors.Batch, error) {
	s.counts.fetches.Add(1)
	s.counts.out.Add(1)
	defer s.counts.out.Add(-1)
	return s.Source.Fetch(ctx, room)
}

func (s *countedSource) Recycle(b *connectors.Batch) { s.Source.(connectors.Recycler).Recycle(b) }

// TestPause: whatever the route is at, it fetches nothing more, finishes and commits what is in flight, keeps its
// source open, is never shown as anything but paused however long that lasts, and goes on without loss or doubles.
func TestPause(t *testing.T) {
	for name, c := range map[string]struct {
		delay time.Duration     // of each Write
		until func(*Route) bool // when to pause
		put   int
	}{
		"at full speed": {time.Millisecond, func(r *Route) bool { return r.Status().Counts.CommittedMessages > 100 }, 2000},
		"in a stall":    {10 * time.Second, func(r *Route) bool { return r.Status().State == flowcontrol.Stalled }, 300},
		"idle":          {0, func(r *Route) bool { return r.Status().State == flowcontrol.Idle }, 20},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				source, sink, calls := filled("orders", 3, c.put), connectortest.NewTopic("out", 0), &counted{}
				rc := between(source, sink)
				rc.Source = calls.source(rc.Source)
				rc.Sink = connectortest.FaultySink(rc.Sink, func([]*connectors.Batch) connectortest.Fault { return connectortest.Fault{Delay: c.delay} })
				s, log := startLogged(t, zerolog.ErrorLevel, rc)
				s.until(name, c.until)
				if err := s.Pause("orders", ann); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				began := s.Status()[0]
				if p := began.Paused; p == nil || p.Who != ann.Who || p.Why != ann.Why || time.Since(p.Since) > time.Second {
					t.Errorf("paused as %+v", p)
				}
				if calls.out.Load() != 0 {
					t.Error("a Fetch is out")
				}
				fetches := calls.fetches.Load()
				for range 3600 {
					now := s.Status()[0]
					if now.State != flowcontrol.Paused || now.Blocker != flowcontrol.BlockerOperator || now.Cause != flowcontrol.CauseNone || !now.Down.IsZero() {
						t.Fatalf("%v: %v %v %v down %v", time.Since(began.Paused.Since), now.State, now.Cause, now.Blocker, now.Down)
					}
					time.Sleep(time.Second)
				}
				now := s.Status()[0]
				if now.Counts.CommittedMessages != now.Counts.FetchedMessages || now.Counts.FetchedMessages != began.Counts.FetchedMessages || calls.fetches.Load() != fetches {
					t.Errorf("fetched %d, then %d, committed %d; %d fetches", began.Counts.FetchedMessages, now.Counts.FetchedMessages, now.Counts.CommittedMessages, calls.fetches.Load()-fetches)
				}
				for p := range 3 {
					source.Put(p, connectors.Message{Value: []byte("later")})
				}
				was, err := s.Resume("orders", Resume{By: Operator{Who: "bob"}})
				if err != nil || was.Halted != nil || was.Paused == nil || was.String() != "paused by ann@desk (127.0.0.1): the stream moves" {
					t.Errorf("%v %+v", err, was)
				}
				s.until("committed", func(*Route) bool { return source.CommittedSum() == int64(3*(c.put+1)) })
				s.end()
				written := 0
				for _, p := range sink.Partitions() {
					written += len(sink.Messages(p))
				}
				if written != 3*(c.put+1) || calls.opened.Load() != 1 {
					t.Errorf("%d messages written, the source opened %d times", written, calls.opened.Load())
				}
				lines := log.lines(t, "audit", true)
				if len(lines) != 2 || lines[0]["what"] != "pause" || lines[0]["outcome"] != "done" || lines[0]["why"] != ann.Why || lines[1]["what"] != "resume" || lines[1]["before"] != was.String() {
					t.Errorf("audit lines %v", lines)
				}
			})
		})
	}
}

// TestPauseRefused: what makes no sense changes nothing, and leaves an audit line that says so.
func TestPauseRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, broken := filled("orders", 1, 100), on()
		rc := between(source, connectortest.NewTopic("out", 0))
		rc.Sink = connectortest.FaultySink(rc.Sink, refuse("orders/0", 42, broken))
		s, log := startLogged(t, zerolog.ErrorLevel, rc)
		s.until("halted", halted)
		refused := func(want string, err error) {
			t.Helper()
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want %q", err, want)
			}
		}
		refused("is halted", s.Pause("orders", ann))
		refused("no route", s.Pause("nobody", ann))
		broken.Store(false)
		if was, err := s.Resume("orders", Resume{}); err != nil || was.Halted == nil || was.Paused != nil {
			t.Errorf("%v %+v", err, was)
		}
		s.until("committed", func(*Route) bool { return source.CommittedSum() == 100 })
		_, err := s.Resume("orders", Resume{})
		refused("neither halted nor paused", err)
		if err := s.Pause("orders", ann); err != nil {
			t.Error(err)
		}
		refused("paused already, by ann", s.Pause("orders", Operator{Who: "bob"}))
		_, err = s.Resume("orders", Resume{Skip: true})
		refused("no message to skip", err)
		if n := len(log.lines(t, "outcome", "refused")); n != 4 {
			t.Errorf("%d lines of what was refused, want 4", n)
		}
		s.end()
		refused("has ended", s.Pause("orders", ann))
		if lines := log.lines(t, "who", "ann@desk (127.0.0.1)"); len(lines) != 3 {
			t.Errorf("lines of ann: %v", lines)
		}
	})
}

// TestPauseOutlastsRuns: a route that the configuration pauses moves nothing until it is resumed; a pause outlasts a
// position that is set and a halt, whose Resume ends both.
func TestPauseOutlastsRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink, broken := timed(1, 100), connectortest.NewTopic("out", 0), on()
		rc := between(source, sink)
		rc.Paused = true
		rc.Sink = connectortest.FaultySink(rc.Sink, refuse("orders/0", 60, broken))
		s, log := startLogged(t, zerolog.WarnLevel, rc)
		paused := func(what string, fetched uint64) {
			t.Helper()
			time.Sleep(time.Minute)
			if now := s.Status()[0]; now.State != flowcontrol.Paused || now.Counts.FetchedMessages != fetched {
				t.Errorf("%s: %v, %d fetched", what, now.State, now.Counts.FetchedMessages)
			}
		}
		paused("from the start", 0)
		if _, err := s.SetPosition(t.Context(), "orders", PositionOrder{To: "50", Skip: true, By: ann}); err != nil {
			t.Fatal(err)
		}
		paused("with another position", 0)
		if was, err := s.Resume("orders", Resume{}); err != nil || was.Paused == nil || was.Paused.Who != byConfiguration {
			t.Errorf("%v %+v", err, was)
		}
		s.until("halted", halted)
		broken.Store(false)
		if was, err := s.Resume("orders", Resume{}); err != nil || was.Halted == nil {
			t.Errorf("%v %+v", err, was)
		}
		s.until("committed", func(*Route) bool { return source.CommittedSum() == 100 })
		s.end()
		if n := distinct(sink); n != 50 {
			t.Errorf("%d messages written", n)
		}
		for _, line := range log.lines(t, "level", "warn") {
			t.Errorf("unexpected: %v", line)
		}
	})
}

// TestPauseWhileItHalts: what is in flight may still halt a route that is paused, and one Resume ends both.
func TestPauseWhileItHalts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink, broken, gate := filled("orders", 1, 100), connectortest.NewTopic("out", 0), on(), make(chan struct{})
		rc := between(source, sink)
		rc.Sink = connectortest.FaultySink(connectortest.FaultySink(rc.Sink, refuse("orders/0", 12, broken)), func([]*connectors.Batch) connectortest.Fault {
			return connectortest.Fault{Wait: gate}
		})
		s, log := startLogged(t, zerolog.WarnLevel, rc)
		s.until("stalled", func(r *Route) bool { return r.Status().State == flowcontrol.Stalled })
		if err := s.Pause("orders", ann); err != nil {
			t.Fatal(err)
		}
		close(gate)
		s.until("halted", halted)
		broken.Store(false)
		if was, err := s.Resume("orders", Resume{}); err != nil || was.Halted == nil || was.Paused == nil {
			t.Errorf("%v %+v", err, was)
		}
		s.until("committed", func(*Route) bool { return source.CommittedSum() == 100 })
		if err := s.Pause("orders", ann); err != nil {
			t.Fatal(err)
		}
		s.end()
		if lines := log.lines(t, "level", "warn"); len(lines) != 1 || !strings.Contains(lines[0]["message"].(string), "paused: true") {
			t.Errorf("at the end: %v", lines)
		}
	})
}
