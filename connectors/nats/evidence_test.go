package nats

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/sluice-bridge/sluice/connectors"
)

func TestWitness(t *testing.T) {
	var w witness
	w.Config.MaxMsgs, w.Config.MaxBytes = 10, 10<<20
	w.State.Messages, w.State.Bytes = 10, 9<<20
	if got, want := w.words("ORDERS", 2*time.Millisecond),
		"ORDERS holds 10 of 10 messages (max_msgs), ORDERS holds 9MiB of 10MiB (max_bytes), the server answers after 2ms"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	w = witness{}
	w.Cluster = &struct {
		Leader   string `json:"leader"`
		Replicas []peer `json:"replicas"`
	}{Replicas: []peer{{Name: "n1", Current: true}, {Name: "n2", Lag: 7, Active: 1230 * time.Millisecond}, {Name: "n3", Offline: true, Active: 14200 * time.Millisecond}}}
	if got, want := w.words("ORDERS", 0), "ORDERS has no leader, n2 is 7 behind, heard of 1.2s ago, n3 offline 14s, the server answers after 0s"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	w.Cluster.Leader = "n1"
	if got := w.words("ORDERS", 0); !strings.HasPrefix(got, "ORDERS is led by n1, ") {
		t.Error(got)
	}
}

// A sink says what its stream is at, and that nobody answers.
func TestSinkEvidence(t *testing.T) {
	server := startServer(t, nil)
	st := newSinkTest(t, server.ClientURL(), func(c *jetstream.StreamConfig) { c.MaxMsgs, c.Discard = 5, jetstream.DiscardNew })
	s := st.open(st.config(), st.env())
	write(t, s, lane(0, 0, 5, 0))
	var asked connectors.Witness = s
	if got := asked.Evidence(t.Context()); !strings.Contains(got, "holds 5 of 5 messages (max_msgs)") {
		t.Errorf("a full stream: %q", got)
	}
	over, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	if got := asked.Evidence(over); !strings.Contains(got, "does not answer") {
		t.Errorf("without an answer: %q", got)
	}
	server.Shutdown()
	st.host.awaitKind(t, connectors.Disconnected)
	if got := asked.Evidence(t.Context()); !strings.HasPrefix(got, "nats 127.0.0.1:") || strings.Contains(got, "answer") {
		t.Errorf("of a server that is gone: %q", got)
	}
}
