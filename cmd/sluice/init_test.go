package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var commented = regexp.MustCompile(`(?m)^( *)# ([a-z_]+: .*)$`)

// TestInit: what it writes for each pair is valid and without a warning, and so is every key that it shows as a comment.
func TestInit(t *testing.T) {
	t.Parallel()
	ctx := soon(t)
	secrets := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secrets, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	call := func(want int, args ...string) string {
		t.Helper()
		p := start(ctx, t, args...)
		if code := p.code(t); code != want {
			t.Fatalf("%v: exit code %d, want %d:\n%s", args, code, want, &p.out)
		}
		return p.out.String()
	}
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	for _, pair := range [][]string{
		{}, {"kafka", "jetstream"}, {"kafka", "nats"}, {"jetstream", "kafka"}, {"nats", "kafka", "--accept-loss", "core_source"}, {"nats", "jetstream", "--accept-loss", "core_source"},
		{"kafka://a:1,b:2/orders?group=g", "kafka://c:3/more"}, {"jetstream://a:1/ORDERS", "jetstream://a:1/MORE"},
	} {
		call(0, append([]string{"init", "--force", "-o", file}, pair...)...)
		call(0, "validate", "--strict", file)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		keys := commented.FindAllStringSubmatchIndex(string(text), -1)
		if len(keys) < 9 {
			t.Errorf("%v: %d keys as comments in\n%s", pair, len(keys), text)
		}
		all := commented.ReplaceAllString(string(text), "$1$2")
		if err := os.WriteFile(file, []byte(strings.ReplaceAll(all, "/run/secrets/admin", secrets)), 0o600); err != nil {
			t.Fatal(err)
		}
		call(0, "validate", "--strict", file)
	}
	if said := call(2, "init", "-o", "-", "nats", "kafka"); !strings.Contains(said, "accept_loss: [core_source]") {
		t.Error(said)
	}
	if said := call(2, "init", "-o", "-", "nats://me:CANARY@h:1/s", "jetstream://h:1/S"); strings.Contains(said, "CANARY") {
		t.Error(said)
	}
}
