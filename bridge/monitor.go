package bridge

import (
	"time"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/flowcontrol"
)

// waitingAfter is how long a Fetch brings nothing before the source is idle or starved, and lookEvery how often
// that is looked at: together less than a second.
const (
	waitingAfter = 700 * time.Millisecond
	lookEvery    = 200 * time.Millisecond
)

// monitor notices that a Fetch has been out for a while. It ends with the lanes.
func (n *run) monitor(lanesDone <-chan struct{}) {
	timer := time.NewTimer(connectors.UntilTick(lookEvery))
	defer timer.Stop()
	n.route.outlook.samples = nil // between two runs a position may have been set
	for {
		select {
		case <-lanesDone:
			return
		case now := <-timer.C:
			timer.Reset(connectors.UntilTick(lookEvery))
			n.noteWaiting(now)
			n.route.outlook.look(n, now)
			n.holdStuck(now)
		}
	}
}

func (n *run) noteWaiting(now time.Time) {
	since := n.fetching.Load()
	if since == 0 || now.Sub(time.Unix(0, since)) < waitingAfter {
		return
	}
	var lag int64
	var known bool
	if l, ok := n.source.(connectors.Lagger); ok {
		lag, known = l.Lag()
	}
	if (lag > 0 || !known) && n.lanesPaused() {
		// There is something to read, and what cannot be fetched is what stuck lanes hold back. If the Fetch has
		// returned meanwhile, the fetcher may wait for something else.
		n.laneMu.Lock()
		defer n.laneMu.Unlock()
		if n.fetching.Load() == since {
			n.route.clock.Wait(flowcontrol.CauseLane, now)
			n.laneWait = true
		}
		return
	}
	n.route.health.waiting(lag, known)
	n.route.watchdog.look(n, lag, now)
}

func (n *run) lanesPaused() bool {
	for _, p := range n.snapshot() {
		if p.paused.Load() {
			return true
		}
	}
	return false
}
