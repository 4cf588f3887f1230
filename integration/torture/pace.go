package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// burstEvery is how many seconds there are between two bursts, on average.
const burstEvery = 10

// pacer lets perSecond messages go in a second, and now and then a burst as fast as it goes.
type pacer struct {
	perSecond int // 0: as fast as it goes
	burst     int // messages; 0: none
	most      int // messages in all; 0: no end
	random    *rand.Rand

	begin time.Time
	sent  int64
	left  int // of the burst that is on
	all   int // messages
}

// errAll says that there is nothing more to send.
var errAll = errors.New("all is sent")

// wait returns when the next message is due.
func (p *pacer) wait(ctx context.Context) error {
	if p.all++; p.most > 0 && p.all > p.most {
		return errAll
	}
	if p.perSecond == 0 {
		return ctx.Err()
	}
	if p.left > 0 {
		p.left--
		return ctx.Err()
	}
	now := time.Now()
	if p.begin.IsZero() || p.burst > 0 && p.random.IntN(p.perSecond*burstEvery) == 0 {
		if !p.begin.IsZero() {
			p.left = p.burst
		}
		p.begin, p.sent = now, 0
	}
	p.sent++
	due := p.begin.Add(time.Duration(p.sent) * time.Second / time.Duration(p.perSecond))
	if now.Sub(due) > time.Second { // the source was away: what was not written is not made up for
		p.begin, p.sent = now, 0
	}
	if ahead := due.Sub(now); ahead > time.Millisecond {
		return pause(ctx, ahead)
	}
	return ctx.Err()
}

// pause lets d pass.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
