package bridge

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/connectortest"
	"github.com/sluice-bridge/sluice/flowcontrol"
)

// day is shortly before virtual time begins.
var day = time.Date(1999, 12, 30, 0, 0, 0, 0, time.UTC)

// timed makes a topic whose messages are a minute apart.
func timed(partitions, messages int) *connectortest.Topic {
	topic := connectortest.NewTopic("orders", partitions, connectortest.WithAssign(), connectortest.WithBatch(10))
	for p := range partitions {
		for i := range messages {
			topic.Put(p, connectors.Message{Value: fmt.Append(nil, i), Time: day.Add(time.Duration(i) * time.Minute)})
		}
	}
	return topic
}

func TestPositionsShow(t *testing.T) {
	source := timed(3, 100)
	b, err := New(Config{Instance: "test", Routes: []RouteConfig{between(source, connectortest.NewTopic("out", 0))}}, zerolog.Nop(), nil)
	if err != nil {
		t.Fatal(err)
	}
	positions, err := source.Positions(t.Context(), connectors.Env{})
	if err != nil {
		t.Fatal(err)
	}
	if err := positions.Set(t.Context(), map[string]int64{"orders/0": 100, "orders/1": 40}); err != nil {
		t.Fatal(err)
	}
	got, err := b.Positions(t.Context(), "orders")
	if err != nil {
		t.Fatal(err)
	}
	want := []PositionStatus{
		{Partition: "orders/0", End: 100, Known: true, Committed: 100},
		{Partition: "orders/1", End: 100, Known: true, Committed: 40, Lag: 60, Time: day.Add(40 * time.Minute)},
		{Partition: "orders/2", End: 100, Lag: 100, Time: day},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := b.Positions(t.Context(), "nobody"); err == nil {
		t.Error("an unknown route has positions")
	}
}

// away is a source's log or positions whose broker does not answer.
type away struct {
	connectors.Log
	connectors.Positions
	closed *atomic.Int32
}

func (a away) Committed(context.Context) ([]connectors.Position, error) { return nil, errNo }
func (a away) Ranges(context.Context) ([]connectors.Range, error)       { return nil, errNo }
func (a away) Close(context.Context) error                              { a.closed.Add(1); return nil }

// A broker that is away is an error, and what was opened to ask it is closed.
func TestPositionsOfABrokerAway(t *testing.T) {
	var closed atomic.Int32
	rc := between(timed(1, 1), connectortest.NewTopic("out", 0))
	spec := *rc.Source
	spec.Positions = func(context.Context, connectors.Env) (connectors.Positions, error) { return away{closed: &closed}, nil }
	spec.Log = func(context.Context, connectors.Env) (connectors.Log, error) { return away{closed: &closed}, nil }
	rc.Source = &spec
	b, err := New(Config{Instance: "test", Routes: []RouteConfig{rc}}, zerolog.Nop(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Positions(t.Context(), "orders"); !errors.Is(err, errNo) || closed.Load() != 2 {
		t.Errorf("%v, %d closed of 2", err, closed.Load())
	}
}

// TestPositionPlan: what would be done is told exactly, and nothing is done.
func TestPositionPlan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := timed(2, 100)
		s := start(t, between(source, connectortest.NewTopic("out", 0)))
		s.until("committed", func(*Route) bool { return source.CommittedSum() == 200 })
		for i := range 50 {
			source.Put(0, connectors.Message{Value: fmt.Append(nil, 100+i)})
		}
		s.until("committed", func(*Route) bool { return source.CommittedSum() == 250 })
		now := time.Now()
		source.Put(1, connectors.Message{Value: []byte("x"), Time: now})
		s.until("committed", func(*Route) bool { return source.CommittedSum() == 251 })
		move := func(p string, before, after, doubled int64) PositionMove {
			return PositionMove{Partition: p, Known: true, Before: before, After: after, Doubled: doubled}
		}
		for _, c := range []struct {
			to, partition string
			want          []PositionMove
			err           string
		}{
			{to: "earliest", want: []PositionMove{move("orders/0", 150, 0, 150), move("orders/1", 101, 0, 101)}},
			{to: "latest", want: []PositionMove{move("orders/0", 150, 150, 0), move("orders/1", 101, 101, 0)}},
			{to: "30", partition: "orders/1", want: []PositionMove{move("orders/1", 101, 30, 71)}},
			{to: "30", partition: "1", want: []PositionMove{move("orders/1", 101, 30, 71)}},
			{to: day.Add(30*time.Minute - time.Second).Format(time.RFC3339), partition: "0", want: []PositionMove{move("orders/0", 150, 30, 120)}},
			{to: "-1h", partition: "1", want: []PositionMove{move("orders/1", 101, 100, 1)}},
			{to: "30", err: "choose one with --partition, such as orders/0"},
			{to: "102", partition: "1", err: "orders/1 has no position 102: it holds [0, 101)"},
			{to: "earliest", partition: "7", err: "which has orders/0, orders/1"},
			{to: "yesterday", err: "or so long ago, such as -2h"},
			{to: "", err: "is no position"},
			{to: "sink", err: "headers: none"},
		} {
			got, err := s.SetPosition(t.Context(), "orders", PositionOrder{To: c.to, Partition: c.partition, DryRun: true})
			switch {
			case c.err != "":
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("--to %q: %v, want %q", c.to, err, c.err)
				}
			case err != nil:
				t.Errorf("--to %q: %v", c.to, err)
			default:
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("--to %q: %s", c.to, diff)
				}
			}
		}
		if source.CommittedSum() != 251 || len(s.Status()[0].Actions) > 0 {
			t.Error("a dry run has done something")
		}
		s.end()
	})
}

// TestPositionSet: a running route is drained, moved and goes on; so does a halted one.
func TestPositionSet(t *testing.T) {
	for _, blocked := range []bool{false, true} {
		t.Run(fmt.Sprint("halted ", blocked), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				source, sink, broken := timed(2, 100), connectortest.NewTopic("out", 0), on()
				broken.Store(blocked)
				rc := between(source, sink)
				rc.Sink = connectortest.FaultySink(rc.Sink, refuse("orders/1", 40, broken))
				s, log := startLogged(t, zerolog.InfoLevel, rc)
				if blocked {
					s.until("halted", halted)
				} else {
					s.until("committed", func(*Route) bool { return source.CommittedSum() == 200 })
				}
				before := source.Committed("orders/1")
				broken.Store(false)
				moves, err := s.SetPosition(t.Context(), "orders", PositionOrder{
					To: "20", Partition: "1", By: Operator{Who: "ann@desk (::1)", Why: "replay"},
				})
				if err != nil {
					t.Fatal(err)
				}
				if want := []PositionMove{{Partition: "orders/1", Known: true, Before: before, After: 20, Doubled: before - 20}}; !cmp.Equal(want, moves) {
					t.Error(cmp.Diff(want, moves))
				}
				s.until("committed again", func(*Route) bool { return source.CommittedSum() == 200 })
				if status := s.Status()[0]; status.Halted != nil || status.State == flowcontrol.Halted {
					t.Errorf("still halted: %+v", status.Halted)
				}
				s.end()
				if again := int64(len(sink.Messages("orders/1"))) - 100; again < before-20 || !blocked && again != before-20 {
					t.Errorf("%d messages came twice, want %d", again, before-20)
				}
				lines := log.lines(t, "audit", true)
				if len(lines) != 1 || lines[0]["what"] != "position set --to 20 --partition 1" || lines[0]["who"] != "ann@desk (::1)" || lines[0]["why"] != "replay" ||
					lines[0]["before"] != fmt.Sprint("orders/1 ", before) || lines[0]["after"] != "orders/1 20" {
					t.Errorf("audit lines %v", lines)
				}
			})
		})
	}
}

// TestPositionSetRefuses: what may not be done leaves the route as it was.
func TestPositionSetRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := timed(1, 100), connectortest.NewTopic("out", 0)
		rc := between(source, sink)
		rc.Sink = connectortest.FaultySink(rc.Sink, refuse("orders/0", 42, on()))
		other, err := source.SourceSpec().Open(t.Context(), connectors.Env{Host: connectortest.NewHost()})
		if err != nil {
			t.Fatal(err)
		}
		s := start(t, rc)
		s.until("halted", halted)
		if _, err := s.SetPosition(t.Context(), "orders", PositionOrder{To: "latest"}); err == nil || !strings.Contains(err.Error(), "passes over") ||
			!strings.Contains(err.Error(), "--skip") {
			t.Errorf("over messages that were never delivered: %v", err)
		}
		if _, err := s.SetPosition(t.Context(), "orders", PositionOrder{To: "earliest"}); err == nil || !strings.Contains(err.Error(), "a source reads the topic") {
			t.Errorf("while another reads: %v", err)
		}
		if !halted(s.routes[0]) || source.Committed("orders/0") > 42 {
			t.Errorf("the route is %v at %d", s.Status()[0].State, source.Committed("orders/0"))
		}
		if err := other.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		committed := source.Committed("orders/0")
		moves, err := s.SetPosition(t.Context(), "orders", PositionOrder{To: "latest", Skip: true})
		if err != nil || moves[0].Skipped != 100-committed {
			t.Errorf("%+v, %v", moves, err)
		}
		s.until("gone on", func(r *Route) bool { return !halted(r) && source.Committed("orders/0") == 100 })
		s.end()
	})
}

// TestPositionSetDrains: a route under load loses nothing and is told at which position it was.
func TestPositionSetDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := timed(3, 2000), connectortest.NewTopic("out", 0)
		rc := between(source, sink)
		rc.Sink = connectortest.FaultySink(rc.Sink, func([]*connectors.Batch) connectortest.Fault {
			done := make(chan struct{})
			time.AfterFunc(50*time.Millisecond, func() { close(done) })
			return connectortest.Fault{Wait: done}
		})
		s := start(t, rc)
		s.until("at work", func(*Route) bool { return source.CommittedSum() > 500 })
		moves, err := s.SetPosition(t.Context(), "orders", PositionOrder{To: "0", Partition: "1"})
		if err != nil {
			t.Fatal(err)
		}
		// In order and without a hole up to the position, then again from the start.
		got := sink.Messages("orders/1")
		for i := range moves[0].Before {
			if got[i].Offset != i {
				t.Fatalf("message %d has offset %d", i, got[i].Offset)
			}
		}
		s.until("done", func(*Route) bool { return source.CommittedSum() == 6000 })
		s.end()
		if n := int64(len(sink.Messages("orders/1"))); n != 2000+moves[0].Before {
			t.Errorf("%d messages, want 2000 and %d again", n, moves[0].Before)
		}
		if n := len(sink.Messages("orders/0")); n != 2000 {
			t.Errorf("another partition: %d messages, want 2000", n)
		}
	})
}

// TestOperateOneAtATime: a second order waits for nobody, one that is withdrawn is not carried out.
func TestOperateOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := timed(1, 100)
		s := start(t, between(source, connectortest.NewTopic("out", 0)))
		s.until("committed", func(*Route) bool { return source.CommittedSum() == 100 })
		r := s.routes[0]
		begun, finish := make(chan struct{}), make(chan struct{})
		first := make(chan error)
		go func() {
			first <- r.operate(t.Context(), func(context.Context) error { close(begun); <-finish; return errNo })
		}()
		<-begun
		if state := r.Status().State; state != flowcontrol.Paused {
			t.Errorf("the route is %v", state)
		}
		if err := r.operate(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "somebody else is at it") {
			t.Errorf("a second order: %v", err)
		}
		close(finish)
		if err := <-first; err != errNo {
			t.Errorf("the first order: %v", err)
		}
		s.until("going on", func(r *Route) bool { return r.Status().State == flowcontrol.Idle })
		s.end()
		if err := r.operate(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "has ended") {
			t.Errorf("an order to a route that has ended: %v", err)
		}
	})
}

// TestOperateWithdrawn: an order whose caller is gone before its turn is not carried out, and the route goes on.
func TestOperateWithdrawn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := timed(1, 1000)
		rc := between(source, connectortest.NewTopic("out", 0))
		release := make(chan struct{})
		var held atomic.Bool
		rc.Sink = connectortest.FaultySink(rc.Sink, func([]*connectors.Batch) connectortest.Fault {
			if held.CompareAndSwap(false, true) {
				return connectortest.Fault{Wait: release}
			}
			return connectortest.Fault{}
		})
		s := start(t, rc)
		s.until("in flight", func(r *Route) bool { return held.Load() })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := s.routes[0].operate(ctx, func(context.Context) error { t.Error("it was carried out"); return nil })
		if err != context.DeadlineExceeded {
			t.Errorf("operate: %v", err)
		}
		close(release)
		s.until("done", func(*Route) bool { return source.CommittedSum() == 1000 })
		s.end()
	})
}
