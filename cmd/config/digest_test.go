package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDigest: it is another where anything of a route is, and nowhere else.
func TestDigest(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	text := strings.ReplaceAll(`
connections:
  kafka-eu: {kafka: {brokers: ["${HOST}:9092"], username: me, pin: "${file:SECRET}"}}
  nats-eu: {nats: {brokers: ["nats:4222"]}}
  dead: {nats: {brokers: ["dead:4222"]}}
  other: {nats: {brokers: ["other:4222"]}}
routes:
  orders:
    source: {kafka: {topics: [orders]}}
    sink: {jetstream: {connection: nats-eu, stream: ORDERS}}
    window: {max_messages: 100, max_bytes: 1MiB}
    on_reject: dead_letter
    dead_letter: {sink: {jetstream: {connection: dead, stream: DEAD}}}
    limit: {messages: 5/s}
    paused: false
  other: {source: {kafka: {topics: [others]}}, sink: {jetstream: {connection: other, stream: OTHERS}}}
`, "SECRET", secret)
	env := map[string]string{"HOST": "kafka"}
	hide := func(value string) {
		t.Helper()
		if err := os.WriteFile(secret, []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	digests := func(old, new string) [2]string {
		t.Helper()
		if !strings.Contains(text, old) {
			t.Fatalf("no %q", old)
		}
		routes := load(t, strings.Replace(text, old, new, 1), env).Bridge.Routes
		return [2]string{routes[0].Digest, routes[1].Digest}
	}
	hide("1234")
	is := digests("", "")
	if is[0] == "" || is[0] == is[1] {
		t.Fatalf("%q", is)
	}
	for _, c := range []struct {
		old, new      string
		first, second bool // differ
	}{
		{"", "# a comment\n", false, false},
		{"window: {max_messages: 100, max_bytes: 1MiB}", "window:\n      max_bytes: 1MiB # other way round\n      max_messages: 100", false, false},
		{"limit: {messages: 5/s}", "limit: {messages: 6/s}", false, false},
		{"paused: false", "paused: true", false, false},
		{"${HOST}", "kafka", false, false},
		{"max_messages: 100", "max_messages: 101", true, false},
		{"topics: [orders]", "topics: [orders, more]", true, false},
		{"stream: DEAD", "stream: GRAVE", true, false},
		{"nats:4222", "nats:4223", true, false},
		{"dead:4222", "dead:4223", true, false},
		{"other:4222", "other:4223", false, true},
		{"username: me", "username: you", true, true},
		{"username: me", "username: me, buffer: 1MiB", true, true},
		{"paused: false", "headers: none", true, false},
		{"  other: {source", "  more: {from: \"kafka://x:1/y\", to: \"nats://x:1/y\"}\n  other: {source", false, true}, // the second is another
	} {
		now := digests(c.old, c.new)
		if (now[0] != is[0]) != c.first || (now[1] != is[1]) != c.second {
			t.Errorf("%q -> %q: first %v, second %v", c.old, c.new, now[0] != is[0], now[1] != is[1])
		}
	}
	hide("4321")
	if now := digests("", ""); now[0] == is[0] || now[1] == is[1] {
		t.Error("another secret is not noticed")
	}
	hide("1234")
	env["HOST"] = "kafka-2"
	if now := digests("", ""); now[0] == is[0] {
		t.Error("another value of a placeholder is not noticed")
	}
}
