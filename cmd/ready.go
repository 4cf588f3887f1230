package cmd

import (
	"time"

	"github.com/sluice-bridge/sluice/flowcontrol"
	"github.com/sluice-bridge/sluice/telemetry"
)

// patience is how long a route may be away or halted before the process is not ready: a broker that
// restarts must not take the daemon out of its deployment.
const patience = 30 * time.Second

// waiting is a route that keeps the process from being ready.
type waiting struct {
	Route   string    `json:"route"`
	Blocker string    `json:"blocker"` // source.disconnected, sink.disconnected or halted
	Since   time.Time `json:"since,omitzero"`
}

// notReady returns the routes that keep the process from being ready. A route that is limited, stalled
// or standing by, paused or not, is ready: it does what it should.
func notReady(all []telemetry.RouteStatus, now time.Time) []waiting {
	var waits []waiting
	for i := range all {
		s := &all[i]
		away := !s.Down.IsZero() && now.Sub(s.Down) >= patience
		standby := s.State == flowcontrol.Standby || s.State == flowcontrol.Paused && s.Owner != ""
		if s.Ended || standby || s.EverConnected && !away {
			continue
		}
		waits = append(waits, waiting{Route: s.Route, Blocker: holder(s), Since: s.Down})
	}
	return waits
}

// holder says in a word what is wrong with a route.
func holder(s *telemetry.RouteStatus) string {
	switch {
	case s.State == flowcontrol.Halted:
		return "halted"
	case !s.SourceConnected:
		return "source.disconnected"
	case !s.SinkConnected:
		return "sink.disconnected"
	}
	return s.Blocker.String()
}
