package bridge

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sluice-bridge/sluice/flowcontrol"
	"github.com/sluice-bridge/sluice/telemetry"
)

// Limit is how much a route may fetch a second; 0: any.
type Limit struct{ Messages, Bytes float64 }

func (l Limit) String() string {
	var parts []string
	if l.Messages > 0 {
		parts = append(parts, fmt.Sprintf("%.0f messages/s", l.Messages))
	}
	if l.Bytes > 0 {
		parts = append(parts, fmt.Sprintf("%.0f B/s", l.Bytes))
	}
	if parts == nil {
		return "none"
	}
	return strings.Join(parts, ", ")
}

// pacer holds a route to its limit. It is asked before a Fetch and told after it, both once a batch.
type pacer struct {
	on              atomic.Bool // there is a limit
	messages, bytes *flowcontrol.Bucket
	changed         chan struct{} // capacity 1: the limit is another
}

func newPacer(l Limit, now time.Time) *pacer {
	p := &pacer{
		messages: flowcontrol.NewBucket(l.Messages, now), bytes: flowcontrol.NewBucket(l.Bytes, now), changed: make(chan struct{}, 1),
	}
	p.on.Store(l != Limit{})
	return p
}

func (p *pacer) limit() Limit { return Limit{p.messages.Rate(), p.bytes.Rate()} }

func (p *pacer) status() *telemetry.LimitStatus {
	l := p.limit()
	if l == (Limit{}) {
		return nil
	}
	return &telemetry.LimitStatus{Messages: l.Messages, Bytes: l.Bytes}
}

func (p *pacer) set(l Limit, now time.Time) {
	p.messages.Set(l.Messages, now)
	p.bytes.Set(l.Bytes, now)
	p.on.Store(l != Limit{})
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

func (p *pacer) take(c flowcontrol.Cost, now time.Time) {
	if !p.on.Load() {
		return
	}
	p.messages.Take(c.Messages, now)
	p.bytes.Take(c.Bytes, now)
}

// within returns how much of free the limit allows now. A message that needs more memory than that passes, and the
// limit waits for it afterwards.
func (p *pacer) within(free flowcontrol.Cost, need int64) flowcontrol.Cost {
	if !p.on.Load() {
		return free
	}
	now := time.Now()
	if left, limited := p.messages.Left(now); limited {
		free.Messages = min(free.Messages, max(1, left))
	}
	if left, limited := p.bytes.Left(now); limited {
		free.Bytes = min(free.Bytes, max(1, left, need))
	}
	return free
}

// awaitRate waits while the limit is reached, and reports whether there was nothing to wait for. That is as somebody
// wants it: it is no stall, and in no episode.
func (n *run) awaitRate() bool {
	p := n.route.pacer
	if !p.on.Load() {
		return true
	}
	now := time.Now()
	wait := max(p.messages.Until(now), p.bytes.Until(now))
	if wait == 0 {
		return true
	}
	n.route.clock.Wait(flowcontrol.CauseRate, now)
	defer func() { n.route.clock.Resume(time.Now()) }()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.changed:
	case <-n.going.Done():
	}
	return false
}

// LimitOrder is what an operator wants of a route's limit. What is nil stays.
type LimitOrder struct {
	Messages, Bytes *float64 // a second; 0: any
	By              Operator
}

// SetLimit changes the limit of a route until it is changed again or the process ends, and returns what holds then.
func (b *Bridge) SetLimit(route string, order LimitOrder) (Limit, error) {
	r, err := b.route(route)
	if err != nil {
		return Limit{}, err
	}
	r.mu.Lock()
	before, ended := r.pacer.limit(), r.ended
	after := before
	if order.Messages != nil {
		after.Messages = *order.Messages
	}
	if order.Bytes != nil {
		after.Bytes = *order.Bytes
	}
	if ended {
		err = fmt.Errorf("route %s has ended", route)
	} else {
		r.pacer.set(after, time.Now())
	}
	r.mu.Unlock()
	r.audit(order.By, "limit", "limit "+before.String(), "limit "+after.String(), err)
	return after, err
}
