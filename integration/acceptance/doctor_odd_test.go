//go:build integration

package acceptance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-bridge/sluice/integration/brokers"
	"github.com/sluice-bridge/sluice/integration/truth"
)

// js is a client of the scene's server.
func (s *scene) js() jetstream.JetStream {
	s.Helper()
	nc, err := nats.Connect(s.stream.URL)
	s.must(err)
	s.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	s.must(err)
	return js
}

// guardedKafka is a broker where a listener asks for a password, an authorizer gives nobody rights but us, and another
// listener advertises a name that nobody knows.
const guardedKafka = `
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,PROXIED1:SASL_PLAINTEXT,PROXIED2:PLAINTEXT,CONTROLLER:PLAINTEXT
advertised.listeners=PLAINTEXT://{{.Addr}},PROXIED1://{{(index .Proxied 0).Target}},PROXIED2://kafka.invalid:19092
sasl.enabled.mechanisms=PLAIN
listener.name.proxied1.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_alice="right";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
`

// odd is a scene at brokers that the test starts for itself, where it may.
func odd(t *testing.T, kafka func(context.Context, string) (*brokers.Kafka, error), server func(context.Context, string) (*brokers.NATS, error)) (*scene, *brokers.Kafka) {
	t.Helper()
	s := newScene(t, 10*time.Minute)
	if suite.pair.Kafka.Process == nil {
		t.Skip("the brokers are from the environment")
	}
	s.name = "odd" // the names of subtests are longer than they are useful
	k := suite.pair.Kafka
	if kafka != nil {
		var err error
		k, err = kafka(s.ctx, t.TempDir())
		if errors.Is(err, brokers.ErrMissing) {
			t.Skip(err)
		}
		s.must(err)
		t.Cleanup(func() { _ = k.Process.Kill() })
	}
	s.topic = truth.Topic{Addr: k.Addr, Name: s.name}
	s.stream.Name = "ODD"
	if server != nil {
		n, err := server(s.ctx, t.TempDir())
		s.must(err)
		t.Cleanup(func() { _ = n.Process.Kill() })
		s.stream.URL = n.URL
	}
	s.create(fast)
	return s, k
}

// in returns the scene in a subtest.
func (s *scene) in(t *testing.T) *scene {
	in := *s
	in.T = t
	return &in
}

// A Kafka with passwords and an authorizer: each wrong thing by its name.
func TestDoctorNamesAtAGuardedKafka(t *testing.T) {
	s, k := odd(t, func(ctx context.Context, dir string) (*brokers.Kafka, error) {
		return brokers.StartOddKafka(ctx, dir, brokers.Oddity{Config: guardedKafka})
	}, nil)
	client, err := kgo.NewClient(kgo.SeedBrokers(k.Addr))
	s.must(err)
	t.Cleanup(client.Close)
	admin := kadm.NewClient(client)
	allow := func(acl *kadm.ACLBuilder, ops ...kadm.ACLOperation) {
		t.Helper()
		made, err := admin.CreateACLs(s.ctx, acl.Allow("User:alice").ResourcePatternType(kadm.ACLPatternLiteral).Operations(ops...))
		s.must(err)
		for _, m := range made {
			s.must(m.Err)
		}
	}
	yaml := func(password string) string {
		s := *s
		s.topic.Addr = k.Proxied[0].Target
		return strings.Replace(s.toStream(quiet), "topics:", fmt.Sprintf("username: alice, password: %s, topics:", password), 1)
	}
	t.Run("wrong password", func(t *testing.T) {
		s.in(t).names(yaml("wrong"), "kafka.login", "failed", "sasl.username=alice")
	})
	t.Run("no right to see the topic", func(t *testing.T) {
		bad, code := s.in(t).doctor(yaml("right"))
		if code != 3 || len(bad) != 2 || bad[0].Code != "kafka.topic" || bad[1].Code != "kafka.group" ||
			!strings.Contains(bad[0].Way, "kafka-acls.sh") || !strings.Contains(bad[1].Way, "--group sluice-odd") {
			t.Fatalf("%d, %+v", code, bad)
		}
	})
	allow(kadm.NewACLs().Groups("sluice-odd"), kadm.OpRead)
	allow(kadm.NewACLs().Topics("odd"), kadm.OpDescribe)
	t.Run("no right to read", func(t *testing.T) {
		s.in(t).names(yaml("right"), "kafka.permission", "failed", "kafka-acls.sh", "--allow-principal User:alice --operation READ", "--topic odd")
	})
	allow(kadm.NewACLs().Topics("odd"), kadm.OpRead)
	t.Run("all rights", func(t *testing.T) {
		if bad, code := s.in(t).doctor(yaml("right")); len(bad) > 0 || code != 0 {
			t.Fatalf("%d, %+v", code, bad)
		}
	})
	t.Run("advertises an unknown name", func(t *testing.T) {
		s := s.in(t)
		s.topic.Addr = k.Proxied[1].Target
		s.names(s.toStream(quiet), "kafka.advertised", "failed", "advertised.listeners=")
	})
}

// guardedNATS are users of a nats-server: one may all, the others less than is needed.
const guardedNATS = `
authorization: {users: [
	{user: admin, password: admin},
	{user: alice, password: right, permissions: {publish: ["$JS.API.>", "$SYS.REQ.USER.INFO"], subscribe: ["_INBOX.>"]}},
	{user: blind, password: right, permissions: {publish: ["$SYS.REQ.USER.INFO"], subscribe: ["_INBOX.>"]}},
]}
`

func TestDoctorNamesAtAGuardedNATS(t *testing.T) {
	s, _ := odd(t, nil, func(ctx context.Context, dir string) (*brokers.NATS, error) {
		return brokers.StartOddNATS(ctx, dir, brokers.Oddity{Config: guardedNATS}, "admin:admin@", 0)
	})
	as := func(user, password string) string {
		s := *s
		s.stream.URL = "nats://" + s.stream.URL[strings.LastIndexByte(s.stream.URL, '@')+1:]
		return strings.Replace(s.toStream(quiet), ", stream:", fmt.Sprintf(", user: %s, password: \"%s\", stream:", user, password), 1)
	}
	t.Run("wrong password", func(t *testing.T) {
		s.in(t).names(as("alice", "wrong"), "nats.login", "failed", "--user alice --password ... account info")
	})
	t.Run("no right to publish", func(t *testing.T) {
		s.in(t).names(as("alice", "right"), "nats.permission", "failed", `"odd.*"`, "--allow-pub 'odd.*'", "nats-server --signal reload")
	})
	t.Run("no right to the stream", func(t *testing.T) {
		bad, code := s.in(t).doctor(as("blind", "right"))
		if code != 3 || len(bad) < 2 || bad[0].Code != "nats.permission" || !strings.Contains(bad[0].Way, "$JS.API.STREAM.INFO.ODD") {
			t.Fatalf("%d, %+v", code, bad)
		}
	})
	t.Run("secret that everybody can read", func(t *testing.T) {
		s := s.in(t)
		file := filepath.Join(t.TempDir(), "password")
		s.must(os.WriteFile(file, []byte("admin\n"), 0o600))
		s.must(os.Chmod(file, 0o644))
		s.names(as("admin", "${file:"+file+"}"), "config.secret", "warning", "chmod o-rwx "+file)
	})
	t.Run("all rights", func(t *testing.T) {
		if bad, code := s.in(t).doctor(as("admin", "admin")); len(bad) > 0 || code != 0 {
			t.Fatalf("%d, %+v", code, bad)
		}
	})
}

// A nats-server whose clock is 30 s ahead: a build of its own, in which time.Now says so.
func TestDoctorNamesClockOfNATS(t *testing.T) {
	s, _ := odd(t, nil, func(ctx context.Context, dir string) (*brokers.NATS, error) {
		return brokers.StartOddNATS(ctx, dir, brokers.Oddity{}, "", 30*time.Second)
	})
	s.names(s.toStream(quiet), "jetstream.clock", "warning", "timedatectl set-ntp true")
}

// A Kafka whose clock is 5 minutes behind: libc tells its JVM so.
func TestDoctorNamesClockOfKafka(t *testing.T) {
	s, _ := odd(t, func(ctx context.Context, dir string) (*brokers.Kafka, error) {
		env, err := brokers.SkewEnv(t.TempDir(), -5*time.Minute)
		if err != nil {
			return nil, err
		}
		return brokers.StartOddKafka(ctx, dir, brokers.Oddity{Env: env})
	}, nil)
	s.names(s.toStream(quiet), "kafka.clock", "warning", "timedatectl set-ntp true")
}

// A stream with one replica in a cluster is told of, and how it gets three.
func TestDoctorNamesOneReplica(t *testing.T) {
	s, _ := odd(t, nil, func(ctx context.Context, dir string) (*brokers.NATS, error) {
		servers, err := brokers.StartNATSCluster(ctx, dir, 3)
		if err != nil {
			return nil, err
		}
		for _, other := range servers[1:] {
			t.Cleanup(func() { _ = other.Process.Kill() })
		}
		return servers[0], nil
	})
	s.names(s.toStream(quiet), "jetstream.settings", "warning", "stream edit ODD --replicas=3 --force")
	_, err := s.js().UpdateStream(s.ctx, jetstream.StreamConfig{Name: "ODD", Subjects: []string{"odd.>"}, Replicas: 3, AllowBatchPublish: true})
	s.must(err)
	for { // the new replicas catch up
		bad, code := s.doctor(s.toStream(quiet))
		if len(bad) == 0 && code == 0 {
			return
		}
		if s.ctx.Err() != nil {
			t.Fatalf("%d, %+v", code, bad)
		}
	}
}
