package bridge

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/rs/zerolog"

	"github.com/sluice-bridge/sluice/flowcontrol"
	"github.com/sluice-bridge/sluice/telemetry"
)

// Bridge runs routes, each independent of the others.
type Bridge struct {
	cfg    Config
	log    zerolog.Logger
	tel    *telemetry.Telemetry
	budget *flowcontrol.Budget // of all routes; nil where there is memory for all their windows

	mu         sync.Mutex
	routes     []*Route // in the order of the configuration; replaced, never changed in place
	bytes      int64    // that all windows share; 0: each has its own
	running    int      // routes that run, and whoever is about to start some
	over       chan struct{}
	soft, hard context.Context // of Run; nil before it

	abandonOnce sync.Once
	abandoned   chan struct{}
}

// New returns a bridge that has not connected to anything.
func New(cfg Config, log zerolog.Logger, tel *telemetry.Telemetry) (*Bridge, error) {
	if cfg.Drain == 0 {
		cfg.Drain = DefaultDrain
	}
	b := &Bridge{cfg: cfg, log: log, tel: tel, over: make(chan struct{}), abandoned: make(chan struct{})}
	seen := map[string]bool{}
	var errs []error
	for i := range cfg.Routes {
		rc := &cfg.Routes[i]
		r, err := b.newRoute(rc, b.routes)
		if err == nil && seen[rc.Name] {
			err = fmt.Errorf("two routes are named %q", rc.Name)
		}
		seen[rc.Name] = true
		if err != nil {
			errs = append(errs, err)
			continue
		}
		b.routes = append(b.routes, r)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	b.divide()
	return b, nil
}

// newRoute returns a route that runs beside others.
func (b *Bridge) newRoute(rc *RouteConfig, others []*Route) (*Route, error) {
	r, err := newRoute(*rc, b.cfg.Instance, b.cfg.Drain, b.log, b.tel)
	if err != nil {
		return nil, err
	}
	r.sizer = sizerFor(rc, others)
	if b.budget != nil {
		r.budget, r.peers = b.budget, b.all
	}
	return r, nil
}

// DrainError says that a soft end took longer than it may.
type DrainError struct {
	Left int64 // messages fetched and not committed: they will come again
}

func (e *DrainError) Error() string {
	return fmt.Sprintf("drain deadline passed: %d messages are not committed and will come again", e.Left)
}

// Run runs all routes. It blocks until every route has ended, or ctx ends and the routes have drained
// within Config.Drain, else it returns a *DrainError. A route that halts does not end: it waits for
// Resume. Run is called once.
func (b *Bridge) Run(ctx context.Context) error {
	soft, stopSoft := context.WithCancel(ctx)
	defer stopSoft()
	hard, stopHard := context.WithCancel(context.WithoutCancel(ctx))
	defer stopHard()
	b.mu.Lock()
	b.soft, b.hard = soft, hard
	b.running = 1 // until all have started
	for _, r := range b.routes {
		b.start(r)
	}
	b.mu.Unlock()
	b.leave()

	late := b.await(ctx, b.over)
	stopSoft()
	stopHard()
	<-b.over
	if late {
		var messages int64
		for _, left := range b.Left() {
			messages += left.Messages
		}
		return &DrainError{Left: messages}
	}
	return nil
}

// start runs a route. It is called with mu held.
func (b *Bridge) start(r *Route) {
	var soft, hard context.Context
	soft, r.stop = context.WithCancelCause(b.soft)
	hard, r.kill = context.WithCancel(b.hard)
	r.life = make(chan struct{})
	b.running++
	go func() {
		defer b.leave()
		defer close(r.life)
		defer r.kill()
		defer r.stop(nil)
		r.run(soft, hard)
	}()
}

// leave is called for all that running counts. Run returns after the last.
func (b *Bridge) leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.running--; b.running == 0 {
		close(b.over)
	}
}

// await returns when the routes have ended, and true when they had to be told to.
func (b *Bridge) await(ctx context.Context, ended <-chan struct{}) (late bool) {
	select {
	case <-ended:
		return false
	case <-b.abandoned:
		return true
	case <-ctx.Done():
	}
	deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.cfg.Drain)
	defer cancel()
	select {
	case <-ended:
		return false
	case <-b.abandoned:
		return true
	case <-deadline.Done():
		return true
	}
}

// Abandon makes Run return at once, with the guarantees of a kill.
func (b *Bridge) Abandon() { b.abandonOnce.Do(func() { close(b.abandoned) }) }

// Status returns the status of every route, in the order of the configuration.
func (b *Bridge) Status() []telemetry.RouteStatus {
	routes := b.all()
	all := make([]telemetry.RouteStatus, len(routes))
	for i, r := range routes {
		all[i] = r.Status()
	}
	return all
}

// all returns the routes, in the order of the configuration.
func (b *Bridge) all() []*Route {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.routes
}

// route returns the route called name.
func (b *Bridge) route(name string) (*Route, error) {
	for _, r := range b.all() {
		if r.cfg.Name == name {
			return r, nil
		}
	}
	return nil, fmt.Errorf("there is no route %q", name)
}
