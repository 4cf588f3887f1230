package cmd

import (
	"fmt"
	"strings"
	"sync/atomic"

	systemd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/rs/zerolog"

	"github.com/sluice-bridge/sluice/flowcontrol"
	"github.com/sluice-bridge/sluice/telemetry"
)

// supervisor tells systemd how the daemon is (sd_notify(3), Type=notify-reload). Where nobody has asked to be told,
// it tells nobody. One caller, but for reloading.
type supervisor struct {
	log    zerolog.Logger
	asked  atomic.Bool // somebody has: NOTIFY_SOCKET is set
	status string      // as it was told last
}

func newSupervisor(log zerolog.Logger, env func(string) (string, bool)) *supervisor {
	socket, _ := env("NOTIFY_SOCKET")
	s := &supervisor{log: log}
	s.asked.Store(socket != "")
	return s
}

// tell sends one state. A supervisor that cannot be told is told of once: it may end the daemon for its silence.
func (s *supervisor) tell(state string) {
	if !s.asked.Load() {
		return
	}
	if _, err := systemd.SdNotify(false, state); err != nil {
		s.asked.Store(false)
		s.log.Warn().Err(err).Msg("systemd cannot be told how the daemon is (NOTIFY_SOCKET)")
	}
}

// ready says that the daemon has begun. Brokers have no say: one that is away is a state of a route.
func (s *supervisor) ready() { s.tell(systemd.SdNotifyReady) }

// stopping says that the daemon drains and ends.
func (s *supervisor) stopping() { s.tell(systemd.SdNotifyStopping) }

// reloading says that the configuration is read again, until done is called. systemd wants to know when it began,
// and waits for a reload in vain without that.
func (s *supervisor) reloading() (done func()) {
	s.tell(systemd.SdNotifyReloading + "\n" + systemd.SdNotifyMonotonicUsec())
	return s.ready
}

// turned says that the daemon's loop has turned, which is what /livez looks at too, and how its routes are.
func (s *supervisor) turned(look func() []telemetry.RouteStatus) {
	if !s.asked.Load() {
		return
	}
	state := systemd.SdNotifyWatchdog
	if status := statusLine(look()); status != s.status {
		s.status = status
		state += "\nSTATUS=" + status
	}
	s.tell(state)
}

// mostNamed is how many routes a status line names.
const mostNamed = 3

// statusLine is what `systemctl status` shows: the routes that need somebody are named.
func statusLine(all []telemetry.RouteStatus) string {
	counts := []struct {
		state flowcontrol.State
		names []string
	}{{state: flowcontrol.Halted}, {state: flowcontrol.Disconnected}, {state: flowcontrol.Stalled}, {state: flowcontrol.Paused}}
	for i := range all {
		for j := range counts {
			if counts[j].state == all[i].State {
				counts[j].names = append(counts[j].names, all[i].Route)
			}
		}
	}
	text := count(len(all), "route")
	for _, c := range counts {
		if len(c.names) == 0 {
			continue
		}
		text += fmt.Sprintf(", %d %s: %s", len(c.names), c.state, strings.Join(c.names[:min(len(c.names), mostNamed)], " "))
		if len(c.names) > mostNamed {
			text += " ..."
		}
	}
	return text
}
