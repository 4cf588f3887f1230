package telemetry

import (
	"slices"
	"time"

	"github.com/sluice-bridge/sluice/flowcontrol"
)

const (
	// changesFor is for how long changes of state are kept.
	changesFor = 15 * time.Minute
	// maxChanges is what a route makes in that time if each look sees another state: 56 KiB.
	maxChanges = int(changesFor / pollEvery)
)

// Change is a state that a route was seen to enter, with who held it then. A state that lasts for less than half
// a second may not be seen.
type Change struct {
	Time    time.Time           `json:"time"`
	State   flowcontrol.State   `json:"state"`
	Cause   flowcontrol.Cause   `json:"cause,omitzero"`
	Blocker flowcontrol.Blocker `json:"blocker,omitzero"`
}

// changes are the latest of a route, oldest first. The first may be older than changesFor: it holds until the next.
type changes []Change

func (c *changes) observe(now time.Time, s *RouteStatus) {
	is := Change{now, s.State, s.Cause, flowcontrol.BlockerNone}
	if s.Cause != flowcontrol.CauseNone || s.State == flowcontrol.Paused {
		is.Blocker = s.Blocker
	}
	if n := len(*c); n > 0 {
		was := (*c)[n-1]
		if was.State != is.State && s.Since.After(was.Time) {
			is.Time = s.Since
		}
		if was.Time = is.Time; was == is {
			return
		}
	}
	for len(*c) >= maxChanges || len(*c) > 1 && now.Sub((*c)[1].Time) > changesFor {
		*c = slices.Delete(*c, 0, 1)
	}
	*c = append(*c, is)
}

// Changes returns the states that a watched route has been in for the last 15 minutes, oldest first.
func (t *Telemetry) Changes(route string) []Change {
	if t == nil {
		return nil
	}
	for _, r := range t.snapshot() {
		if r.name == route {
			return r.latestChanges()
		}
	}
	return nil
}

func (r *Route) latestChanges() []Change {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.changes)
}
