package flowcontrol

import (
	"context"
	"slices"
	"sync"
)

const (
	// floorShare is which part of a budget is divided among the routes for themselves.
	floorShare = 4
	// sharedNum / sharedDen of what the others leave of the rest is what one may have: a threshold of twice
	// what is then free (Choudhury and Hahne, 1998).
	sharedNum, sharedDen = 2, 3
)

// Budget bounds the bytes that the windows of a process hold together. A window in front of a sink that is
// away gives nothing back for as long as that lasts, so what it may have depends on what is left: each has
// a floor that no other can take, and above the floors at most two thirds of what the others leave. So
// something is left for whoever comes next.
//
// Any goroutine; it locks, once a batch, and does not allocate.
type Budget struct {
	mu      sync.Mutex
	floor   int64
	shared  int64 // bytes above the floors
	taken   int64 // of them; more than shared after an oversize message
	joined  []*Part
	waiting []*Part
}

// Part is what one window has of a Budget. One goroutine calls Ask and Wait; any goroutine Add and Release.
// A nil Part bounds nothing.
type Part struct {
	budget *Budget
	wake   chan struct{} // capacity 1: a token means "look again"

	// Under the budget's lock.
	held  int64 // charged: fetched and not yet acknowledged
	asked int64 // what the source may have asked for or hold beyond that
	need  int64 // while it waits, what must be free
}

// NewBudget divides bytes among so many windows, of which each Joins once at a time. One that is alone has
// all of it.
func NewBudget(bytes int64, windows int) *Budget {
	b := &Budget{}
	b.Divide(bytes, windows)
	return b
}

// Divide divides other bytes among another number of windows. It takes nothing back: where that is less than
// before, nobody is given more until what they hold is.
func (b *Budget) Divide(bytes int64, windows int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.floor = bytes
	if windows > 1 {
		b.floor = bytes / floorShare / int64(windows)
	}
	b.shared, b.taken = bytes-b.floor*int64(windows), 0
	for _, p := range b.joined {
		b.taken += p.above()
	}
	b.wake()
}

// Most is what one window may have while the others have nothing.
func (b *Budget) Most() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.floor + b.shared*sharedNum/sharedDen
}

// Join returns the part of one window, which holds nothing yet. The budget may be nil.
func (b *Budget) Join() *Part {
	if b == nil {
		return nil
	}
	p := &Part{budget: b, wake: make(chan struct{}, 1)}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.joined = append(b.joined, p)
	return p
}

// Ask returns how much of want a Fetch may bring, and keeps that for it until the next Ask. It is at most a
// floor, or need if that is more: so what a Fetch keeps that waits for messages hardly matters to the others.
// Who holds nothing is never refused; 0 says that too little is left, and that the caller has to Wait. need
// is the size of a message that did not fit the last time, or 0.
func (p *Part) Ask(want, need int64) int64 {
	if p == nil {
		return want
	}
	b := p.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	chunk := min(want, max(b.floor, need))
	p.need = max(1, need, chunk/4) // less would make many small fetches
	if !p.open() {
		return 0
	}
	// What the source was given before it may hold already.
	p.set(p.held, max(1, p.asked, min(chunk, p.left())))
	return p.asked
}

// left is how much there is beyond what it holds, with what was asked for.
func (p *Part) left() int64 {
	others := p.budget.taken - p.above()
	return p.budget.floor + max(0, p.budget.shared-others)*sharedNum/sharedDen - p.held
}

func (p *Part) above() int64 { return max(0, p.held+p.asked-p.budget.floor) }

// open reports whether what is needed is left.
func (p *Part) open() bool { return p.held == 0 || max(p.asked, p.left()) >= p.need }

func (p *Part) set(held, asked int64) {
	p.budget.taken -= p.above()
	p.held, p.asked = held, asked
	p.budget.taken += p.above()
}

// Wait blocks until there is room after Ask has returned 0, or ctx ends, whose error it returns. It takes
// nothing: Ask does.
func (p *Part) Wait(ctx context.Context) error {
	b := p.budget
	b.mu.Lock()
	b.waiting = append(b.waiting, p)
	open := p.open()
	b.mu.Unlock()
	defer p.leaveQueue()
	if open {
		return nil
	}
	select {
	case <-p.wake:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *Part) leaveQueue() {
	b := p.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting = slices.DeleteFunc(b.waiting, func(o *Part) bool { return o == p })
	select {
	case <-p.wake:
	default:
	}
}

// Add charges bytes that a Fetch has brought.
func (p *Part) Add(bytes int64) {
	if p == nil {
		return
	}
	p.budget.mu.Lock()
	defer p.budget.mu.Unlock()
	p.set(p.held+bytes, max(0, p.asked-bytes))
}

// Release gives bytes back, and wakes who has room now.
func (p *Part) Release(bytes int64) {
	if p == nil {
		return
	}
	p.budget.mu.Lock()
	defer p.budget.mu.Unlock()
	p.set(p.held-bytes, p.asked)
	p.budget.wake()
}

// Leave gives everything back. The window is gone.
func (p *Part) Leave() {
	if p == nil {
		return
	}
	p.budget.mu.Lock()
	defer p.budget.mu.Unlock()
	p.set(0, 0)
	p.budget.joined = slices.DeleteFunc(p.budget.joined, func(o *Part) bool { return o == p })
	p.budget.wake()
}

func (b *Budget) wake() {
	for _, p := range b.waiting {
		if p.open() {
			select {
			case p.wake <- struct{}{}:
			default:
			}
		}
	}
}
