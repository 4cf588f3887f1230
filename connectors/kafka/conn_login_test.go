package kafka

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/sluice-bridge/sluice/connectors"
)

// TestPasswordRotates: a password that is changed at the broker and in its file is used at the next
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
	port := 0
	cluster := func(password string) *kfake.Cluster {
		c := newCluster(t, kfake.SeedTopics(1, "orders"), kfake.EnableSASL(), kfake.Superuser("PLAIN", "u", password), kfake.Ports(port))
		_, text, err := net.SplitHostPort(c.ListenAddrs()[0])
		if err != nil {
			t.Fatal(err)
		}
		if port, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := cluster("first")
	h := newHost()
	open(t, c, h, func(cfg *SourceConfig, _ *timing) { cfg.Username, cfg.Password = "u", connectors.SecretFile(file) })
	h.await(t, kind(connectors.Connected))

	c.Close()
	cluster("second")
	h.await(t, func(e connectors.Event) bool {
		return e.Kind == connectors.Disconnected && strings.Contains(e.Err.Error(), "username and password")
	})
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	h.await(t, func(e connectors.Event) bool {
		return e.Kind == connectors.Disconnected && strings.Contains(e.Err.Error(), "the password cannot be read: open "+file)
	})
	write("second")
	times := 0
	h.await(t, func(e connectors.Event) bool {
		if e.Kind == connectors.Connected {
			times++
		}
		return times == 2
	})
}
