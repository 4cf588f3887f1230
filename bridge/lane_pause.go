package bridge

import (
	"slices"
	"time"

	"github.com/sluice-bridge/sluice/flowcontrol"
)

const (
	// slowLane is how long a lane goes without an acknowledgement before it counts as stuck.
	slowLane = time.Second
	// leastPause is how much a lane that moves may hold however small an adaptive window is: one that is
	// small is full of what moves, and fetching again would be most of what the source does.
	leastPause = 1024
)

// pauseLane pauses the partition of a lane that holds more than its share, so that it does not stop
// the others. Lanes that move are left alone up to three quarters of the window, for pausing costs
// the source what it had fetched. Of lanes that are stuck, each may hold half of what the stuck ones
// before it left of half the window: together they never hold more than that half.
func (n *run) pauseLane(p *partition, now time.Time) {
	if n.pauser == nil || p.paused.Load() || n.lanes() < 2 {
		return
	}
	limit, held := n.window.Limit().Messages, p.lane.Held()
	most := max(limit, min(n.window.Hard().Messages, leastPause)) * 3 / 4
	if held <= most && (held <= (limit/2-n.heldByPaused())/2 || !n.stuck(p, now)) {
		return
	}
	p.pausedAt.Store(now.UnixNano())
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

// stuck reports whether the sink refuses what a lane holds although it does not refuse every lane, or has not
// answered it for a while although it answers others. While the sink answers nobody, or refuses all, there is
// no lane to protect from another: the window fills to its bound.
func (n *run) stuck(p *partition, now time.Time) bool {
	if !n.route.health.sinkConnected() {
		return false
	}
	if p.refused() {
		return slices.ContainsFunc(n.snapshot(), func(other *partition) bool { return !other.refused() })
	}
	return !p.moves(now) && slices.ContainsFunc(n.snapshot(), func(other *partition) bool { return other.moves(now) })
}

// refused reports whether what the lane holds was refused and has to wait.
func (p *partition) refused() bool {
	phase := flowcontrol.Blocker(p.phase.Load())
	return phase == flowcontrol.BlockerRetry || phase == flowcontrol.BlockerDeadLetter
}

// moves reports whether something of the lane was acknowledged just now.
func (p *partition) moves(now time.Time) bool {
	return now.Sub(time.Unix(0, p.acked.Load())) <= slowLane
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
