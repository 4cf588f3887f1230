package bridge

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/rs/zerolog"

	"github.com/sluice-bridge/sluice/telemetry"
)

// Bridge runs routes, each independent of the others.
type Bridge struct {
	cfg    Config
	log    zerolog.Logger
	routes []*Route
	bytes  int64 // that all windows share; 0: each has its own

	abandonOnce sync.Once
	abandoned   chan struct{}
}

// New returns a bridge that has not connected to anything.
func New(cfg Config, log zerolog.Logger, tel *telemetry.Telemetry) (*Bridge, error) {
	if cfg.Drain == 0 {
		cfg.Drain = DefaultDrain
	}
	b := &Bridge{cfg: cfg, log: log, abandoned: make(chan struct{})}
	seen, sizers := map[string]bool{}, sizersOf(cfg.Routes)
	var errs []error
	for i, rc := range cfg.Routes {
		r, err := newRoute(rc, cfg.Instance, cfg.Drain, log, tel)
		if err == nil {
			r.sizer = sizers[i]
		}
		if err == nil && seen[rc.Name] {
			err = fmt.Errorf("two routes are named %q", rc.Name)
		}
		seen[rc.Name] = true
		b.routes = append(b.routes, r)
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	b.divide(cfg.Memory)
	return b, nil
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
	var wg sync.WaitGroup
	for _, r := range b.routes {
		wg.Go(func() { r.run(soft, hard) })
	}
	ended := make(chan struct{})
	go func() { wg.Wait(); close(ended) }()

	late := b.await(ctx, ended)
	stopSoft()
	stopHard()
	<-ended
	if late {
		var messages int64
		for _, left := range b.Left() {
			messages += left.Messages
		}
		return &DrainError{Left: messages}
	}
	return nil
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
	all := make([]telemetry.RouteStatus, len(b.routes))
	for i, r := range b.routes {
		all[i] = r.Status()
	}
	return all
}

// route returns the route called name.
func (b *Bridge) route(name string) (*Route, error) {
	for _, r := range b.routes {
		if r.cfg.Name == name {
			return r, nil
		}
	}
	return nil, fmt.Errorf("there is no route %q", name)
}
