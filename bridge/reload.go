package bridge

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// errReloaded ends a route that another takes the place of, or none does.
var errReloaded = errors.New("the configuration has changed")

// errEnding refuses a reload that comes too late, or too early.
var errEnding = errors.New("the routes do not run, or are about to end: nothing was changed")

// Reloaded tells what became of each route, by name, in the order of the configuration.
type Reloaded struct {
	Added     []string `json:"added,omitempty"`
	Removed   []string `json:"removed,omitempty"`
	Restarted []string `json:"restarted,omitempty"` // drained, and begun anew at what was committed
	Changed   []string `json:"changed,omitempty"`   // while they run: limit, paused
	Unchanged []string `json:"unchanged,omitempty"`
	// ComeAgain is how many messages of removed and restarted routes were fetched and are not committed, because
	// they were halted or could not be drained in time.
	ComeAgain int64 `json:"come_again,omitempty"`
}

// reload is what is to be done.
type reload struct {
	Reloaded
	next []*Route          // what runs then, in the order of the configuration
	old  map[*Route]*Route // a route that begins, and the one whose place it takes; nil: it is new
	ends []*Route          // that are removed or begun anew
}

// Reload has the bridge run other routes. A route that is the same as before (RouteConfig.Digest) is not touched; its
// limit and its pause are changed while it runs, where the configuration says something else of them than before:
// what an operator wants beside that stays. All others end first, as at the end of the bridge, so that two never claim
// the same; then those begin that are new or changed, at their committed position. It returns once they have begun,
// which may take as long as a drain, and is not to be interrupted: where it returns an error nothing was changed, but
// for the end of the bridge in the middle of it. One caller at a time.
func (b *Bridge) Reload(routes []RouteConfig, by Operator) (*Reloaded, error) {
	b.mu.Lock()
	if b.running == 0 || b.soft.Err() != nil {
		b.mu.Unlock()
		return nil, errEnding
	}
	b.running++ // so that Run does not return when the last route is about to be replaced
	b.mu.Unlock()
	defer b.leave()

	w, err := b.plan(routes)
	if err != nil {
		return nil, fmt.Errorf("nothing was changed: %w", err)
	}
	b.retire(w)
	if !b.replace(w) {
		return nil, fmt.Errorf("the end of the bridge came first: %w", errReloaded)
	}
	for _, name := range w.Removed {
		b.tel.Forget(name)
	}
	for _, r := range w.next {
		if old, begun := w.old[r]; !begun {
			if r.adopt(settingsIn(routes, r.cfg.Name), by) {
				w.Changed = append(w.Changed, r.cfg.Name)
			} else {
				w.Unchanged = append(w.Unchanged, r.cfg.Name)
			}
		} else if old != nil {
			r.did(by, "reload", "as it was configured before", "begun anew at the committed position")
		}
	}
	return &w.Reloaded, nil
}

// plan finds out what is to be done, and whether that is possible, before anything is.
func (b *Bridge) plan(routes []RouteConfig) (*reload, error) {
	w := &reload{old: map[*Route]*Route{}}
	before := map[string]*Route{}
	for _, r := range b.all() {
		before[r.cfg.Name] = r
	}
	var kept []*Route
	for i := range routes {
		if r := before[routes[i].Name]; r != nil && same(&r.cfg, &routes[i]) {
			kept = append(kept, r)
		}
	}
	var errs []error
	seen := map[string]bool{}
	for i := range routes {
		rc := &routes[i]
		old := before[rc.Name]
		switch {
		case seen[rc.Name]:
			errs = append(errs, fmt.Errorf("two routes are named %q", rc.Name))
		case old != nil && same(&old.cfg, rc):
			w.next = append(w.next, old)
		default:
			r, err := b.newRoute(rc, kept)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			kept = append(kept, r)
			w.next = append(w.next, r)
			w.old[r] = old
			if old == nil {
				w.Added = append(w.Added, rc.Name)
			} else {
				w.Restarted = append(w.Restarted, rc.Name)
				w.ends = append(w.ends, old)
			}
		}
		seen[rc.Name] = true
	}
	for _, r := range b.all() {
		if !seen[r.cfg.Name] {
			w.Removed = append(w.Removed, r.cfg.Name)
			w.ends = append(w.ends, r)
		}
	}
	if b.budget == nil && sharedBy(w.next, b.cfg.Memory) > 0 {
		windows, ends := needs(w.next)
		errs = append(errs, fmt.Errorf("the routes may need %s, and the process may take %s. Routes that run each with a window of their own "+
			"cannot begin to share the memory: lower window.max_bytes, or restart the daemon, which has them share",
			mebibytes(atMost(windows, ends)), mebibytes(b.cfg.Memory)))
	}
	return w, errors.Join(errs...)
}

// same reports whether a route may go on as it is.
func same(a, b *RouteConfig) bool {
	return a.Digest != "" && a.Digest == b.Digest && a.WayBack == b.WayBack
}

// retire ends routes and returns when nothing of them runs any more.
func (b *Bridge) retire(w *reload) {
	var wg sync.WaitGroup
	for _, r := range w.ends {
		r.stop(errReloaded)
		deadline := time.AfterFunc(b.cfg.Drain, r.kill)
		overdue := time.AfterFunc(b.cfg.Drain+2*closeTimeout, func() {
			r.log.Error().Msg("the route does not end, for a connector does not heed its deadline: the reload waits for it, and only a restart of the daemon helps")
		})
		wg.Go(func() {
			defer deadline.Stop()
			defer overdue.Stop()
			<-r.life
		})
	}
	wg.Wait()
	for _, r := range w.ends {
		if left := r.left.Load(); left != nil && left.Messages > 0 {
			w.ComeAgain += left.Messages
			r.log.Warn().Int64("messages", left.Messages).Int64("written", left.Written).
				Msg("the route has ended for a reload; these messages are not committed and come again")
		}
	}
}

// replace begins the routes that are new or changed, and reports whether that was still possible.
func (b *Bridge) replace(w *reload) bool {
	for r, old := range w.old {
		if old != nil {
			r.succeed(old)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.soft.Err() != nil {
		return false
	}
	if b.budget != nil {
		windows, _ := needs(w.next)
		if b.bytes = sharedBy(w.next, b.cfg.Memory); b.bytes == 0 {
			b.bytes = windows
		}
		b.budget.Divide(b.bytes, len(w.next))
	}
	b.routes = w.next
	for _, r := range w.next {
		if _, begins := w.old[r]; begins {
			b.start(r)
		}
	}
	return true
}
