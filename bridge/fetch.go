package bridge

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/flowcontrol"
)

// uncommittedWindows bounds what is fetched and not committed, in windows of messages: what a crash
// would double while upstream does not confirm commits.
const uncommittedWindows = 4

// fetch is the one goroutine that calls Fetch. It returns when the source or the run's soft context
// ends.
func (n *run) fetch() {
	retry := backoff{Retry: n.route.cfg.Retry}
	var need int64
	for n.soft.Err() == nil {
		if !n.awaitGoing() || !n.awaitRate() || !n.awaitRoom(need) {
			continue // the run has ended, or there is more to wait for
		}
		n.resumeLanes()
		if r := n.route.cfg.redrive; r != nil {
			if n.most = r.pace(n.soft); n.most == 0 {
				return
			}
		}
		b, err := n.fetchOne(need)
		var noRoom *connectors.NoRoomError
		switch {
		case err == nil:
			need = 0
			retry.reset()
			n.admit(b)
		case n.soft.Err() != nil:
		case errors.As(err, &noRoom):
			need = noRoom.Need
		case errors.Is(err, io.EOF):
			return
		case connectors.IsPermanent(err):
			n.halt.set(haltSource, err)
		case errors.Is(err, context.Canceled): // interrupted, to resume a lane or to pause the route
		default:
			n.route.health.sourceFailed(err)
			_ = retry.next(n.soft) // its error is the context's, which the loop looks at
		}
	}
}

// awaitRoom waits while a bound is full and reports whether there is room (I3). It then has taken the
// Fetch's part of the process's memory.
func (n *run) awaitRoom(need int64) bool {
	limit := n.uncommittedLimit()
	free, cause := n.window.Free(need)
	full := cause != flowcontrol.CauseNone
	switch {
	case full:
	case n.open.Load() >= limit:
		cause = flowcontrol.CauseUncommitted
	default:
		if n.granted = n.part.Ask(free.Bytes, need); n.granted > 0 {
			n.free = free
			return true
		}
		cause = flowcontrol.CauseBudget
	}
	if cause == flowcontrol.CauseMessages && n.share != nil {
		n.share.Press()
	}
	n.route.clock.Wait(cause, time.Now())
	defer func() { n.route.clock.Resume(time.Now()) }()
	// What it did not wait for may have become full meanwhile: the caller asks again.
	switch cause {
	case flowcontrol.CauseUncommitted:
		for n.open.Load() >= limit && n.going.Err() == nil {
			select {
			case <-n.committed:
			case <-n.going.Done():
			}
		}
	case flowcontrol.CauseBudget:
		_ = n.part.Wait(n.going) // its error is the context's, which the caller looks at
	default:
		_ = n.window.Wait(n.going, need)
	}
	return false
}

// uncommittedLimit is the bound of what is fetched and not committed. It is of the hard bound, for how
// long a commit takes has nothing to do with what the sink needs in flight.
func (n *run) uncommittedLimit() int64 { return uncommittedWindows * n.window.Hard().Messages }

func (n *run) fetchOne(need int64) (*connectors.Batch, error) {
	ctx := n.going
	if len(n.paused) > 0 {
		interrupted, cancel := context.WithCancel(ctx)
		defer cancel()
		n.interrupt.Store(&cancel)
		defer n.interrupt.Store(nil)
		// What was released before the interrupt was in place has interrupted nothing.
		n.resumeLanes()
		ctx = interrupted
	}
	n.fetching.Store(time.Now().UnixNano())
	defer n.endFetch()
	return n.source.Fetch(ctx, n.room(need))
}

// endFetch says that no Fetch is out, and ends the wait that the monitor has put down to it.
func (n *run) endFetch() {
	n.laneMu.Lock()
	defer n.laneMu.Unlock()
	n.fetching.Store(0)
	if n.laneWait {
		n.laneWait = false
		n.route.clock.Resume(time.Now())
	}
}

// room is what a Fetch may bring. With several lanes one answer takes a quarter of the window at most,
// so that a lane is found to be full before it has all of it.
func (n *run) room(need int64) connectors.Room {
	free := n.free // not asked anew: an adaptive window may have become smaller meanwhile, and nothing would be left
	if n.pauser != nil && n.lanes() > 1 {
		free.Messages = min(free.Messages, max(1, n.window.Limit().Messages/4))
	}
	n.asked = free.Messages
	free.Messages = min(free.Messages, max(1, n.uncommittedLimit()-n.open.Load()))
	if n.most > 0 {
		free.Messages = min(free.Messages, int64(n.most))
	}
	free = n.route.pacer.within(free, need)
	if free.Messages < n.asked {
		n.asked = 0
	}
	return connectors.Room{
		Messages: int(free.Messages), Bytes: min(free.Bytes, n.granted),
		Alone: n.window.Used() == flowcontrol.Cost{},
	}
}

// admit charges a batch and gives it to its lane.
func (n *run) admit(b *connectors.Batch) {
	now := time.Now()
	n.route.health.sourceWorked()
	if r := n.route.cfg.redrive; r != nil {
		r.fetched(b)
	}
	f := &flight{
		batch: b, fetched: now, stored: b.Messages[0].Time, left: len(b.Messages),
		cost: flowcontrol.Cost{Messages: int64(len(b.Messages)), Bytes: b.Memory},
	}
	n.charge(f.cost)
	n.route.pacer.take(f.cost, now)
	if n.share != nil && n.asked > 0 && f.cost.Messages >= n.asked {
		n.share.Press()
	}
	n.route.counts.fetched(f.cost)
	n.route.tap(StageFetched, b, b.Messages, nil)
	p := n.partition(b.Partition)
	if p == nil || !n.track(p, f) {
		// Revoked while Fetch returned it: whoever owns the partition now reads it again.
		n.release(f.cost)
		n.recycle(b)
		return
	}
	n.noteUse()
	n.pauseLane(p, now)
}

// track makes a batch part of its partition, and reports whether that was still possible.
func (n *run) track(p *partition, f *flight) bool {
	n.open.Add(f.cost.Messages)
	var ok bool
	if f.ticket, ok = p.tracker.Track(f, f.cost.Messages); !ok {
		n.open.Add(-f.cost.Messages)
		return false
	}
	return p.lane.Push(f, f.cost.Messages) // if not, the revoke takes it out of open
}

// noteUse counts how often use reaches 90 % of the hard bound; a crossing is over below 75 %.
func (n *run) noteUse() {
	used, limit := n.window.Used(), n.window.Hard()
	share := max(float64(used.Messages)/float64(limit.Messages), float64(used.Bytes)/float64(limit.Bytes))
	n.route.counts.use(share)
}

func (n *run) recycle(b *connectors.Batch) {
	if n.recycler != nil {
		n.recycler.Recycle(b)
	}
	b.Messages = nil
}
