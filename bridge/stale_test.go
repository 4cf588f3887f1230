package bridge

import (
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/connectortest"
)

// aged is a topic of messages of which every third is stale, every third fresh, every third timeless.
func aged(messages int) *connectortest.Topic {
	topic := connectortest.NewTopic("orders", 1, connectortest.WithBatch(10))
	for i := range messages {
		m := connectors.Message{Value: []byte(strconv.Itoa(i))}
		switch i % 3 {
		case 0:
			m.Time = time.Now().Add(-25 * time.Hour)
		case 1:
			m.Time = time.Now()
		}
		topic.Put(0, m)
	}
	return topic
}

func TestStaleIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := aged(300), connectortest.NewTopic("out", 0)
		rc := between(source, sink)
		rc.Stale.OlderThan = 24 * time.Hour
		s := start(t, rc)
		s.until("committed", func(*Route) bool { return source.CommittedSum() == 300 })
		status := s.Status()[0]
		if c := status.Counts; c.Stale != 100 || c.Dropped != 0 || sink.Written() != 200 {
			t.Errorf("stale %d, dropped %d, written %d; want 100, 0 and 200", c.Stale, c.Dropped, sink.Written())
		}
		if status.Window.Messages != 0 || status.Window.Bytes != 0 {
			t.Errorf("the window holds %+v at the end", status.Window)
		}
		if !strings.HasSuffix(status.Guarantee, "; messages older than 24h0m0s are dropped") {
			t.Errorf("guarantee: %q", status.Guarantee)
		}
		for _, m := range sink.Messages("orders/0") {
			if i, err := strconv.Atoi(string(m.Value)); err != nil || i%3 == 0 {
				t.Errorf("%q was written", m.Value)
			}
		}
		s.end()
	})
}

// TestStaleWhileTheSinkIsAway: what becomes too old in the window is not written when the sink comes back.
func TestStaleWhileTheSinkIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := connectortest.NewTopic("orders", 1), connectortest.NewTopic("out", 0)
		for range 10 {
			source.Put(0, connectors.Message{Time: time.Now()})
		}
		rc := between(source, sink)
		rc.Stale.OlderThan = time.Hour
		away := on()
		rc.Sink = connectortest.FaultySink(rc.Sink, func([]*connectors.Batch) connectortest.Fault {
			if away.Load() {
				return connectortest.Fault{Err: errNo}
			}
			return connectortest.Fault{}
		})
		s := start(t, rc)
		time.Sleep(2 * time.Hour)
		away.Store(false)
		s.until("committed", func(*Route) bool { return source.CommittedSum() == 10 })
		if c := s.Status()[0].Counts; c.Stale != 10 || sink.Written() != 0 {
			t.Errorf("stale %d, written %d", c.Stale, sink.Written())
		}
		s.end()
	})
}

// TestStaleLetters: stale messages become letters in one Write, however often the target fails.
func TestStaleLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink, letters := aged(300), connectortest.NewTopic("out", 0), connectortest.NewTopic("dead", 0)
		rc := between(source, sink)
		rc.OnReject, rc.Stale = DeadLetter, Stale{OlderThan: 24 * time.Hour, DeadLetter: true}
		writes := 0
		rc.DeadLetter = connectortest.FaultySink(letters.SinkSpec(), func([]*connectors.Batch) connectortest.Fault {
			if writes++; writes%2 == 1 {
				return connectortest.Fault{Err: errNo}
			}
			return connectortest.Fault{}
		})
		s := start(t, rc)
		s.until("committed", func(*Route) bool { return source.CommittedSum() == 300 })
		if c := s.Status()[0].Counts; c.Stale != 100 || c.DeadLettered != 100 || sink.Written() != 200 || letters.Written() != 100 {
			t.Errorf("%+v, written %d, letters %d", c, sink.Written(), letters.Written())
		}
		if writes > 2*40 {
			t.Errorf("%d writes for 100 letters in some 30 batches, each of which fails once", writes)
		}
		for _, m := range letters.Messages("orders/0") {
			l, ok := ReadLetter(&m)
			if !ok || l.Cause() != "stale: older than #h#m#s" || l.Attempts != 0 || l.Message.Time.IsZero() {
				t.Fatalf("%+v", m)
			}
		}
		s.end()
	})
}

func TestStaleLettersRefusedHalt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink, letters := aged(30), connectortest.NewTopic("out", 0), connectortest.NewTopic("dead", 0)
		rc := between(source, sink)
		rc.OnReject, rc.Stale = DeadLetter, Stale{OlderThan: 24 * time.Hour, DeadLetter: true}
		rc.DeadLetter = connectortest.FaultySink(letters.SinkSpec(), refuse("orders/0", 3, on()))
		s := start(t, rc)
		s.until("halted", func(r *Route) bool { return !r.Status().Down.IsZero() })
		if d := s.Status()[0].Detail; !strings.Contains(d, "orders/0 offset 3") || !strings.Contains(d, "stale: older than") {
			t.Errorf("detail: %q", d)
		}
		s.end()
	})
}
