package cmd

import (
	"strings"
	"syscall"
	"testing"

	"github.com/sluice-bridge/sluice/connectors"
)

// TestPause follows an operator who pauses a route, sees that everywhere, and lets it go on.
func TestPause(t *testing.T) {
	r, ctx := newRig(t), soon(t)
	r.put(100)
	code := r.start(ctx, bridged...)
	address, _, _ := strings.Cut(r.stderr.await(ctx, t, `"address":"`), `"`)
	if err := r.from.AwaitCommitted(ctx, 100); err != nil {
		t.Fatal(err)
	}
	ask := func(want int, args ...string) string {
		t.Helper()
		return flat(askDaemon(ctx, t, address, want, args...))
	}
	has := func(text string, words ...string) {
		t.Helper()
		wantWords(t, text, words...)
	}
	has(ask(0, "pause", "from", "--reason", "the stream moves"), "from is paused, until sluice resume from or a restart of the daemon; 0 messages in flight")
	for p := range 2 {
		r.from.Put(p, connectors.Message{Value: []byte("later")})
	}
	has(ask(0, "status"), " paused ", "from is paused by ", "(127.0.0.1): the stream moves → sluice resume from")
	has(ask(0, "top", "--once", "--interval", "100ms"), "‖ paused", "operator · paused by ", ": the stream moves")
	has(ask(exitFailed, "pause", "from", "--reason", "again"), "paused already, by ")
	if r.to.Written() != 100 {
		t.Errorf("%d messages written", r.to.Written())
	}
	has(ask(0, "resume", "from"), "from goes on; it was paused by ", ": the stream moves")
	if err := r.to.AwaitWritten(ctx, 102); err != nil {
		t.Fatal(err)
	}
	has(ask(exitFailed, "resume", "from"), "neither halted nor paused")
	if n := strings.Count(r.stderr.String(), `"audit":true`); n != 4 {
		t.Errorf("%d audit lines for 4 actions:\n%s", n, r.stderr)
	}
	r.signals <- syscall.SIGTERM
	if c := await(ctx, t, code); c != 0 {
		t.Errorf("exit code %d:\n%s", c, r.stderr)
	}
}
