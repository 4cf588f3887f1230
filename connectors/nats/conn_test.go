package nats

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/sluice-bridge/sluice/connectors"
)

// TestPasswordRotates: a password that is changed at the server and in its file is used at the next
// connection, without a restart; what is wrong meanwhile says so.
func TestPasswordRotates(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "password")
	write := func(password string) {
		if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first")
	options := &server.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true, Username: "u", Password: "first"}
	srv := runServer(t, options)
	h := newSourceHost()
	c := dial(&Connection{Servers: connectors.List{srv.ClientURL()}, User: "u", Password: connectors.SecretFile(file)}, &connectors.Env{Host: h}, false)
	t.Cleanup(func() { c.close(t.Context()) })
	is := func(kind connectors.EventKind, text string) func(connectors.Event) bool {
		return func(e connectors.Event) bool {
			return e.Kind == kind && (text == "" || strings.Contains(e.Err.Error(), text))
		}
	}
	_, at := h.await(t, 0, "connection", is(connectors.Connected, ""))

	changed := *options
	changed.Password = "second"
	if err := srv.ReloadOptions(&changed); err != nil {
		t.Fatal(err)
	}
	_, at = h.await(t, at, "refusal", is(connectors.Disconnected, "refuses the user or password"))
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	_, at = h.await(t, at, "unreadable file", is(connectors.Disconnected, "the password cannot be read: open "+file))
	write("second")
	h.await(t, at, "connection", is(connectors.Connected, ""))
}

func TestDelayGrowsOnlyWhereTheLoginIsRefused(t *testing.T) {
	t.Parallel()
	c := &conn{}
	if d := c.delay(20); d < reconnectWait || d > 2*reconnectWait {
		t.Errorf("a server that is away is asked again after %v", d)
	}
	c.err = explain(nats.ErrAuthorization)
	if d := c.delay(20); d < maxLoginWait || d > 2*maxLoginWait || !errors.Is(c.err, errLogin) {
		t.Errorf("a server that refuses us is asked again after %v", d)
	}
	if d := c.delay(0); d > time.Second {
		t.Errorf("the first time after %v", d)
	}
}
