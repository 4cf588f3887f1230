package bridge

import (
	"context"
	"testing"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/connectortest"
	"github.com/sluice-bridge/sluice/flowcontrol"
)

// lagSource asks a function how much there is to read.
type lagSource struct {
	connectors.Source
	lag func() int64
}

func (s *lagSource) Lag() (int64, bool) { return s.lag(), true }

// TestLaneWaitIsOfItsFetch: a Fetch that lasts, with a lane paused, waits for the lane. If it returns while the monitor
// looks, and the fetcher waits for room, that wait is neither the lane's nor over.
func TestLaneWaitIsOfItsFetch(t *testing.T) {
	for _, returns := range []bool{false, true} {
		s := start(t, between(connectortest.NewTopic("orders", 1), connectortest.NewTopic("out", 0)))
		s.end()
		n, err := newRun(s.routes[0], context.Background(), context.Background())
		if err != nil {
			t.Fatal(err)
		}
		stuck := &partition{}
		stuck.paused.Store(true)
		n.partitions["orders/0"] = stuck
		now, clock, want := time.Now(), n.route.clock, flowcontrol.CauseLane
		n.fetching.Store(now.Add(-time.Second).UnixNano())
		n.source = &lagSource{lag: func() int64 {
			if returns {
				n.endFetch()
				clock.Wait(flowcontrol.CauseMessages, now)
				want = flowcontrol.CauseMessages
			}
			return 1
		}}
		n.noteWaiting(now)
		if got := clock.Read(now).Cause; got != want {
			t.Errorf("the clock waits for %v, want %v", got, want)
		}
		if n.endFetch(); !returns && clock.Read(now).Cause != flowcontrol.CauseNone {
			t.Error("the Fetch has returned, and the clock waits for the lane")
		}
		n.halt.stop()
		n.endHard()
		n.leave()
	}
}
