package bridge

import (
	"context"
	"errors"
	"time"

	"github.com/sluice-bridge/sluice/flowcontrol"
	"github.com/sluice-bridge/sluice/telemetry"
)

// settings are what of a route can be changed while it runs. An operator may have changed them since.
type settings struct {
	limit  Limit
	paused bool
}

func settingsOf(rc *RouteConfig) settings { return settings{rc.Limit, rc.Paused} }

func settingsIn(routes []RouteConfig, name string) (s settings) {
	for i := range routes {
		if routes[i].Name == name {
			s = settingsOf(&routes[i])
		}
	}
	return s
}

// adopt has a route that runs do what the configuration says, where that is news, and reports whether it is.
func (r *Route) adopt(s settings, by Operator) bool {
	r.mu.Lock()
	was := r.says
	r.says = s
	r.mu.Unlock()
	if s.limit != was.limit {
		before := r.pacer.limit()
		r.pacer.set(s.limit, time.Now())
		r.did(by, "reload", "limit "+before.String(), "limit "+s.limit.String())
	}
	if s.paused != was.paused {
		r.pauseAsConfigured(s.paused)
		r.did(by, "reload", pausedWord(was.paused), pausedWord(s.paused))
	}
	return s != was
}

func pausedWord(paused bool) string {
	return map[bool]string{true: "paused: true", false: "paused: false"}[paused]
}

// pauseAsConfigured begins a pause, unless somebody has, or ends the one that the configuration began.
func (r *Route) pauseAsConfigured(paused bool) {
	if p := r.paused.Load(); !paused && p != nil && p.Who == byConfiguration {
		r.goOn(p)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !paused || r.ended || r.paused.Load() != nil {
		return
	}
	r.hold(Operator{Who: byConfiguration, Why: "paused: true"})
	r.stopFetching()
}

// succeed has a route that has not begun take over from one that has ended: its counts, its clock, and what operators
// wanted of it, as far as the configuration says nothing new of that.
func (r *Route) succeed(old *Route) {
	now := time.Now()
	r.counts, r.clock, r.health.clock = old.counts, old.clock, old.clock
	r.actions = old.latestActions()
	old.health.mu.Lock()
	source, sink := old.health.source.ever, old.health.sink.ever
	old.health.mu.Unlock()
	if r.says.limit == old.says.limit {
		r.pacer.set(old.pacer.limit(), now)
	}
	was := old.paused.Load()
	byOperator := was != nil && was.Who != byConfiguration
	if r.says.paused == old.says.paused || byOperator {
		r.paused.Store(nil)
		if was != nil {
			r.paused.Store(&pause{was.PauseStatus, make(chan struct{})}) // its own, for whoever ends the other
		}
	}
	r.clock.EndEpisode(now) // it has been told
	r.clock.Enter(flowcontrol.Disconnected, now)
	r.health.change(func() {
		r.health.source.ever, r.health.sink.ever, r.health.paused = source, sink, nil
		if p := r.paused.Load(); p != nil {
			r.health.paused = &p.PauseStatus
		}
	})
}

// outcomeOf says why a route ended that soft was the context of.
func outcomeOf(soft context.Context) string {
	if errors.Is(context.Cause(soft), errReloaded) {
		return telemetry.OutcomeReloaded
	}
	return telemetry.OutcomeShutdown
}
