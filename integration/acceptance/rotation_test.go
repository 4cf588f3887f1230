//go:build integration

package acceptance

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-bridge/sluice/integration/brokers"
	"github.com/sluice-bridge/sluice/integration/daemon"
	"github.com/sluice-bridge/sluice/integration/truth"
)

// guarded are brokers of a test's own that want a password.
type guarded struct {
	kafka  *brokers.Kafka
	sasl   string // where Kafka wants it; its other listeners do not
	plain  string // Kafka's configuration without it
	nats   *brokers.Process
	url    string
	config string // of nats-server
}

func startGuarded(s *scene, password string) *guarded {
	s.Helper()
	dir := s.TempDir()
	ports, err := brokers.FreePorts(2)
	s.must(err)
	g := &guarded{
		sasl: fmt.Sprintf("127.0.0.1:%d", ports[0]), url: fmt.Sprintf("nats://127.0.0.1:%d", ports[1]), config: filepath.Join(dir, "nats.conf"),
	}
	g.kafka, err = brokers.StartKafka(s.ctx, filepath.Join(dir, "kafka"))
	s.must(err)
	s.Cleanup(func() { _ = g.kafka.Process.Kill() })
	text, err := os.ReadFile(g.properties())
	s.must(err)
	g.plain = string(text)
	g.guardKafka(s, password)
	g.guardNATS(s, password)
	g.nats = &brokers.Process{
		Name: "nats-server", Path: suite.pair.NATS.Process.Path, Args: []string{"-c", g.config}, Dir: dir, Log: filepath.Join(dir, "nats.log"),
	}
	s.must(g.nats.Start())
	s.Cleanup(func() { _ = g.nats.Kill() })
	return g
}

func (g *guarded) properties() string {
	return filepath.Join(g.kafka.Process.Dir, "server.properties")
}

// guardKafka restarts the broker with a listener that wants the password.
func (g *guarded) guardKafka(s *scene, password string) {
	s.Helper()
	s.must(g.kafka.Process.Stop(20 * time.Second))
	var all []string
	for line := range strings.Lines(g.plain) {
		line = strings.TrimSpace(line)
		switch key, _, _ := strings.Cut(line, "="); key {
		case "listeners", "advertised.listeners":
			line += ",GUARDED://" + g.sasl
		case "listener.security.protocol.map":
			line += ",GUARDED:SASL_PLAINTEXT"
		}
		all = append(all, line)
	}
	all = append(all, "listener.name.guarded.sasl.enabled.mechanisms=PLAIN",
		`listener.name.guarded.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_sluice="`+password+`";`)
	s.must(os.WriteFile(g.properties(), []byte(strings.Join(all, "\n")+"\n"), 0o600))
	s.must(g.kafka.Restart(s.ctx))
}

// guardNATS writes what the server reads at its start and at SIGHUP.
func (g *guarded) guardNATS(s *scene, password string) {
	s.Helper()
	s.must(os.WriteFile(g.config, fmt.Appendf(nil, `
listen: %s
server_name: guarded
jetstream: {store_dir: "%s"}
authorization {users: [{user: sluice, password: "%s"}, {user: test, password: test}]}
`, strings.TrimPrefix(g.url, "nats://"), filepath.Join(filepath.Dir(g.config), "store"), password), 0o600))
}

// Passwords that are changed at the brokers and then in their files are used without a restart. Until
// then the route says what is wrong and loses nothing.
func TestPasswordsRotate(t *testing.T) {
	suite.pair.NeedControl(t)
	s := newScene(t, 5*time.Minute)
	g := startGuarded(s, "first")
	secret := map[string]string{"kafka": filepath.Join(s.TempDir(), "kafka"), "nats": filepath.Join(s.TempDir(), "nats")}
	change := func(broker, password string) { s.must(os.WriteFile(secret[broker], []byte(password+"\n"), 0o600)) }
	change("kafka", "first")
	change("nats", "first")
	s.topic.Addr, s.stream.URL = g.kafka.Addr, strings.Replace(g.url, "://", "://test:test@", 1)
	s.create(nil)
	n := messages(20_000, 2_000)
	s.must(s.topic.Write(s.ctx, s.load, 0, n, 0))
	d := s.start(fmt.Sprintf(`
routes:
  %[1]s:
    source: {kafka: {brokers: ["%[2]s"], topics: "%[3]s", username: sluice, password: "${file:%[4]s}"}}
    map: {subject: "%[1]s.{{ partition }}"}
    sink: {jetstream: {servers: ["%[5]s"], stream: "%[6]s", user: sluice, password: "${file:%[7]s}"}}
`, s.name, g.sasl, s.topic.Name, secret["kafka"], g.url, s.stream.Name, secret["nats"]))
	s.inStream(n, time.Minute)

	says := func(what, words string) {
		d.Until(s.ctx, t, what, func(r *daemon.Route) bool {
			return (!r.SourceConnected || !r.SinkConnected) && strings.Contains(r.Detail, words)
		})
	}
	g.guardNATS(s, "second")
	s.must(g.nats.Signal(syscall.SIGHUP))
	says("refused by NATS", "the server refuses the user or password")
	s.must(s.topic.Write(s.ctx, s.load, n, 2*n, 0))
	change("nats", "second")
	s.inStream(2*n, time.Minute)

	g.guardKafka(s, "third")
	says("refused by Kafka", "correct username and password")
	s.must(os.Remove(secret["kafka"]))
	says("without its file", "the password cannot be read")
	s.must(s.topic.Write(s.ctx, s.load, 2*n, 3*n, 0))
	begin := time.Now()
	change("kafka", "third")
	s.inStream(3*n, time.Minute)
	took := time.Since(begin)
	d.Until(s.ctx, t, "idle", func(r *daemon.Route) bool { return r.Window.Messages == 0 && r.LagKnown && r.Lag == 0 })
	s.end(d)
	r := s.compare(s.topic.Log, s.stream.Log, truth.Key, truth.Value, truth.Exact, truth.Time)
	s.whole(r, 2*window)
	row("passwords of both brokers changed under a route, the last of it through %v after the file: %v", took.Round(100*time.Millisecond), r)
}
