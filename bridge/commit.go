package bridge

import (
	"context"
	"sync"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
)

// commitGrace is how long the last commit may take after the hard end: what is acknowledged should
// not come again if it can be helped.
const commitGrace = time.Second

// settledList are the partitions in which something has settled since the committer looked.
type settledList struct {
	mu         sync.Mutex
	partitions []*partition
	wake       chan struct{} // capacity 1
}

func (l *settledList) add(p *partition) {
	l.mu.Lock()
	l.partitions = append(l.partitions, p)
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// take moves the list into dst.
func (l *settledList) take(dst []*partition) []*partition {
	l.mu.Lock()
	defer l.mu.Unlock()
	dst = append(dst[:0], l.partitions...)
	clear(l.partitions)
	l.partitions = l.partitions[:0]
	return dst
}

// committer hands settled batches to the source.
type committer struct {
	*run
	ctx        context.Context
	partitions []*partition
	flights    []*flight
	batches    []*connectors.Batch
	shares     []share
	retry      backoff
}

// share is how many messages of a partition one Commit holds.
type share struct {
	p        *partition
	messages int64
}

// commit is the one goroutine that calls Commit. It ends after the lanes, when what has settled is
// committed or the grace after the hard end is over.
func (n *run) commit(lanesDone <-chan struct{}) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(n.hard))
	defer cancel()
	defer context.AfterFunc(n.hard, func() {
		select {
		case <-time.After(commitGrace):
			cancel()
		case <-ctx.Done():
		}
	})()
	c := &committer{run: n, ctx: ctx, retry: backoff{Retry: n.route.cfg.Retry}}
	for {
		final := false
		select {
		case <-n.settled.wake:
		case <-lanesDone:
			final = true
		}
		for c.collect() {
			if !c.commit() {
				return
			}
		}
		if final {
			return
		}
	}
}

// collect gathers what has settled and reports whether there is any.
func (c *committer) collect() bool {
	c.batches, c.shares = c.batches[:0], c.shares[:0]
	c.partitions = c.settled.take(c.partitions)
	for _, p := range c.partitions {
		c.flights = p.tracker.Drain(c.flights[:0])
		var messages int64
		for _, f := range c.flights {
			c.batches = append(c.batches, f.batch)
			messages += f.cost.Messages
		}
		if messages > 0 {
			c.shares = append(c.shares, share{p, messages})
		}
	}
	return len(c.batches) > 0
}

// commit commits what was collected, however often that takes. It returns false when it must not go
// on: the route halts, or time is up.
func (c *committer) commit() bool {
	for {
		err := c.source.Commit(c.ctx, c.batches)
		switch {
		case err == nil:
			c.retry.reset()
			c.noteCommitted()
			return true
		case connectors.IsPermanent(err):
			c.halt.set(haltCommit, err)
			return false
		}
		if c.ctx.Err() == nil {
			c.route.health.commitFailed(err)
		}
		if c.retry.next(c.ctx) != nil {
			return false
		}
	}
}

func (c *committer) noteCommitted() {
	for _, s := range c.shares {
		c.open.Add(-s.p.tracker.Committed(s.messages))
		c.route.counts.committed.Add(uint64(s.messages))
		s.p.signal()
	}
	clear(c.batches)
	c.route.health.commitFailed(nil)
	c.nudgeUncommitted()
}

// nudgeUncommitted makes a fetcher that waits for commits look again.
func (n *run) nudgeUncommitted() {
	select {
	case n.committed <- struct{}{}:
	default:
	}
}
