//go:build integration

package acceptance

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nkeys"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-bridge/sluice/connectors/connectortest"
	"github.com/sluice-bridge/sluice/integration/brokers"
	"github.com/sluice-bridge/sluice/integration/daemon"
)

// securedKafka has a listener for SCRAM over TLS, and one for TLS with client certificates. Java reads a key and its
// certificate from one file.
func securedKafka(s *scene, a *connectortest.Authority, p connectortest.Pair) string {
	s.Helper()
	store := filepath.Join(filepath.Dir(p.CertFile), "store.pem")
	var all []byte
	for _, file := range []string{p.KeyFile, p.CertFile} {
		text, err := os.ReadFile(file)
		s.must(err)
		all = append(all, text...)
	}
	s.must(os.WriteFile(store, all, 0o600))
	return fmt.Sprintf(`
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,PROXIED1:SASL_SSL,PROXIED2:SSL,CONTROLLER:PLAINTEXT
advertised.listeners=PLAINTEXT://{{.Addr}},PROXIED1://{{(index .Proxied 0).Target}},PROXIED2://{{(index .Proxied 1).Target}}
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.proxied1.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.proxied2.ssl.client.auth=required
ssl.keystore.type=PEM
ssl.keystore.location=%s
ssl.truststore.type=PEM
ssl.truststore.location=%s
`, store, a.CAFile)
}

// securedNATS starts a server that wants TLS with a client certificate and an NKEY of Sluice; the test's own clients
// log in without.
func securedNATS(s *scene, a *connectortest.Authority, p connectortest.Pair) (n *brokers.NATS, seed string) {
	s.Helper()
	dir := s.TempDir()
	pair, err := nkeys.CreateUser()
	s.must(err)
	public, err := pair.PublicKey()
	s.must(err)
	text, err := pair.Seed()
	s.must(err)
	seed = filepath.Join(dir, "user.nk")
	s.must(os.WriteFile(seed, text, 0o600))
	ports, err := brokers.FreePorts(1)
	s.must(err)
	config := filepath.Join(dir, "nats.conf")
	s.must(os.WriteFile(config, fmt.Appendf(nil, `
listen: 127.0.0.1:%d
server_name: secured
jetstream: {store_dir: "%s"}
tls {cert_file: "%s", key_file: "%s", ca_file: "%s", verify: true}
allow_non_tls: true
authorization {users: [{nkey: %s}, {user: test, password: test}]}
`, ports[0], filepath.Join(dir, "store"), p.CertFile, p.KeyFile, a.CAFile, public), 0o600))
	n = &brokers.NATS{URL: fmt.Sprintf("nats://test:test@127.0.0.1:%d", ports[0]), Process: &brokers.Process{
		Name: "nats-server", Path: suite.pair.NATS.Process.Path, Args: []string{"-c", config}, Dir: dir, Log: filepath.Join(dir, "nats.log"),
	}}
	s.must(n.Restart(s.ctx))
	s.Cleanup(func() { _ = n.Process.Kill() })
	return n, seed
}

// Kafka with SCRAM over TLS, and with client certificates; nats-server with TLS, client certificates and an NKEY. A
// server's certificate of another authority is named, and its file takes effect without a restart.
func TestSecuredBrokers(t *testing.T) {
	suite.pair.NeedControl(t)
	a, other := connectortest.NewAuthority(t), connectortest.NewAuthority(t)
	kafkas, served, mine := a.Issue(t, "kafka", 30*24*time.Hour, "127.0.0.1"), a.Issue(t, "nats", 30*24*time.Hour, "127.0.0.1"), a.Issue(t, "sluice", 30*24*time.Hour)
	// Its own copy of the authority's certificate: brokers read theirs when they start.
	trusted := filepath.Join(t.TempDir(), "trusted.pem")
	var seed string
	var server *brokers.NATS
	s, k := odd(t, func(ctx context.Context, dir string) (*brokers.Kafka, error) {
		s := newScene(t, 5*time.Minute)
		return brokers.StartOddKafka(ctx, dir, brokers.Oddity{Config: securedKafka(s, a, kafkas)})
	}, func(context.Context, string) (*brokers.NATS, error) {
		s := newScene(t, 5*time.Minute)
		server, seed = securedNATS(s, a, served)
		return server, nil
	})
	copyFile(s, a.CAFile, trusted)
	client, err := kgo.NewClient(kgo.SeedBrokers(k.Addr))
	s.must(err)
	t.Cleanup(client.Close)
	_, err = kadm.NewClient(client).AlterUserSCRAMs(s.ctx, nil, []kadm.UpsertSCRAM{{User: "sluice", Mechanism: kadm.ScramSha512, Iterations: 4096, Password: "right"}})
	s.must(err)

	yaml := func(kafka string) string {
		return fmt.Sprintf(`
routes:
  %[1]s:
    source: {kafka: {topics: "%[3]s", %[2]s}}
    map: {subject: "%[1]s.{{ partition }}"}
    sink: {jetstream: {servers: ["%[4]s"], stream: "%[5]s", nkey_file: "%[6]s", tls: {ca_file: "%[7]s", cert_file: "%[8]s", key_file: "%[9]s"}}}
`, s.name, kafka, s.topic.Name, strings.Replace(server.URL, "test:test@", "", 1), s.stream.Name, seed, trusted, mine.CertFile, mine.KeyFile)
	}
	scram := func(password string) string {
		return fmt.Sprintf(`brokers: ["%s"], tls: {ca_file: "%s"}, sasl: {mechanism: SCRAM-SHA-512, username: sluice, password: "%s"}`, k.Proxied[0].Target, a.CAFile, password)
	}
	mutual := fmt.Sprintf(`brokers: ["%s"], tls: {ca_file: "%s", cert_file: "%s", key_file: "%s"}`, k.Proxied[1].Target, a.CAFile, mine.CertFile, mine.KeyFile)
	t.Run("doctor", func(t *testing.T) {
		s := s.in(t)
		for name, text := range map[string]string{"scram": scram("right"), "mutual": mutual} {
			if bad, code := s.doctor(quiet + yaml(text)); code != 0 {
				t.Errorf("%s: %d, %+v", name, code, bad)
			}
		}
		s.names(quiet+yaml(scram("wrong")), "kafka.login", "failed", "SCRAM-SHA-512")
		s.names(quiet+yaml(fmt.Sprintf(`brokers: ["%s"], tls: {ca_file: "%s"}`, k.Proxied[0].Target, other.CAFile)), "kafka.tls", "failed", "tls.ca_file")
	})

	n := messages(20_000, 2_000)
	s.must(s.topic.Write(s.ctx, s.load, 0, n, 0))
	d := s.start(yaml(scram("right")))
	s.inStream(n, time.Minute)
	next := other.Issue(t, "nats", 30*24*time.Hour, "127.0.0.1")
	copyFile(s, next.KeyFile, served.KeyFile)
	copyFile(s, next.CertFile, served.CertFile)
	s.must(server.Process.Stop(20 * time.Second))
	s.must(server.Restart(s.ctx))
	d.Until(s.ctx, t, "not trusted", func(r *daemon.Route) bool { return !r.SinkConnected && strings.Contains(r.Detail, "tls.ca_file") })
	s.must(s.topic.Write(s.ctx, s.load, n, 2*n, 0))
	copyFile(s, other.CAFile, trusted)
	s.inStream(2*n, time.Minute)
	s.end(d)
	d = s.start(yaml(mutual))
	s.must(s.topic.Write(s.ctx, s.load, 2*n, 3*n, 0))
	s.inStream(3*n, time.Minute)
	s.end(d)
	r := s.compareToStream()
	s.clean(r)
	row("SCRAM-SHA-512 over TLS, then client certificates, to TLS with a client certificate and an NKEY; certificate and authority changed while it ran: %v", r)
}

func copyFile(s *scene, from, to string) {
	s.Helper()
	text, err := os.ReadFile(from)
	s.must(err)
	s.must(os.WriteFile(to, text, 0o600))
}
