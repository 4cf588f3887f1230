package cmd

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/sluice-bridge/sluice/flowcontrol"
	"github.com/sluice-bridge/sluice/telemetry"
)

// supervised returns a supervisor, and what systemd hears of it.
func supervised(t *testing.T) (*supervisor, func() string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	s := newSupervisor(zerolog.Nop(), func(string) (string, bool) { return path, true })
	return s, func() string {
		if err := socket.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		heard := make([]byte, 4096)
		n, err := socket.Read(heard)
		if err != nil {
			t.Fatal(err)
		}
		return string(heard[:n])
	}
}

// A turn of the loop feeds the watchdog, and tells how the routes are where that has changed.
func TestSupervisor(t *testing.T) {
	s, heard := supervised(t)
	all := []telemetry.RouteStatus{{Route: "a", State: flowcontrol.Flowing}}
	look := func() []telemetry.RouteStatus { return all }
	expect := func(want string) {
		t.Helper()
		if got := heard(); got != want {
			t.Errorf("heard %q, want %q", got, want)
		}
	}
	s.ready()
	expect("READY=1")
	s.turned(look)
	expect("WATCHDOG=1\nSTATUS=1 route")
	s.turned(look)
	expect("WATCHDOG=1")
	for _, route := range []string{"b", "c", "d", "e"} {
		all = append(all, telemetry.RouteStatus{Route: route, State: flowcontrol.Stalled})
	}
	all = append(all, telemetry.RouteStatus{Route: "f", State: flowcontrol.Halted})
	s.turned(look)
	expect("WATCHDOG=1\nSTATUS=6 routes, 1 halted: f, 4 stalled: b c d ...")
	done := s.reloading()
	if got := heard(); !strings.HasPrefix(got, "RELOADING=1\nMONOTONIC_USEC=") || strings.HasSuffix(got, "=") {
		t.Errorf("heard %q", got)
	}
	done()
	expect("READY=1")
	s.stopping()
	expect("STOPPING=1")
}

// Without systemd nobody is told, and the routes are not looked at for it.
func TestUnsupervised(t *testing.T) {
	s := newSupervisor(zerolog.Nop(), func(string) (string, bool) { return "", false })
	s.ready()
	s.turned(func() []telemetry.RouteStatus { t.Error("looked at"); return nil })
}

// A socket that is not there is told of, once.
func TestSupervisorIsGone(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "gone"))
	var out strings.Builder
	s := newSupervisor(zerolog.New(&out), func(string) (string, bool) { return "x", true })
	s.ready()
	s.stopping()
	if n := strings.Count(out.String(), "systemd cannot be told"); n != 1 {
		t.Errorf("%d times: %s", n, out.String())
	}
}
