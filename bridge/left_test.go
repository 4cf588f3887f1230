package bridge

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/connectortest"
)

// TestAbandonedIsNeverCommitted: a hard end before the sink's acknowledgement, and one between it and the
// commit. What was in flight is not committed, is told, and comes again.
func TestAbandonedIsNeverCommitted(t *testing.T) {
	for name, written := range map[string]int64{"before the acknowledgement": 0, "before the commit": 200} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				source, sink := filled("orders", 2, 100), connectortest.NewTopic("out", 0)
				rc := between(source, sink)
				never := func([]*connectors.Batch) connectortest.Fault { return connectortest.Fault{Wait: make(chan struct{})} }
				if written == 0 {
					rc.Sink = connectortest.FaultySink(rc.Sink, never)
				} else {
					rc.Source = connectortest.FaultySource(rc.Source, connectortest.SourceFaults{Commit: never})
				}
				s := start(t, rc)
				time.Sleep(time.Minute)
				inFlight := int64(s.Status()[0].Counts.FetchedMessages)
				s.Abandon()
				var late *DrainError
				if err := <-s.done; !errors.As(err, &late) || late.Left != inFlight {
					t.Errorf("Run: %v, want a DrainError of %d", err, inFlight)
				}
				if n := source.CommittedSum(); n != 0 {
					t.Errorf("%d messages are committed", n)
				}
				left := s.Left()
				if len(left) != 1 || left[0].Messages != inFlight || left[0].Written != written {
					t.Fatalf("left %+v, want %d messages of which %d are written", left, inFlight, written)
				}
				if given := len(left[0].InFlight); (written == 0) != (given == 2 && left[0].Bytes > 0) {
					t.Errorf("left %+v", left[0])
				}
				again := start(t, between(source, sink))
				again.until("committed", func(*Route) bool { return source.CommittedSum() == 200 })
				again.end()
				if n := sink.Written(); n != 200+written {
					t.Errorf("%d messages are written, want 200 and %d of them twice", n, written)
				}
				if left := again.Left(); len(left) != 0 {
					t.Errorf("after a drain there is left %+v", left)
				}
			})
		})
	}
}
