package bridge

import (
	"sync/atomic"

	"github.com/sluice-bridge/sluice/flowcontrol"
	"github.com/sluice-bridge/sluice/telemetry"
)

// The shares of the hard bound between which use is warned of.
const (
	warnShare  = 0.90
	clearShare = 0.75
)

// counts are a route's counters. They only grow.
type counts struct {
	fetchedMessages, fetchedBytes, acknowledged, committed atomic.Uint64
	deadLettered, dropped, retries, refetched, stale       atomic.Uint64
	returned, filtered, gaps, gapMessages, crossings       atomic.Uint64

	above atomic.Bool // use has reached warnShare and not yet fallen below clearShare
}

func (c *counts) fetched(cost flowcontrol.Cost) {
	c.fetchedMessages.Add(uint64(cost.Messages))
	c.fetchedBytes.Add(uint64(cost.Bytes))
}

// use notes the window's use after something was added. One goroutine calls it.
func (c *counts) use(share float64) {
	switch above := c.above.Load(); {
	case !above && share >= warnShare:
		c.above.Store(true)
		c.crossings.Add(1)
	case above && share < clearShare:
		c.above.Store(false)
	}
}

func (c *counts) read() telemetry.Counts {
	return telemetry.Counts{
		FetchedMessages:      c.fetchedMessages.Load(),
		FetchedBytes:         c.fetchedBytes.Load(),
		AcknowledgedMessages: c.acknowledged.Load(),
		CommittedMessages:    c.committed.Load(),
		DeadLettered:         c.deadLettered.Load(),
		Dropped:              c.dropped.Load(),
		Stale:                c.stale.Load(),
		Returned:             c.returned.Load(),
		Filtered:             c.filtered.Load(),
		Retries:              c.retries.Load(),
		RefetchedBytes:       c.refetched.Load(),
		Gaps:                 c.gaps.Load(),
		GapMessages:          c.gapMessages.Load(),
		Crossings:            c.crossings.Load(),
	}
}
