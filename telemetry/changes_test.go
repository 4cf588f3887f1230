package telemetry

import (
	"testing"
	"time"

	"github.com/sluice-bridge/sluice/flowcontrol"
)

// The states of the last 15 minutes are kept, with what held the source, and no more of them than there are looks.
func TestChanges(t *testing.T) {
	play(t, func(c *script) {
		c.connect()
		c.sleep(2 * time.Second)
		c.full(flowcontrol.BlockerAck)
		c.sleep(3 * time.Second)
		c.room()
		c.sleep(time.Hour)
		c.full(flowcontrol.BlockerAck)
		c.sleep(5 * time.Second)
		all := c.tel.Changes("orders")
		if n := len(all); n != 3 || all[0].State != flowcontrol.Flowing || all[1].State != flowcontrol.Limited || all[2].State != flowcontrol.Stalled ||
			all[2].Cause != flowcontrol.CauseMessages || all[2].Blocker != flowcontrol.BlockerAck {
			t.Errorf("%+v", all)
		}
		if since := time.Since(all[2].Time); since < 3900*time.Millisecond || since > 4100*time.Millisecond {
			t.Errorf("stalled since %v", since)
		}
		c.room()
		for range 5000 {
			c.clock.Enter(flowcontrol.Idle, time.Now())
			c.sleep(pollEvery)
			c.clock.Enter(flowcontrol.Flowing, time.Now())
			c.sleep(pollEvery)
		}
		if n := len(c.tel.Changes("orders")); n < maxChanges-3 || n > maxChanges {
			t.Errorf("%d changes", n)
		}
	})
}
