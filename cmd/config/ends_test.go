package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Ends are told where they stand in the file, with the connection that they use; secrets are told once for each file.
func TestEndsAndSecrets(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(secret, []byte("p\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := load(t, strings.ReplaceAll(`connections:
  kafka-eu: {kafka: {brokers: ["localhost:9092"], username: me, password: "${file:SECRET}"}}
routes:
  orders:
    source: {kafka: {connection: kafka-eu, topics: [orders]}}
    sink: {jetstream: {brokers: ["localhost:4222"], username: me, password: "${file:SECRET}", stream: ORDERS}}
    dead_letter: {to: "kafka://localhost:9092/dead"}
`, "SECRET", secret), nil)
	var got []string
	for _, e := range c.Ends {
		_, line, _ := strings.Cut(e.At, ":")
		if (e.Source == nil) == (e.Sink == nil) || e.Route != "orders" {
			t.Errorf("%+v", e)
		}
		got = append(got, e.Path+" "+line+" "+e.Connection)
	}
	if diff := cmp.Diff([]string{"routes.orders.source.kafka 5 connections.kafka-eu", "routes.orders.sink.jetstream 6 ", "routes.orders.dead_letter.to 7 "}, got); diff != "" {
		t.Error(diff)
	}
	if len(c.Secrets) != 1 || c.Secrets[0].File != secret {
		t.Errorf("%+v", c.Secrets)
	}
}
