package flowcontrol

import (
	"sync"
	"time"
)

const (
	// StallAfter is how long a wait goes without an acknowledgement before limited becomes stalled, unless
	// Expect says otherwise.
	StallAfter = time.Second
	// quietAfter is how long a source must go without waiting before its episode is over.
	quietAfter = time.Second
)

// Clock accounts for a route's source time: it is always in exactly one state, and the times in the
// states sum to wall time. All methods may be called from any goroutine; none is called per message.
type Clock struct {
	mu    sync.Mutex
	base  State     // the state while not waiting for room
	since time.Time // when the current state began
	from  time.Time // up to where times is accounted
	shown State     // the state that times is accounted to from `from` on
	times [NumStates]time.Duration

	patience time.Duration // how long a wait goes without an acknowledgement before limited becomes stalled
	waiting  bool
	cause    Cause
	waitFrom time.Time // begin of the current wait
	silent   time.Time // begin of the first wait of this episode since the sink last answered
	lastAck  time.Time

	current, last Episode
}

// Episode is a time in which a source waited for room again and again: from its first wait until the
// end of its last one, after which it went a second without waiting.
type Episode struct {
	Seq     uint64        // 1 for a route's first episode; 0: no episode
	Begin   time.Time     // of the first wait
	End     time.Time     // of the last wait; zero while one is going on
	Waited  time.Duration // sum of the waits, the one going on included
	Waits   int64
	Longest time.Duration
	Stalled time.Duration // how much of Waited was spent stalled
	Cause   Cause         // of the latest wait
}

// NewClock returns a clock that starts in state at now.
func NewClock(state State, now time.Time) *Clock {
	return &Clock{base: state, shown: state, since: now, from: now, patience: StallAfter}
}

// Enter changes the state. While the source waits for room that is what it does, whatever else is the
// case: the state then shows when the wait is over.
func (c *Clock) Enter(state State, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.advance(now)
	c.base = state
	if !c.waiting {
		c.show(state, now)
	}
}

// Wait says that the source waits for room because of cause. Called again while it waits, it only
// changes the cause. A wait for CauseRate is as somebody wants it: it is limited, and never stalled nor part of an
// episode.
func (c *Clock) Wait(cause Cause, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.advance(now)
	if c.waiting && (cause == CauseRate) != (c.cause == CauseRate) {
		c.resume(now)
	}
	c.cause = cause
	if cause == CauseRate {
		c.waiting = true
		c.show(Limited, now)
		return
	}
	if c.waiting {
		c.current.Cause = cause
		return
	}
	c.waiting, c.waitFrom = true, now
	if c.current.Seq == 0 {
		c.current = Episode{Seq: c.last.Seq + 1, Begin: now}
		c.silent = now
	}
	if c.lastAck.After(c.silent) {
		c.silent = now
	}
	c.current.Cause = cause
	c.current.End = time.Time{}
	c.current.Waits++
	c.show(Limited, now)
}

// Resume says that the wait is over.
func (c *Clock) Resume(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.advance(now)
	c.resume(now)
}

func (c *Clock) resume(now time.Time) {
	if !c.waiting {
		return
	}
	cause := c.cause
	c.waiting, c.cause = false, CauseNone
	if cause == CauseRate {
		c.show(c.base, now)
		return
	}
	wait := now.Sub(c.waitFrom)
	c.current.Waited += wait
	c.current.Longest = max(c.current.Longest, wait)
	c.current.End = now
	c.show(c.base, now)
}

// EndEpisode ends the episode that is going on, unless the source waits: what comes after is another's.
func (c *Clock) EndEpisode(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.advance(now)
	if c.current.Seq != 0 && !c.waits() {
		c.last, c.current = c.current, Episode{}
	}
}

// Expect says how long an acknowledgement may take from now on before the sink counts as not answering:
// StallAfter unless a Sizer says otherwise.
func (c *Clock) Expect(within time.Duration, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.advance(now)
	c.patience = within
}

// Ack says that an acknowledgement arrived.
func (c *Clock) Ack(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.advance(now)
	c.lastAck = now
	if c.waiting {
		c.show(Limited, now)
	}
}

// Reading is what a clock shows at one moment.
type Reading struct {
	State   State
	Since   time.Time // when State began
	Times   [NumStates]time.Duration
	Cause   Cause   // while waiting for room
	Current Episode // Seq 0: none is going on
	Last    Episode // the latest that has ended
}

// Read returns the state now, the times with the current state's included, and the episodes.
func (c *Clock) Read(now time.Time) Reading {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.advance(now)
	r := Reading{State: c.shown, Since: c.since, Times: c.times, Current: c.current, Last: c.last}
	if c.waiting {
		r.Cause = c.cause
	}
	if c.waits() {
		wait := now.Sub(c.waitFrom)
		r.Current.Waited += wait
		r.Current.Longest = max(r.Current.Longest, wait)
	}
	return r
}

// advance accounts for the time up to now, steps from limited to stalled where patience has passed without
// an acknowledgement since the source began to wait (a wait that ended for another reason, as when other
// routes left memory to it, is no sign of life of the sink), and ends an episode that has been quiet for a second.
func (c *Clock) advance(now time.Time) {
	if c.waits() && c.shown == Limited {
		turn := later(c.silent, c.lastAck).Add(c.patience)
		if !now.Before(turn) {
			c.show(Stalled, later(turn, c.waitFrom))
		}
	}
	c.account(now)
	if c.current.Seq != 0 && !c.waits() && now.Sub(c.current.End) >= quietAfter {
		c.last, c.current = c.current, Episode{}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// waits reports whether a wait goes on that is part of an episode.
func (c *Clock) waits() bool { return c.waiting && c.cause != CauseRate }

// show switches to state at the moment at.
func (c *Clock) show(state State, at time.Time) {
	c.account(at)
	if state != c.shown {
		c.shown, c.since = state, at
	}
}

func (c *Clock) account(now time.Time) {
	d := now.Sub(c.from)
	if d <= 0 {
		return
	}
	c.times[c.shown] += d
	if c.shown == Stalled && c.current.Seq != 0 {
		c.current.Stalled += d
	}
	c.from = now
}
