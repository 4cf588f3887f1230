package bridge

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// errInterrupted ends a run because the operator has something to do while nothing of the route runs.
var errInterrupted = errors.New("interrupted by the operator")

// operateTimeout bounds what is done between two runs.
const operateTimeout = 5 * time.Minute

// order is something to be done between two runs.
type order struct {
	do   func(context.Context) error
	done chan error // capacity 1
}

// operate drains the current run, calls do while nothing of the route runs, and lets the route go on. A route
// that is halted goes on if do succeeds, and stays halted if not. When ctx ends before do has begun, do is not
// called.
func (r *Route) operate(ctx context.Context, do func(context.Context) error) error {
	o := &order{do: do, done: make(chan error, 1)}
	r.mu.Lock()
	switch {
	case r.ended:
		r.mu.Unlock()
		return fmt.Errorf("route %s has ended", r.cfg.Name)
	case r.order != nil || r.working:
		r.mu.Unlock()
		return fmt.Errorf("route %s: somebody else is at it", r.cfg.Name)
	}
	r.order = o
	if r.current != nil {
		r.current.halt.set("", errInterrupted)
	}
	r.mu.Unlock()
	select {
	case r.ordered <- struct{}{}:
	default:
	}
	select {
	case err := <-o.done:
		return err
	case <-ctx.Done():
	}
	r.mu.Lock()
	withdrawn := r.order == o
	if withdrawn {
		r.order = nil
	}
	r.mu.Unlock()
	if withdrawn {
		return ctx.Err()
	}
	return <-o.done
}

// takeOrder returns what is to be done, nil for nothing. Who takes it calls carryOut.
func (r *Route) takeOrder() *order {
	r.mu.Lock()
	defer r.mu.Unlock()
	o := r.order
	r.order, r.working = nil, o != nil
	return o
}

// carryOut does what was ordered, and reports whether that went well. Nothing of the route runs.
func (r *Route) carryOut(ctx context.Context, o *order) bool {
	r.health.setOperated(true)
	defer r.health.setOperated(false)
	ctx, cancel := context.WithTimeout(ctx, operateTimeout)
	defer cancel()
	err := o.do(ctx)
	r.mu.Lock()
	r.working = false
	r.mu.Unlock()
	o.done <- err
	return err == nil
}

// endOrders answers who comes too late.
func (r *Route) endOrders() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	r.endTaps()
	if r.order != nil {
		r.order.done <- fmt.Errorf("route %s has ended", r.cfg.Name)
		r.order = nil
	}
}
