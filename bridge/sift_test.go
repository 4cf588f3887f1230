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

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/connectortest"
)

// placed is a sink that knows its place once it is connected.
type placed struct {
	connectors.Sink
	away *atomic.Bool
}

func (s placed) Place(context.Context) (string, error) {
	if s.away.Load() {
		return "", errNo
	}
	return "nats:c/ORDERS", nil
}

func placedSink(spec *connectors.SinkSpec, away *atomic.Bool) *connectors.SinkSpec {
	changed := *spec
	changed.Open = func(ctx context.Context, env connectors.Env) (connectors.Sink, error) {
		s, err := spec.Open(ctx, env)
		return placed{s, away}, err
	}
	return &changed
}

// TestReturned: of a two-way bridge, what came from where the sink writes is not sent back there, and
// nothing is written before it is known where that is. Whatever else has a similar origin passes.
func TestReturned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := connectortest.NewTopic("orders", 1, connectortest.WithBatch(10)), connectortest.NewTopic("out", 0)
		origins := []string{"nats:c/ORDERS/%d;hops=1", "", "nats:c/ORDERS2/%d;hops=1", "nats:d/ORDERS/%d;hops=1", "nats:c/ORDERS", "kafka:c/orders/0/%d;hops=1"}
		for i := range 60 {
			m := connectors.Message{Value: []byte(origins[i%len(origins)])}
			if i%len(origins) != 1 {
				m.Headers = []connectors.Header{{Key: connectors.OriginHeader, Value: []byte(strings.ReplaceAll(origins[i%len(origins)], "%d", fmt.Sprint(i)))}}
			}
			source.Put(0, m)
		}
		rc := between(source, sink)
		away := on()
		rc.WayBack, rc.Sink = "back", placedSink(rc.Sink, away)
		s := start(t, rc)
		time.Sleep(time.Minute)
		if status := s.Status()[0]; sink.Written() != 0 || status.InFlight[0].Error != "no" {
			t.Errorf("%d messages were written before the place was known; %+v", sink.Written(), status.InFlight)
		}
		away.Store(false)
		s.until("committed", func(*Route) bool { return source.CommittedSum() == 60 })
		status := s.Status()[0]
		if c := status.Counts; c.Returned != 10 || c.Dropped != 0 || sink.Written() != 50 {
			t.Errorf("returned %d, dropped %d, written %d; want 10, 0 and 50", c.Returned, c.Dropped, sink.Written())
		}
		for _, m := range sink.Messages("orders/0") {
			if string(m.Value) == origins[0] {
				t.Errorf("offset %d was sent back", m.Offset)
			}
		}
		if !strings.Contains(status.Guarantee, "by route back is not sent back") {
			t.Errorf("guarantee: %q", status.Guarantee)
		}
		s.end()
	})
}

func TestReturnedNeedsAPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rc := between(filled("orders", 1, 1), connectortest.NewTopic("out", 0))
		rc.WayBack = "back"
		s := start(t, rc)
		s.until("halted", func(r *Route) bool { return !r.Status().Down.IsZero() })
		if d := s.Status()[0].Detail; !strings.Contains(d, "cannot tell what it writes to") {
			t.Errorf("detail: %q", d)
		}
		s.end()
	})
}

// TestReturnedAndStale: both at once, with a dead-letter sink that fails first.
func TestReturnedAndStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink, letters := aged(300), connectortest.NewTopic("out", 0), connectortest.NewTopic("dead", 0)
		for i := range 100 {
			source.Put(0, connectors.Message{Value: []byte("back"), Time: time.Now().Add(-time.Duration(i) * time.Hour),
				Headers: []connectors.Header{{Key: connectors.OriginHeader, Value: []byte("nats:c/ORDERS/1;hops=1")}}})
		}
		rc := between(source, sink)
		rc.WayBack, rc.Sink = "back", placedSink(rc.Sink, new(atomic.Bool))
		rc.OnReject, rc.Stale = DeadLetter, Stale{OlderThan: 24 * time.Hour, DeadLetter: true}
		failed := 0
		rc.DeadLetter = connectortest.FaultySink(letters.SinkSpec(), func(batches []*connectors.Batch) connectortest.Fault {
			if failed++; failed > 1 {
				return connectortest.Fault{}
			}
			return connectortest.Fault{Err: &connectors.BatchError{Failed: []connectors.Failure{{Index: 0, Err: errors.New("later")}}}}
		})
		s := start(t, rc)
		s.until("committed", func(*Route) bool { return source.CommittedSum() == 400 })
		if c := s.Status()[0].Counts; c.Returned != 100 || c.Stale != 100 || sink.Written() != 200 || c.AcknowledgedMessages != 400 {
			t.Errorf("%+v, written %d", c, sink.Written())
		}
		if w := s.Status()[0].Window; w.Messages != 0 || w.Bytes != 0 {
			t.Errorf("the window holds %+v", w)
		}
		s.end()
	})
}
