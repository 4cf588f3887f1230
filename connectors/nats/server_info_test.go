package nats

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/sluice-bridge/sluice/connectors"
)

// A connection that is lost while a session begins says nothing of its server. That must not be taken for a
// server that is too old to have the durable owned, which would halt the route.
func TestLostConnectionIsNoOldServer(t *testing.T) {
	t.Parallel()
	st := newStreamTest(t, nil)
	s := prepareJetStreamSource(st.config(), sourceEnv(newSourceHost(), "a"), defaultPace())
	t.Cleanup(func() { s.conn.close(t.Context()) })
	live, _, err := s.conn.await(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	lost, err := nats.Connect(st.server.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	lost.Close()
	_, _, err = s.beginSession(t.Context(), lost)
	if !errors.Is(err, errSessionLost) || connectors.IsPermanent(err) {
		t.Errorf("a session on a lost connection: %v", err)
	}
	at, err := serverInfoOf(live)
	if err != nil || !at.canReset() {
		t.Errorf("%+v, %v", at, err)
	}
}

func TestServerInfo(t *testing.T) {
	created := time.Unix(0, 7)
	for _, c := range []struct {
		at     serverInfo
		resets bool
		origin string
	}{
		{serverInfo{"2.14.0", "cluster", "n1", "ID"}, true, "nats:cluster/S"},
		{serverInfo{"2.9.25", "", "n1", "ID"}, false, "nats:n1/S"},
		{serverInfo{"3.0.0-RC.1", "", "ID", "ID"}, true, "nats:7/S"},
		{serverInfo{"2.14", "", "n1", "ID"}, true, "nats:n1/S"},
		{serverInfo{"dev", "", "n1", "ID"}, false, "nats:n1/S"},
	} {
		if c.at.canReset() != c.resets || c.at.origin(created, "S") != c.origin {
			t.Errorf("%+v: %t, %s", c.at, c.at.canReset(), c.at.origin(created, "S"))
		}
	}
}
