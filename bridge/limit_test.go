package bridge

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/connectortest"
	"github.com/sluice-bridge/sluice/flowcontrol"
)

// moving samples a route until all is committed, and returns how long that took and how often which state was seen.
func moving(s *started, source *connectortest.Topic, n int64) (took time.Duration, seen map[flowcontrol.State]int) {
	begin, seen := time.Now(), map[flowcontrol.State]int{}
	s.until("committed", func(r *Route) bool {
		now := r.Status()
		if now.Cause == flowcontrol.CauseRate && now.Blocker != flowcontrol.BlockerOperator {
			s.t.Errorf("the rate is reached, and it is %v", now.Blocker)
		}
		if now.State != flowcontrol.Idle {
			seen[now.State]++
		}
		return source.CommittedSum() == n
	})
	return time.Since(begin), seen
}

// TestLimit: a route keeps to its rate, of messages and of bytes, and is limited for that, never stalled.
func TestLimit(t *testing.T) {
	for name, c := range map[string]struct {
		limit func(each float64) Limit // each: the memory of a message
		rate  float64                  // messages a second that come of it
	}{
		"messages":            {func(float64) Limit { return Limit{Messages: 500} }, 500},
		"few messages":        {func(float64) Limit { return Limit{Messages: 2} }, 2},
		"bytes":               {func(each float64) Limit { return Limit{Bytes: 500 * each} }, 500},
		"both":                {func(each float64) Limit { return Limit{Messages: 1000, Bytes: 250 * each} }, 250},
		"less than a message": {func(each float64) Limit { return Limit{Bytes: each / 2} }, 0.5},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := int(max(20, 20*c.rate))
				source := filled("orders", 1, n)
				rc := between(source, connectortest.NewTopic("out", 0))
				b := filled("like it", 1, 1)
				like := start(t, between(b, connectortest.NewTopic("out", 0)))
				like.until("fetched", func(r *Route) bool { return r.Status().Counts.FetchedMessages == 1 })
				each := float64(like.Status()[0].Counts.FetchedBytes)
				like.end()
				rc.Limit = c.limit(each)
				s, log := startLogged(t, zerolog.WarnLevel, rc)
				took, seen := moving(s, source, int64(n))
				if got := float64(n) / took.Seconds(); got > 1.15*c.rate || got < 0.85*c.rate {
					t.Errorf("%.2f messages/s, want %v", got, c.rate)
				}
				if seen[flowcontrol.Stalled] > 0 || seen[flowcontrol.Limited] < 9*seen[flowcontrol.Flowing] {
					t.Errorf("states %v", seen)
				}
				if clock := s.routes[0].clock.Read(time.Now()); clock.Current.Seq != 0 || clock.Last.Seq != 0 {
					t.Errorf("an episode: %+v %+v", clock.Current, clock.Last)
				}
				s.end()
				if lines := log.lines(t, "level", "warn"); len(lines) > 0 {
					t.Errorf("%v", lines)
				}
			})
		})
	}
}

// TestLimitChanges: another limit holds at once, also for who waits, and leaves an audit line; a sink that is slower
// than the limit is what holds the route.
func TestLimitChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 20_000
		source := filled("orders", 1, n)
		rc := between(source, connectortest.NewTopic("out", 0, connectortest.WithDiscard()))
		rc.Window.Messages = 1000
		rc.Limit = Limit{Messages: 1}
		rc.Sink = connectortest.FaultySink(rc.Sink, func([]*connectors.Batch) connectortest.Fault {
			return connectortest.Fault{Delay: 10 * time.Millisecond}
		})
		s, log := startLogged(t, zerolog.ErrorLevel, rc)
		s.until("limited", func(r *Route) bool { return r.Status().Cause == flowcontrol.CauseRate })
		time.Sleep(10 * time.Second)
		if l := s.Status()[0].Limit; l == nil || l.Messages != 1 || l.Bytes != 0 {
			t.Errorf("%+v", l)
		}
		set := func(messages float64) {
			t.Helper()
			if _, err := s.SetLimit("orders", LimitOrder{Messages: &messages, By: ann}); err != nil {
				t.Fatal(err)
			}
		}
		before := s.Status()[0].Counts.FetchedMessages
		set(1000)
		time.Sleep(5 * time.Second)
		if got := s.Status()[0].Counts.FetchedMessages - before; got < 4500 || got > 5500 {
			t.Errorf("%d messages in 5 s at 1000/s", got)
		}
		set(0)
		if l := s.Status()[0].Limit; l != nil {
			t.Errorf("%+v", l)
		}
		took, _ := moving(s, source, n)
		if took > time.Second {
			t.Errorf("without a limit it took %v", took)
		}
		if lines := log.lines(t, "what", "limit"); len(lines) != 2 || lines[0]["before"] != "limit 1 messages/s" || lines[0]["after"] != "limit 1000 messages/s" || lines[1]["after"] != "limit none" {
			t.Errorf("%v", lines)
		}
		s.end()
		if _, err := s.SetLimit("orders", LimitOrder{}); err == nil || !strings.Contains(err.Error(), "has ended") {
			t.Error(err)
		}
	})
}

// TestLimitAndStall: a limit that is not reached does not hide a sink that does not answer.
func TestLimitAndStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, gate := filled("orders", 1, 1000), make(chan struct{})
		rc := between(source, connectortest.NewTopic("out", 0))
		rc.Limit = Limit{Messages: 500}
		rc.Sink = connectortest.FaultySink(rc.Sink, func([]*connectors.Batch) connectortest.Fault { return connectortest.Fault{Wait: gate} })
		s := start(t, rc)
		s.until("stalled", func(r *Route) bool { return r.Status().State == flowcontrol.Stalled })
		if now := s.Status()[0]; now.Cause != flowcontrol.CauseMessages || now.Blocker != flowcontrol.BlockerAck {
			t.Errorf("%v by %v", now.Cause, now.Blocker)
		}
		close(gate)
		moving(s, source, 1000)
		s.end()
	})
}
