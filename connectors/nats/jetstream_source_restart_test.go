package nats

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/sluice-bridge/sluice/connectors"
)

// TestRestart: a restart begins a new session and goes on where the source is, with what is in flight.
func TestRestart(t *testing.T) {
	t.Parallel()
	st := newStreamTest(t, nil)
	st.publish(1, 100)
	h := newSourceHost()
	s := st.open(st.config(), h, "a")
	batches := readAll(t, s, 1, 50, connectors.Room{Messages: 10, Bytes: 1 << 20})
	commit(t, s, batches[:2]...)
	before := parseMark(st.durable().Config.Metadata[ownerKey])
	if !s.Restart(errors.New("nothing comes")) {
		t.Error("a source with a session was not restarted")
	}
	batches = append(batches[2:], readAll(t, s, 51, 50, roomy)...)
	commit(t, s, batches...)
	info := st.durable()
	if after := parseMark(info.Config.Metadata[ownerKey]); after.session != before.session+1 || after.inbox != before.inbox {
		t.Errorf("the mark was %v and is %v; want the next session of the same", before, after)
	}
	if info.AckFloor.Stream != 100 || info.NumAckPending != 0 {
		t.Errorf("floor %d, %d pending", info.AckFloor.Stream, info.NumAckPending)
	}
	if n := len(h.all(connectors.Disconnected)); n > 0 {
		t.Errorf("a restart is reported as %d disconnections", n)
	}
}

// TestRestartCannotHelp: a durable that may deliver no more before something is acknowledged is not stuck.
func TestRestartCannotHelp(t *testing.T) {
	t.Parallel()
	st := newStreamTest(t, nil)
	st.publish(1, 100)
	if _, err := st.js.CreateConsumer(t.Context(), "S", jetstream.ConsumerConfig{
		Durable: "bound", AckPolicy: jetstream.AckAllPolicy, MaxAckPending: 20, AckWait: time.Hour,
	}); err != nil {
		t.Fatal(err)
	}
	c := st.config()
	c.Durable, c.Consumer.Create = "bound", false
	s := st.open(c, newSourceHost(), "a")
	batches := readAll(t, s, 1, 20, roomy)
	for !s.full.Load() {
		pauseFor(t, 10*time.Millisecond)
	}
	if s.Restart(errors.New("nothing comes")) {
		t.Error("a source that waits for acknowledgements was restarted")
	}
	commit(t, s, batches...)
	readAll(t, s, 21, 20, roomy)
}

func pauseFor(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
		t.Fatal("the test has ended")
	}
}
