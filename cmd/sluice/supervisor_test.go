package main

import (
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestUnderSystemd: the daemon says when it has begun, that its loop turns, how its routes are, and that it ends.
func TestUnderSystemd(t *testing.T) {
	t.Parallel()
	ctx := soon(t)
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	// Nobody listens there: a broker that is away keeps nothing from beginning.
	p := startWith(ctx, t, []string{"OTEL_SDK_DISABLED=true", "NOTIFY_SOCKET=" + path}, "run", "--admin", "off",
		"--from", "kafka://127.0.0.1:1/orders", "--to", "jetstream://127.0.0.1:1/ORDERS")
	await := func(want string) {
		t.Helper()
		heard := make([]byte, 4096)
		for {
			if err := socket.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
				t.Fatal(err)
			}
			n, err := socket.Read(heard)
			if err != nil {
				t.Fatalf("no %s: %v\n%s", want, err, &p.out)
			}
			if slices.Contains(strings.Split(string(heard[:n]), "\n"), want) {
				return
			}
		}
	}
	await("READY=1")
	await("STATUS=1 route, 1 disconnected: orders")
	await("WATCHDOG=1")
	p.signal(t)
	await("STOPPING=1")
	if code := p.code(t); code != 0 {
		t.Errorf("exit code %d:\n%s", code, &p.out)
	}
}

// TestCompletion: every shell has a script, and it knows the commands.
func TestCompletion(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		p := start(soon(t), t, "completion", shell)
		if code := p.code(t); code != 0 || !strings.Contains(p.out.String(), "__complete") {
			t.Errorf("%s: exit code %d\n%s", shell, code, &p.out)
		}
	}
	p := start(soon(t), t, "__complete", "")
	if code := p.code(t); code != 0 || !strings.Contains(p.out.String(), "\nconvert\t") || !strings.Contains(p.out.String(), "\nrun\t") {
		t.Errorf("exit code %d\n%s", code, &p.out)
	}
}
