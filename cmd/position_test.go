package cmd

import (
	"strings"
	"syscall"
	"testing"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/connectortest"
)

// TestPosition follows an operator who looks, asks what would happen, and does it.
func TestPosition(t *testing.T) {
	r, ctx := newRig(t), soon(t)
	r.put(100)
	code := r.start(ctx, bridged...)
	address, _, _ := strings.Cut(r.stderr.await(ctx, t, `"address":"`), `"`)
	if err := r.from.AwaitCommitted(ctx, 100); err != nil {
		t.Fatal(err)
	}
	ask := func(want int, args ...string) string {
		t.Helper()
		return askDaemon(ctx, t, address, want, args...)
	}
	has := func(text string, words ...string) {
		t.Helper()
		wantWords(t, flat(text), words...)
	}
	has(ask(0, "position", "from"), "PARTITION FIRST COMMITTED END LAG NEXT MESSAGE", "from/0 0 50 50 0 -", "from/1 0 50 50 0 -")
	has(ask(0, "position", "from", "show", "--json"), `{"partitions":[{"partition":"from/0","first":0,"end":50,"known":true,"committed":50,"lag":0}`)
	has(ask(0, "position", "from", "set", "--to", "earliest", "--dry-run"), "from/0 50 0 50 0", "dry run: nothing was changed")
	has(ask(exitFailed, "position", "from", "set", "--to", "7"), "choose one with --partition")
	has(ask(exitFailed, "position", "nobody"), `there is no route "nobody"`)
	if r.to.Written() != 100 {
		t.Errorf("%d messages written", r.to.Written())
	}
	has(ask(0, "position", "from", "set", "--to", "40", "--partition", "1", "--reason", "replay"), "from/1 50 40 10 0", "from goes on there")
	if err := r.to.AwaitWritten(ctx, 110); err != nil {
		t.Fatal(err)
	}
	has(ask(0, "status", "--json"), `"actions":[{"time":`, `"why":"replay","what":"position set --to 40 --partition 1","before":"from/1 50","after":"from/1 40"`, "(127.0.0.1)")
	if text := r.stderr.String(); !strings.Contains(text, `"audit":true`) || !strings.Contains(text, `"message":"operator: position set`) {
		t.Errorf("no audit line in\n%s", text)
	}
	r.signals <- syscall.SIGTERM
	if c := await(ctx, t, code); c != 0 {
		t.Errorf("exit code %d:\n%s", c, r.stderr)
	}
}

// TestResumeSkip gives up the one message that blocks.
func TestResumeSkip(t *testing.T) {
	r, ctx := newRig(t), soon(t)
	r.faults = func(batches []*connectors.Batch) connectortest.Fault {
		index := 0
		for _, b := range batches {
			for _, m := range b.Messages {
				if b.Partition == "from/0" && m.Offset == 3 {
					return connectortest.Fault{Err: &connectors.BatchError{Failed: []connectors.Failure{{Index: index, Err: connectors.Permanent(connectortest.ErrFault)}}}}
				}
				index++
			}
		}
		return connectortest.Fault{}
	}
	r.put(10)
	code := r.start(ctx, bridged...)
	address, _, _ := strings.Cut(r.stderr.await(ctx, t, `"address":"`), `"`)
	r.stderr.await(ctx, t, "route halted")
	client := newRig(t)
	if c := client.main(ctx, []string{"status", "--url", address}); c != exitFailed ||
		!strings.Contains(client.stdout.String(), "from is halted: message_refused\n  → mend the cause, then: sluice resume from; or give this one message up: sluice resume from --skip --drop") {
		t.Errorf("exit code %d:\n%s%s", c, client.stdout, client.stderr)
	}
	if c := client.main(ctx, []string{"resume", "from", "--skip", "--url", address}); c != exitFailed || !strings.Contains(client.stderr.String(), "add dead_letter: {sink: {...}} to the route") {
		t.Errorf("exit code %d: %s", c, client.stderr)
	}
	if c := client.main(ctx, []string{"resume", "from", "--skip", "--drop", "--url", address}); c != 0 {
		t.Errorf("exit code %d: %s", c, client.stderr)
	}
	if err := r.from.AwaitCommitted(ctx, 10); err != nil {
		t.Fatal(err)
	}
	r.signals <- syscall.SIGTERM
	if c := await(ctx, t, code); c != 0 {
		t.Errorf("exit code %d:\n%s", c, r.stderr)
	}
	for _, m := range r.to.Messages("from/0") {
		if m.Offset == 3 {
			t.Error("the message that was given up was written")
		}
	}
}
