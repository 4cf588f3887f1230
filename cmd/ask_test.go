package cmd

import (
	"context"
	"strings"
	"testing"
)

// askDaemon runs a command against the daemon at an address, and returns what it said on both outputs. Its exit
// code has to be want.
func askDaemon(ctx context.Context, t *testing.T, address string, want int, args ...string) string {
	t.Helper()
	client := newRig(t)
	if c := client.main(ctx, append(args, "--url", address)); c != want {
		t.Errorf("%v: exit code %d: %s%s", args, c, client.stdout, client.stderr)
	}
	return client.stdout.String() + client.stderr.String()
}

// flat is a text with one blank where there is more room between two words.
func flat(text string) string { return strings.Join(strings.Fields(text), " ") }

func wantWords(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("no %q in\n%s", w, text)
		}
	}
}
