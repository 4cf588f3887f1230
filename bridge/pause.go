package bridge

import (
	"context"
	"fmt"
	"time"

	"github.com/sluice-bridge/sluice/telemetry"
)

// pause is what an operator wants of a route: it fetches nothing, finishes and commits what is in flight, and keeps
// its place, for a source that is not called keeps its partitions and what it owns. It outlasts the runs of the
// route; it ends by Resume, or with the process.
type pause struct {
	telemetry.PauseStatus
	over chan struct{} // closed at its end
}

// byConfiguration is who has paused a route that starts so.
const byConfiguration = "the configuration"

// Pause has a route fetch nothing more until Resume. It does not wait for what is in flight.
func (b *Bridge) Pause(route string, by Operator) error {
	r, err := b.route(route)
	if err != nil {
		return err
	}
	before := r.clock.Read(time.Now()).State.String()
	err = r.pauseBy(by)
	r.audit(by, "pause", before, "paused: nothing is fetched, what is in flight is finished", err)
	return err
}

func (r *Route) pauseBy(by Operator) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	name, is := r.cfg.Name, r.paused.Load()
	switch {
	case r.ended:
		return fmt.Errorf("route %s has ended", name)
	case r.halted != nil:
		return fmt.Errorf("route %s is halted: it fetches nothing anyway", name)
	case is != nil:
		return fmt.Errorf("route %s has been paused already, by %s: %s", name, is.Who, is.Why)
	}
	r.hold(by)
	r.stopFetching()
	return nil
}

// stopFetching has the fetcher leave whatever it waits for. It is called with mu held.
func (r *Route) stopFetching() {
	if r.current == nil {
		return
	}
	if stop := r.current.stopGoing.Load(); stop != nil {
		(*stop)()
	}
}

// hold begins a pause. A fetcher that is running has to be told.
func (r *Route) hold(by Operator) {
	p := &pause{telemetry.PauseStatus{Since: time.Now(), Who: by.Who, Why: by.Why}, make(chan struct{})}
	r.paused.Store(p)
	r.health.setPaused(&p.PauseStatus)
}

// goOn ends a pause, unless somebody else has.
func (r *Route) goOn(p *pause) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.paused.CompareAndSwap(p, nil) {
		return false
	}
	r.health.setPaused(nil)
	close(p.over)
	return true
}

// awaitGoing waits while the operator has paused the route, and reports whether there was nothing to wait for.
// Then n.going holds until the next pause.
func (n *run) awaitGoing() bool {
	if n.going != nil && n.going.Err() == nil {
		return true
	}
	if p := n.route.paused.Load(); p != nil {
		select {
		case <-p.over:
		case <-n.soft.Done():
		}
		return false
	}
	var stop context.CancelFunc
	n.going, stop = context.WithCancel(n.soft)
	n.stopGoing.Store(&stop)
	if n.route.paused.Load() != nil { // whoever paused it may have seen nothing to stop
		stop()
	}
	return n.going.Err() == nil
}

// tellPause says at the end of the process what becomes of a pause.
func (r *Route) tellPause() {
	r.mu.Lock()
	said := r.says.paused
	r.mu.Unlock()
	if p := r.paused.Load(); p != nil && !said {
		r.log.Warn().Str("who", p.Who).Str("why", p.Why).
			Msg("the route is paused, and that ends with this process: it moves messages again from the next start on, unless the configuration says paused: true")
	}
}
