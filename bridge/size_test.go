package bridge

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/connectortest"
	"github.com/sluice-bridge/sluice/flowcontrol"
	"github.com/sluice-bridge/sluice/telemetry"
)

// pacedSink takes a round trip and each message's time for a Write, one after the other.
type pacedSink struct {
	connectors.Sink
	trip, each time.Duration
	dead       *atomic.Bool
	turn       chan struct{}
}

func (s *pacedSink) Write(ctx context.Context, batches []*connectors.Batch) error {
	messages := 0
	for _, b := range batches {
		messages += len(b.Messages)
	}
	sleep := func(d time.Duration) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := sleep(s.trip); err != nil {
		return err
	}
	s.turn <- struct{}{}
	err := sleep(time.Duration(messages) * s.each)
	<-s.turn
	if s.dead.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	if err != nil {
		return err
	}
	return s.Sink.Write(ctx, batches)
}

// paced is a route with an adaptive window to a sink that is slow.
func paced(partitions, messages int, trip, each time.Duration) (rc RouteConfig, dead *atomic.Bool) {
	rc = between(filled("orders", partitions, messages), connectortest.NewTopic("out", 0))
	rc.Adaptive, rc.Window.Messages = true, 8192
	open, dead := rc.Sink.Open, &atomic.Bool{}
	turn := make(chan struct{}, 1)
	rc.Sink.Open = func(ctx context.Context, env connectors.Env) (connectors.Sink, error) {
		s, err := open(ctx, env)
		return &pacedSink{s, trip, each, dead, turn}, err
	}
	return rc, dead
}

// TestAdaptiveSlowSinkIsLimited: 20 messages a second are few, but they are acknowledged. A static window gives the
// sink what it needs minutes for, and looks as if it had stopped.
func TestAdaptiveSlowSinkIsLimited(t *testing.T) {
	for _, adaptive := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			rc, _ := paced(1, 20_000, time.Millisecond, 50*time.Millisecond)
			rc.Adaptive = adaptive
			s := start(t, rc)
			time.Sleep(2 * time.Minute)
			status := s.Status()[0]
			if stalled := status.Clock.Times[flowcontrol.Stalled]; (stalled == 0) != adaptive {
				t.Errorf("adaptive %t: %v stalled, %v limited", adaptive, stalled, status.Clock.Times[flowcontrol.Limited])
			}
			w := status.Window
			if adaptive && (status.State != flowcontrol.Limited || status.Cause != flowcontrol.CauseMessages || w.MessagesNow > 20 || w.MessagesLimit != 8192) {
				t.Errorf("%v by %v with %+v", status.State, status.Cause, w)
			}
			if got := status.Counts.AcknowledgedMessages; adaptive && got < 2200 {
				t.Errorf("%d messages in two minutes, the sink takes 2400", got)
			}
			s.Abandon()
			<-s.done
		})
	}
}

// TestDeadSinkIsStalled: a window that is small is stalled all the same when nothing is answered.
func TestDeadSinkIsStalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rc, dead := paced(1, 100_000, time.Millisecond, time.Millisecond)
		s := start(t, rc)
		time.Sleep(30 * time.Second)
		if state := s.Status()[0].State; state == flowcontrol.Stalled {
			t.Fatal("stalled while the sink answers")
		}
		dead.Store(true)
		time.Sleep(2 * flowcontrol.StallAfter)
		status := s.Status()[0]
		if w := status.Window; status.State != flowcontrol.Stalled || w.MessagesNow >= w.MessagesLimit || w.Messages > w.MessagesNow {
			t.Errorf("%v with %+v", status.State, w)
		}
		s.Abandon()
		<-s.done
	})
}

// TestFarSinkIsLimited: a sink that takes three seconds for whatever it gets is not stalled while a small
// window waits for it, and is when it does not answer in twice that.
func TestFarSinkIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rc, dead := paced(1, 100_000, 3*time.Second, time.Millisecond)
		s := start(t, rc)
		time.Sleep(20 * time.Second) // the first answers show what is to be expected
		before := s.Status()[0].Clock.Times[flowcontrol.Stalled]
		time.Sleep(20 * time.Second)
		status := s.Status()[0]
		if after := status.Clock.Times[flowcontrol.Stalled]; after != before || status.Window.MessagesNow == 8192 {
			t.Errorf("%v stalled in 20 s with %+v", after-before, status.Window)
		}
		dead.Store(true)
		time.Sleep(12 * time.Second)
		if status := s.Status()[0]; status.State != flowcontrol.Stalled {
			t.Errorf("%v after 12 s without an answer", status.State)
		}
		s.Abandon()
		<-s.done
	})
}

// TestWindowGrowsToTheDistance: what the sink takes at a distance needs much in flight, and where the hard
// bound is too little the status says what would do.
func TestWindowGrowsToTheDistance(t *testing.T) {
	for _, hard := range []int64{8192, 100} {
		synctest.Test(t, func(t *testing.T) {
			rc, _ := paced(8, 100_000, 20*time.Millisecond, 100*time.Microsecond)
			rc.Window.Messages = hard
			s := start(t, rc)
			// As a rule it takes less than four seconds; how the lanes fall into step may make it more.
			ok := false
			var w telemetry.WindowStatus
			for range 20 {
				time.Sleep(time.Second)
				w = s.Status()[0].Window
				if ok = w.MessagesAsked >= 200 && w.RoundTripSeconds >= 0.02; ok {
					break
				}
			}
			t.Logf("%+v", w)
			if !ok || (w.MessagesAsked > hard) != (hard == 100) {
				t.Errorf("hard bound %d: %+v: 10,000 a second over 20 ms want more than 200", hard, w)
			}
			s.Abandon()
			<-s.done
		})
	}
}

// TestStuckLaneLeavesASmallWindow: what a lane holds that is refused is not what the others may have.
func TestStuckLaneLeavesASmallWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rc, _ := paced(4, 20_000, time.Millisecond, time.Millisecond)
		rc.Sink = connectortest.FaultySink(rc.Sink, func(batches []*connectors.Batch) connectortest.Fault {
			if batches[0].Partition == "orders/1" {
				return connectortest.Fault{Err: errNo}
			}
			return connectortest.Fault{}
		})
		s := start(t, rc)
		time.Sleep(10 * time.Second)
		before := s.Status()[0].Counts.AcknowledgedMessages
		time.Sleep(20 * time.Second)
		status := s.Status()[0]
		if got := status.Counts.AcknowledgedMessages - before; got < 15_000 {
			t.Errorf("%d messages in 20 s beside a stuck lane, the sink takes 20,000; %+v", got, status.Window)
		}
		s.Abandon()
		<-s.done
	})
}

// TestRoutesToOnePlaceShareASizer: by itself each would take as much as the sink needs.
func TestRoutesToOnePlaceShareASizer(t *testing.T) {
	none := &connectors.SinkSpec{}
	one, other := &connectors.SinkSpec{Places: []string{"a", "b"}}, &connectors.SinkSpec{Places: []string{"b"}}
	var routes []*Route
	var got []*flowcontrol.Sizer
	for _, rc := range []RouteConfig{
		{Sink: one, Adaptive: true}, {Sink: other, Adaptive: true}, {Sink: one}, {Sink: none, Adaptive: true}, {Sink: none, Adaptive: true},
	} {
		sizer := sizerFor(&rc, routes)
		got, routes = append(got, sizer), append(routes, &Route{cfg: rc, sizer: sizer})
	}
	if got[0] == nil || got[0] != got[1] || got[2] != nil || got[3] == nil || got[3] == got[4] || got[3] == got[0] {
		t.Errorf("%v", got)
	}
}

// slowCommits is a source whose commits take a while.
type slowCommits struct{ connectors.Source }

func (s slowCommits) Commit(ctx context.Context, done []*connectors.Batch) error {
	time.Sleep(200 * time.Millisecond)
	return s.Source.Commit(ctx, done)
}

// TestSmallWindowDoesNotWaitForCommits: how much may be uncommitted is of the hard bound.
func TestSmallWindowDoesNotWaitForCommits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rc, _ := paced(1, 100_000, time.Millisecond, time.Millisecond)
		open := rc.Source.Open
		rc.Source.Open = func(ctx context.Context, env connectors.Env) (connectors.Source, error) {
			s, err := open(ctx, env)
			return slowCommits{s}, err
		}
		s := start(t, rc)
		time.Sleep(20 * time.Second)
		if r := s.Status()[0]; r.Counts.AcknowledgedMessages < 15_000 {
			t.Errorf("%d messages in 20 s, the sink takes 20,000; %v by %v, %+v", r.Counts.AcknowledgedMessages, r.State, r.Cause, r.Window)
		}
		s.Abandon()
		<-s.done
	})
}

// A window that becomes smaller between the wait for room and the Fetch leaves the Fetch what was found: a source
// that is asked for nothing can only fail.
func TestFetchIsAskedForSomething(t *testing.T) {
	window, err := flowcontrol.NewWindow(flowcontrol.Cost{Messages: 100, Bytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	clock := flowcontrol.NewClock(flowcontrol.Idle, time.Now())
	n := &run{route: &Route{clock: clock, pacer: newPacer(Limit{}, time.Now())}, window: window, going: t.Context()}
	window.Add(flowcontrol.Cost{Messages: 50, Bytes: 1000})
	if !n.awaitRoom(0) {
		t.Fatal("there is no room")
	}
	window.Resize(flowcontrol.Cost{Messages: 10, Bytes: 100})
	if room := n.room(0); room.Messages < 1 || room.Bytes < 1 {
		t.Errorf("a Fetch is asked for %+v", room)
	}
}
