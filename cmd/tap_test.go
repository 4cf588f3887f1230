package cmd

import (
	"strings"
	"syscall"
	"testing"

	"github.com/sluice-bridge/sluice/connectors"
)

// TestTap: an operator sees messages pass, and of what they hold only as much as the configuration allows.
func TestTap(t *testing.T) {
	for _, mode := range []string{"", "metadata", "payload", "off"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			r, ctx := newRig(t), soon(t)
			code := r.start(ctx, "run", "-c", write(t, `
routes: {from: {from: "memory://from", to: "memory://to"}}
admin: {listen: "127.0.0.1:0", tap: "`+mode+`"}
log: {format: json}
`))
			if mode == "" { // not a mode: the key stands there and is empty
				if c := await(ctx, t, code); c != exitConfig || !strings.Contains(r.stderr.String(), "off, metadata, payload") {
					t.Errorf("exit code %d %s", c, r.stderr)
				}
				return
			}
			address, _, _ := strings.Cut(r.stderr.await(ctx, t, `"address":"`), `"`)
			client := newRig(t)
			tapped := client.start(ctx, "tap", "from", "--limit", "2", "--json", "--reason", "where are they", "--url", address)
			r.stderr.await(ctx, t, `"what":"tap from: `)
			if mode == "off" {
				if c := await(ctx, t, tapped); c != exitFailed || !strings.Contains(client.stderr.String(), "tap: off") {
					t.Errorf("exit code %d %s", c, client.stderr)
				}
			} else {
				for range 2 {
					r.from.Put(0, connectors.Message{Key: []byte("CANARY-key"), Value: []byte("CANARY-value"), Headers: []connectors.Header{{Key: "authorization", Value: []byte("CANARY-header")}}})
				}
				if c := await(ctx, t, tapped); c != 0 || !strings.Contains(client.stderr.String(), "2 of 2 messages that passed were shown") {
					t.Errorf("exit code %d %s%s", c, client.stdout, client.stderr)
				}
				text := client.stdout.String()
				if strings.Contains(text, "CANARY") != (mode == "payload") || !strings.Contains(text, `"authorization`) || !strings.Contains(text, `"value_bytes":12`) {
					t.Errorf("shown:\n%s", text)
				}
				for one := range strings.Lines(text) {
					holds(t, contract(t, "Tapped"), "a line", one)
				}
				client = newRig(t)
				tapped = client.start(ctx, "tap", "from", "--stage", "fetched", "--reason", "once more", "--url", address)
				r.stderr.await(ctx, t, `"why":"once more"`)
				r.from.Put(1, connectors.Message{Key: []byte("CANARY-key"), Value: []byte("CANARY-value")})
				client.stdout.await(ctx, t, "fetched   from/1 @0")
				r.signals <- syscall.SIGTERM // a tap holds up no end
				if c := await(ctx, t, tapped); c != 0 {
					t.Errorf("exit code %d %s", c, client.stderr)
				}
			}
			if mode == "off" {
				r.signals <- syscall.SIGTERM
			}
			if c := await(ctx, t, code); c != 0 {
				t.Errorf("exit code %d:\n%s", c, r.stderr)
			}
			if text := r.stderr.String(); strings.Contains(text, "CANARY") || !strings.Contains(text, `"why":"where are they"`) {
				t.Errorf("log: %s", text)
			}
		})
	}
}
