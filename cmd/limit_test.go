package cmd

import (
	"strings"
	"syscall"
	"testing"
)

// TestLimitCommand: the configured limit holds a route, and an operator changes it while it runs.
func TestLimitCommand(t *testing.T) {
	r, ctx := newRig(t), soon(t)
	r.put(10_000)
	code := r.start(ctx, "run", "-c", write(t, `
routes: {from: {from: "memory://from", to: "memory://to", limit: {messages: 5/s, bytes: 20MiB/s}}}
admin: {listen: "127.0.0.1:0"}
log: {format: json}
`))
	address, _, _ := strings.Cut(r.stderr.await(ctx, t, `"address":"`), `"`)
	ask := func(want int, args ...string) string {
		t.Helper()
		return askDaemon(ctx, t, address, want, args...)
	}
	has := func(text string, words ...string) {
		t.Helper()
		wantWords(t, text, words...)
	}
	for !strings.Contains(ask(0, "status"), "rate · operator") {
		if ctx.Err() != nil {
			t.Fatal("never limited")
		}
	}
	has(ask(0, "status", "--json"), `"limit":{"messages_per_second":5,"bytes_per_second":20971520}`)
	if n := r.to.Written(); n > 100 {
		t.Errorf("%d messages passed at 5/s", n)
	}
	has(ask(0, "limit", "from", "--messages", "none", "--reason", "it is warm"), "from: messages none, bytes 20MiB/s")
	if err := r.to.AwaitWritten(ctx, 10_000); err != nil {
		t.Fatal(err)
	}
	has(r.stderr.String(), `"why":"it is warm","what":"limit","outcome":"done","before":"limit 5 messages/s, 20971520 B/s","after":"limit 20971520 B/s"`)
	has(ask(exitFailed, "limit", "nobody", "--bytes", "1kB/s"), `there is no route "nobody"`)
	r.signals <- syscall.SIGTERM
	if c := await(ctx, t, code); c != 0 {
		t.Errorf("exit code %d:\n%s", c, r.stderr)
	}
}
