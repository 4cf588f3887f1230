package bridge

import (
	"errors"
	"fmt"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/flowcontrol"
)

// How patient the watchdog is: five times in the first hour, then twice an hour.
const (
	watchFirst  = time.Minute      // without anything, although there is lag, room and a connection
	watchMost   = 30 * time.Minute // each time twice as long as the last, up to this
	watchForget = 2 * watchMost    // after so long a calm it begins anew
)

// watchdog has a source begin anew that brings nothing although it should. One goroutine.
type watchdog struct {
	pause   time.Duration
	restart time.Time // the last
}

var errStarved = errors.New("there is something to read, and nothing has come")

// look is called while a Fetch is out that has brought nothing for a while.
func (d *watchdog) look(n *run, lag int64, now time.Time) {
	r, ok := n.source.(connectors.Restarter)
	if !ok || lag <= 0 {
		return
	}
	clock := n.route.clock.Read(now)
	if clock.State != flowcontrol.Starved {
		return
	}
	if d.pause == 0 || now.Sub(d.restart) > watchForget {
		d.pause = watchFirst
	}
	since := clock.Since
	if d.restart.After(since) {
		since = d.restart
	}
	waited := now.Sub(since)
	if waited < d.pause || !r.Restart(fmt.Errorf("%w for %v", errStarved, waited.Round(time.Second))) {
		return
	}
	d.restart, d.pause = now, min(2*d.pause, watchMost)
	n.route.log.Warn().Int64("lag", lag).Float64("seconds", waited.Seconds()).Float64("again_after_seconds", d.pause.Seconds()).
		Msg("watchdog: there is something to read and nothing has come; the source begins anew with its broker")
}
