package bridge

import (
	"context"
	"errors"
	"strconv"
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

var errNo = errors.New("no")

// started is a bridge that runs.
type started struct {
	*Bridge
	t    *testing.T
	stop context.CancelFunc
	done chan error
}

func start(t *testing.T, routes ...RouteConfig) *started {
	t.Helper()
	return startWith(t, zerolog.Nop(), routes...)
}

func startWith(t *testing.T, log zerolog.Logger, routes ...RouteConfig) *started {
	t.Helper()
	b, err := New(Config{Instance: "test", Routes: routes}, log, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	s := &started{Bridge: b, t: t, stop: stop, done: make(chan error, 1)}
	go func() { s.done <- b.Run(ctx) }()
	return s
}

// end drains the bridge and wants it to succeed.
func (s *started) end() {
	s.t.Helper()
	s.stop()
	if err := <-s.done; err != nil {
		s.t.Errorf("Run: %v", err)
	}
}

// until waits, in virtual time, for a status of the first route.
func (s *started) until(what string, ok func(r *Route) bool) {
	s.t.Helper()
	for deadline := time.Now().Add(10 * time.Minute); !ok(s.routes[0]); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("never %s: %+v", what, s.Status()[0])
		}
	}
}

func filled(name string, partitions, messages int) *connectortest.Topic {
	topic := connectortest.NewTopic(name, partitions, connectortest.WithBatch(10))
	for p := range partitions {
		for i := range messages {
			topic.Put(p, connectors.Message{Value: []byte(strconv.Itoa(i))})
		}
	}
	return topic
}

func between(source, sink *connectortest.Topic) RouteConfig {
	return RouteConfig{
		Name: source.Name(), Source: source.SourceSpec(), Sink: sink.SinkSpec(),
		Window: flowcontrol.Cost{Messages: 64, Bytes: 1 << 20},
	}
}

// refuse lets the sink refuse one message for good while on is true.
func refuse(partition string, offset int64, on *atomic.Bool) connectortest.SinkFaults {
	return func(batches []*connectors.Batch) connectortest.Fault {
		index := 0
		for _, b := range batches {
			for _, m := range b.Messages {
				if on.Load() && b.Partition == partition && m.Offset == offset {
					return connectortest.Fault{Err: &connectors.BatchError{
						Failed: []connectors.Failure{{Index: index, Err: connectors.Permanent(errNo)}},
					}}
				}
				index++
			}
		}
		return connectortest.Fault{}
	}
}

func on() *atomic.Bool {
	var b atomic.Bool
	b.Store(true)
	return &b
}

func TestHaltDrainsTheOthersAndResumes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := filled("orders", 3, 200), connectortest.NewTopic("out", 0)
		broken := on()
		rc := between(source, sink)
		rc.Sink = connectortest.FaultySink(rc.Sink, refuse("orders/1", 55, broken))
		s := start(t, rc)
		s.until("halted", func(r *Route) bool { return r.Status().State == flowcontrol.Halted })
		status := s.Status()[0]
		for _, want := range []string{"orders/1", "55", "no"} {
			if !strings.Contains(status.Detail, want) {
				t.Errorf("detail %q does not name %q", status.Detail, want)
			}
		}
		if status.Down.IsZero() {
			t.Error("a halted route is not down")
		}
		if c := source.Committed("orders/1"); c > 55 {
			t.Errorf("committed up to %d, past the refused message", c)
		}
		if int64(len(sink.Messages("orders/0"))) != source.Committed("orders/0") {
			t.Error("the other lanes were not drained and committed")
		}
		if _, err := s.Resume("nobody", Resume{}); err == nil {
			t.Error("an unknown route was resumed")
		}
		broken.Store(false)
		if _, err := s.Resume("orders", Resume{}); err != nil {
			t.Fatal(err)
		}
		s.until("committed", func(*Route) bool { return source.CommittedSum() == 600 })
		s.end()
	})
}

func TestDropCountsAndGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := filled("orders", 1, 100), connectortest.NewTopic("out", 0)
		rc := between(source, sink)
		rc.OnReject = Drop
		rc.Sink = connectortest.FaultySink(rc.Sink, refuse("orders/0", 42, on()))
		s := start(t, rc)
		s.until("committed", func(*Route) bool { return source.CommittedSum() == 100 })
		if c := s.Status()[0].Counts; c.Dropped != 1 || sink.Written() != 99 {
			t.Errorf("dropped %d, written %d; want 1 and 99", c.Dropped, sink.Written())
		}
		s.end()
	})
}

func TestDeadLetterRefusedHalts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink, letters := filled("orders", 1, 100), connectortest.NewTopic("out", 0), connectortest.NewTopic("dead", 0)
		rc := between(source, sink)
		rc.OnReject = DeadLetter
		rc.Sink = connectortest.FaultySink(rc.Sink, refuse("orders/0", 42, on()))
		broken := on()
		rc.DeadLetter = connectortest.FaultySink(letters.SinkSpec(), refuse("orders/0", 42, broken))
		s := start(t, rc)
		s.until("halted", func(r *Route) bool { return r.Status().State == flowcontrol.Halted })
		if c := source.CommittedSum(); c > 42 {
			t.Errorf("committed %d", c)
		}
		broken.Store(false)
		if _, err := s.Resume("orders", Resume{}); err != nil {
			t.Fatal(err)
		}
		s.until("committed", func(*Route) bool { return source.CommittedSum() == 100 })
		s.end()
		dead := letters.Messages("orders/0")
		if len(dead) != 1 || string(dead[0].Value) != "42" || !hasHeader(dead[0], letterReason) {
			t.Errorf("dead letters: %+v", dead)
		}
	})
}

func TestDrainDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := filled("orders", 1, 100), connectortest.NewTopic("out", 0)
		rc := between(source, sink)
		never := make(chan struct{})
		rc.Sink = connectortest.FaultySink(rc.Sink, func([]*connectors.Batch) connectortest.Fault {
			return connectortest.Fault{Wait: never}
		})
		s := start(t, rc)
		s.until("full", func(r *Route) bool { return r.Status().State == flowcontrol.Stalled })
		inFlight := s.Status()[0].Window.Messages
		begin := time.Now()
		s.stop()
		err := <-s.done
		var late *DrainError
		if !errors.As(err, &late) || late.Left != inFlight {
			t.Errorf("Run: %v, want a DrainError of %d", err, inFlight)
		}
		if d := time.Since(begin); d < DefaultDrain || d > DefaultDrain+2*time.Second {
			t.Errorf("it took %v", d)
		}
	})
}

func TestAbandonReturnsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := filled("orders", 2, 100), connectortest.NewTopic("out", 0)
		rc := between(source, sink)
		rc.Sink = connectortest.FaultySink(rc.Sink, func([]*connectors.Batch) connectortest.Fault {
			return connectortest.Fault{Wait: make(chan struct{})}
		})
		s := start(t, rc)
		s.until("full", func(r *Route) bool { return r.Status().State == flowcontrol.Stalled })
		begin := time.Now()
		s.Abandon()
		<-s.done
		if d := time.Since(begin); d > closeTimeout {
			t.Errorf("it took %v", d)
		}
	})
}

// TestStuckPartition: one partition's messages fail for ever while eleven flow: they flow to the end.
func TestStuckPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := filled("orders", 12, 2000), connectortest.NewTopic("out", 0)
		rc := between(source, sink)
		rc.Window.Messages = 512
		stuck := on()
		rc.Sink = connectortest.FaultySink(rc.Sink, func(batches []*connectors.Batch) connectortest.Fault {
			if stuck.Load() && batches[0].Partition == "orders/7" {
				return connectortest.Fault{Err: errNo}
			}
			return connectortest.Fault{Delay: time.Millisecond}
		})
		s := start(t, rc)
		s.until("the others are done", func(*Route) bool { return source.CommittedSum() == 11*2000 })
		status := s.Status()[0]
		if len(status.InFlight) != 1 || !status.InFlight[0].Paused || status.InFlight[0].Error != "no" {
			t.Errorf("in flight: %+v, want orders/7, paused, with its error", status.InFlight)
		}
		if status.Blocker != flowcontrol.BlockerRetry {
			t.Errorf("blocker %v", status.Blocker)
		}
		stuck.Store(false)
		s.until("all is committed", func(*Route) bool { return source.CommittedSum() == 12*2000 })
		s.end()
	})
}

// TestFrozenSinkFillsTheWindow: a sink that answers nobody is not the fault of a lane: the window fills
// to its warning and its bound, whatever the number of partitions.
func TestFrozenSinkFillsTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := connectortest.NewTopic("orders", 4, connectortest.WithBatch(10)), connectortest.NewTopic("out", 0)
		rc := between(source, sink)
		rc.Window.Messages = 512
		gate := make(chan struct{})
		rc.Sink = connectortest.FaultySink(rc.Sink, func([]*connectors.Batch) connectortest.Fault {
			return connectortest.Fault{Wait: gate}
		})
		s := start(t, rc)
		for range 100 { // filling takes longer than it takes a lane to count as slow
			for p := range 4 {
				source.Put(p, make([]connectors.Message, 5-p)...)
			}
			time.Sleep(100 * time.Millisecond)
		}
		status := s.Status()[0]
		if status.State != flowcontrol.Stalled || status.Cause != flowcontrol.CauseMessages || status.Counts.Crossings != 1 {
			t.Errorf("%v, cause %v, %d crossings; want stalled, window.messages, 1", status.State, status.Cause, status.Counts.Crossings)
		}
		close(gate)
		s.until("committed", func(*Route) bool { return source.CommittedSum() == 100*(5+4+3+2) })
		s.end()
	})
}

// TestUncommittedBound: while upstream refuses commits, what a crash would double stays bounded, whether
// there is room whenever the fetcher looks or one Fetch fills the window.
func TestUncommittedBound(t *testing.T) {
	for _, batch := range []int{10, 64} {
		t.Run(strconv.Itoa(batch), func(t *testing.T) { testUncommittedBound(t, batch) })
	}
}

func testUncommittedBound(t *testing.T, batch int) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := connectortest.NewTopic("orders", 1, connectortest.WithBatch(batch)), connectortest.NewTopic("out", 0)
		for range 2000 {
			source.Put(0, connectors.Message{})
		}
		rc := between(source, sink)
		rc.Sink = connectortest.FaultySink(rc.Sink, func([]*connectors.Batch) connectortest.Fault {
			return connectortest.Fault{Delay: time.Millisecond}
		})
		broken := on()
		rc.Source = connectortest.FaultySource(rc.Source, connectortest.SourceFaults{
			Commit: func([]*connectors.Batch) connectortest.Fault {
				if broken.Load() {
					return connectortest.Fault{Err: errNo}
				}
				return connectortest.Fault{}
			},
		})
		s := start(t, rc)
		s.until("stalled", func(r *Route) bool { return r.Status().State == flowcontrol.Stalled })
		status := s.Status()[0]
		if status.Cause != flowcontrol.CauseUncommitted || status.Blocker != flowcontrol.BlockerCommit || status.Detail != "no" {
			t.Errorf("cause %v, blocker %v, detail %q", status.Cause, status.Blocker, status.Detail)
		}
		if w, u := sink.Written(), status.Window; w != 4*64 || u.Uncommitted != 4*64 || u.UncommittedLimit != 4*64 {
			t.Errorf("%d messages are written, %d uncommitted, at most %d; want four windows of 64", w, u.Uncommitted, u.UncommittedLimit)
		}
		broken.Store(false)
		s.until("committed", func(*Route) bool { return source.CommittedSum() == 2000 })
		s.end()
		if sink.Written() != 2000 {
			t.Errorf("written %d", sink.Written())
		}
	})
}

func TestRoutesAreIndependent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := filled("one", 1, 100), filled("two", 1, 100)
		halting := between(one, connectortest.NewTopic("out1", 0))
		halting.Sink = connectortest.FaultySink(halting.Sink, refuse("one/0", 0, on()))
		s := start(t, halting, between(two, connectortest.NewTopic("out2", 0)))
		s.until("halted", func(r *Route) bool { return r.Status().State == flowcontrol.Halted })
		s.until("the other is done", func(*Route) bool { return two.CommittedSum() == 100 })
		s.end()
	})
}

// TestStallIsSeen: a sink that stops answering is a stall with its cause and blocker, after a warning.
func TestStallIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := filled("orders", 1, 500), connectortest.NewTopic("out", 0)
		rc := between(source, sink)
		gate := make(chan struct{})
		rc.Sink = connectortest.FaultySink(rc.Sink, func([]*connectors.Batch) connectortest.Fault {
			return connectortest.Fault{Wait: gate}
		})
		s := start(t, rc)
		s.until("limited", func(r *Route) bool { return r.Status().State == flowcontrol.Limited })
		if c := s.Status()[0].Counts.Crossings; c != 1 {
			t.Errorf("%d crossings of 90 %% before the first stall, want 1", c)
		}
		time.Sleep(time.Minute)
		status := s.Status()[0]
		if status.State != flowcontrol.Stalled || status.Cause != flowcontrol.CauseMessages || status.Blocker != flowcontrol.BlockerAck {
			t.Errorf("after a minute: %v, %v, %v", status.State, status.Cause, status.Blocker)
		}
		if status.Lag == 0 || !status.LagKnown {
			t.Error("the lag is not known")
		}
		close(gate)
		s.until("committed", func(*Route) bool { return source.CommittedSum() == 500 })
		time.Sleep(2 * time.Second)
		last := s.Status()[0].Clock.Last
		if last.Waited < time.Minute || last.Waited > time.Minute+time.Second || last.Stalled < 58*time.Second {
			t.Errorf("the episode: %+v", last)
		}
		if state := s.Status()[0].State; state != flowcontrol.Idle {
			t.Errorf("at the end: %v", state)
		}
		s.end()
	})
}

// TestCatchUpIsLimited: a sink that sets the pace is not a stall, however long it takes.
func TestCatchUpIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := filled("orders", 1, 64), connectortest.NewTopic("out", 0)
		source.Repeat(200_000)
		rc := between(source, sink)
		rc.Sink = connectortest.FaultySink(rc.Sink, func([]*connectors.Batch) connectortest.Fault {
			return connectortest.Fault{Delay: 200 * time.Millisecond}
		})
		s := start(t, rc)
		time.Sleep(10 * time.Minute)
		times := s.Status()[0].Clock.Times
		if times[flowcontrol.Stalled] > 0 {
			t.Errorf("stalled for %v", times[flowcontrol.Stalled])
		}
		if times[flowcontrol.Limited] < 9*time.Minute {
			t.Errorf("limited for %v", times[flowcontrol.Limited])
		}
		s.stop()
		<-s.done
	})
}

// TestSlowSinkIsLimited: a sink that takes three thousand messages a second sets the pace, whatever the
// window holds: it is not given so much at once that it seems to have stopped.
func TestSlowSinkIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := filled("orders", 1, 64), connectortest.NewTopic("out", 0, connectortest.WithDiscard())
		source.Repeat(1_000_000)
		rc := between(source, sink)
		rc.Window.Messages, rc.Window.Bytes = 8192, 64<<20
		rc.Sink = connectortest.FaultySink(rc.Sink, func(batches []*connectors.Batch) connectortest.Fault {
			messages := 0
			for _, b := range batches {
				messages += len(b.Messages)
			}
			return connectortest.Fault{Delay: time.Duration(messages) * time.Second / 3000}
		})
		s := start(t, rc)
		time.Sleep(time.Minute)
		times := s.Status()[0].Clock.Times
		if times[flowcontrol.Stalled] > 0 || times[flowcontrol.Limited] < 50*time.Second {
			t.Errorf("in a minute: stalled for %v, limited for %v", times[flowcontrol.Stalled], times[flowcontrol.Limited])
		}
		s.stop()
		<-s.done
	})
}

func TestBackoffStaysWithinItsBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := backoff{Retry: Retry{Initial: 100 * time.Millisecond, Max: time.Second}}
		bound := b.Initial
		for range 70 {
			begin := time.Now()
			if err := b.next(t.Context()); err != nil {
				t.Fatal(err)
			}
			if d := time.Since(begin); d > bound {
				t.Fatalf("waited %v, bound %v", d, bound)
			}
			bound = min(2*bound, b.Max)
		}
	})
}
