package bridge

import (
	"context"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/flowcontrol"
	"github.com/sluice-bridge/sluice/telemetry"
)

const (
	// evidenceWithin is how long who holds the room has to answer: with lookEvery less than a second.
	evidenceWithin = 700 * time.Millisecond
	// evidenceEvery is how often the same is asked while a stall lasts.
	evidenceEvery = 5 * time.Second
)

// evidence is what was found out about a stall. text may be empty.
type evidence struct {
	blocker flowcontrol.Blocker
	at      time.Time
	text    string
}

// witness asks who holds the room what its broker is at, while the route is stalled. It has a goroutine of its
// own: nothing waits for it. It ends with the lanes.
func (n *run) witness(lanesDone <-chan struct{}) {
	timer := time.NewTimer(connectors.UntilTick(lookEvery))
	defer timer.Stop()
	defer n.route.evidence.Store(nil)
	for {
		select {
		case <-lanesDone:
			return
		case now := <-timer.C:
			n.gather(now)
			timer.Reset(connectors.UntilTick(lookEvery)) // it may have taken a while
		}
	}
}

// gather asks if it is time to.
func (n *run) gather(now time.Time) {
	clock := n.route.clock.Read(now)
	if clock.State != flowcontrol.Stalled {
		n.route.evidence.Store(nil)
		return
	}
	s := telemetry.RouteStatus{Cause: clock.Cause}
	n.fillStatus(&s, n.route.health.read(now))
	if e := n.route.evidence.Load(); e != nil && e.blocker == s.Blocker && now.Sub(e.at) < evidenceEvery {
		return
	}
	found := &evidence{blocker: s.Blocker, at: now}
	if w := n.witnessOf(s.Blocker, s.Holder); w != nil {
		ctx, cancel := context.WithTimeout(n.hard, evidenceWithin)
		found.text = w.Evidence(ctx)
		cancel()
	}
	n.route.evidence.Store(found)
}

// witnessOf returns who knows about a blocker, nil for nobody. What another route holds is that one's to say.
func (n *run) witnessOf(b flowcontrol.Blocker, holder string) (w connectors.Witness) {
	switch {
	case holder != "" || b == flowcontrol.BlockerNone || b == flowcontrol.BlockerTransform:
	case b == flowcontrol.BlockerCommit:
		w, _ = n.source.(connectors.Witness)
	case b == flowcontrol.BlockerDeadLetter:
		w, _ = n.deadLetter.(connectors.Witness)
	default:
		w, _ = n.sink.(connectors.Witness)
	}
	return w
}

// fillEvidence adds what was found out of the stall that goes on.
func (r *Route) fillEvidence(s *telemetry.RouteStatus) {
	if e := r.evidence.Load(); e != nil && s.State == flowcontrol.Stalled && e.blocker == s.Blocker {
		s.Evidence = e.text
	}
}
