package bridge

import (
	"time"

	"github.com/sluice-bridge/sluice/flowcontrol"
)

// slowLane is how long a lane goes without an acknowledgement before it counts as stuck.
const slowLane = time.Second

// pauseLane pauses the partition of a lane that holds more than its share, so that it does not stop
// the others. Lanes that move are left alone up to three quarters of the window, for pausing costs
// the source what it had fetched. Of lanes that are stuck, each may hold half of what the stuck ones
// before it left of half the window: together they never hold more than that half.
func (n *run) pauseLane(p *partition, now time.Time) {
	if n.pauser == nil || p.paused.Load() || n.lanes() < 2 {
		return
	}
	limit, held := n.window.Limit().Messages, p.lane.Held()
	if held <= limit*3/4 && (!p.stuck(now) || held <= (limit/2-n.heldByPaused())/2) {
		return
	}
	p.paused.Store(true)
	n.pauser.Pause(p.name)
	n.paused = append(n.paused, p)
}

func (n *run) heldByPaused() (messages int64) {
	for _, p := range n.paused {
		messages += p.lane.Held()
	}
	return messages
}

// stuck reports whether a lane's sink refuses what it holds or has not answered for a while.
func (p *partition) stuck(now time.Time) bool {
	switch flowcontrol.Blocker(p.phase.Load()) {
	case flowcontrol.BlockerRetry, flowcontrol.BlockerDeadLetter:
		return true
	}
	return now.Sub(time.Unix(0, p.acked.Load())) > slowLane
}

// resumeLanes resumes the partitions whose lanes have emptied enough.
func (n *run) resumeLanes() {
	kept := n.paused[:0]
	for _, p := range n.paused {
		switch {
		case p.gone.Load():
		case n.mayResume(p):
			p.paused.Store(false)
			n.pauser.Resume(p.name)
		default:
			kept = append(kept, p)
		}
	}
	clear(n.paused[len(kept):])
	n.paused = kept
}

// mayResume reports whether a paused lane holds less than half of what is free again.
func (n *run) mayResume(p *partition) bool {
	held := p.lane.Held()
	return held == 0 || held <= (n.window.Limit().Messages-n.window.Used().Messages)/2
}

// released is called by a lane's writer when messages are acknowledged: a Fetch that is out knows
// nothing of a paused partition that may go on, so it is interrupted.
func (n *run) released(p *partition) {
	if !p.paused.Load() || !n.mayResume(p) {
		return
	}
	if cancel := n.interrupt.Load(); cancel != nil {
		(*cancel)()
	}
}
