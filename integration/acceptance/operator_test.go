//go:build integration

package acceptance

import (
	"errors"
	"os/exec"
	"strings"

	"github.com/sluice-bridge/sluice/integration/daemon"
)

// operate runs a command of sluice against a daemon and returns what it said and its exit code.
func (s *scene) operate(d *daemon.Daemon, args ...string) (said string, code int) {
	s.Helper()
	text, err := exec.CommandContext(s.ctx, suite.sluice.Path, append(args, "--url", d.Admin)...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.Fatal(err)
	}
	s.Logf("sluice %s:\n%s", strings.Join(args, " "), text)
	if exit != nil {
		return string(text), exit.ExitCode()
	}
	return string(text), 0
}

// do is operate for a command that has to succeed.
func (s *scene) do(d *daemon.Daemon, args ...string) string {
	s.Helper()
	said, code := s.operate(d, args...)
	if code != 0 {
		s.Fatalf("exit code %d", code)
	}
	return said
}

// halts waits until the route halts for a reason.
func (s *scene) halts(d *daemon.Daemon, reason string) daemon.Route {
	s.Helper()
	r := d.Until(s.ctx, s.T, "halted", func(r *daemon.Route) bool { return r.Halted != nil })
	if r.Halted.Reason != reason {
		s.Fatalf("halted as %+v, want %s", *r.Halted, reason)
	}
	s.Logf("halted: %+v", *r.Halted)
	return r
}

// way does what a halt says.
func (s *scene) way(d *daemon.Daemon, r daemon.Route) string {
	s.Helper()
	args := strings.Fields(r.Halted.Way)
	if len(args) < 2 || args[0] != "sluice" {
		s.Fatalf("the way out is no command: %q", r.Halted.Way)
	}
	return s.do(d, append(args[1:], "--reason", s.Name())...)
}

// passed waits until everything was read, written and committed.
func (s *scene) passed(d *daemon.Daemon) daemon.Route {
	s.Helper()
	return d.Until(s.ctx, s.T, "done", func(r *daemon.Route) bool {
		return r.SourceConnected && r.SinkConnected && r.LagKnown && r.Lag == 0 && r.Window.Messages == 0 && r.State != "rebalancing" && r.Halted == nil
	})
}
