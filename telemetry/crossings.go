package telemetry

import "time"

// A crossing of 90 % is worth a line each, unless there is one every few seconds because the route
// catches up at the sink's pace. Two are told; after that one in crossingRefill and one per stall.
const (
	crossingBurst  = 2
	crossingRefill = 10 * time.Minute
)

// crossings decides which crossings are told.
type crossings struct {
	seen   uint64 // the counter, as of the last poll
	untold uint64
	tokens int
	last   time.Time // when one was told
}

// due returns how many crossings the line that is due stands for; 0: none is. With stall, the line of
// a stall comes next and what is untold is told before it.
func (c *crossings) due(now time.Time, count uint64, stall bool) uint64 {
	c.untold += count - c.seen
	fresh := count > c.seen
	c.seen = count
	if c.untold == 0 || !fresh && !stall {
		return 0
	}
	if !c.last.IsZero() && now.Sub(c.last) >= crossingRefill {
		c.tokens = max(c.tokens, 1)
	}
	if c.tokens == 0 && !stall {
		return 0
	}
	if !stall {
		c.tokens--
	}
	n := c.untold
	c.last, c.untold = now, 0
	return n
}
