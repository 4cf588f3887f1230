//go:build integration

package acceptance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/twmb/franz-go/pkg/kgo"
)

// finding is a result of doctor, as far as tests look.
type finding struct{ Code, Level, About, Place, Text, Way string }

// doctor runs the command over a configuration and returns what has not passed, and the exit code.
func (s *scene) doctor(yaml string) (bad []finding, code int) {
	s.Helper()
	file := filepath.Join(s.TempDir(), "doctor.yaml")
	s.must(os.WriteFile(file, []byte(yaml), 0o600))
	c := exec.CommandContext(s.ctx, suite.sluice.Path, "doctor", "-c", file, "--json")
	out, err := c.Output()
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		code = ended.ExitCode()
	} else {
		s.must(err)
	}
	var answer struct {
		OK      bool
		Results []finding
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		s.Fatalf("%v in\n%s", err, out)
	}
	if answer.OK != (code == 0) || len(answer.Results) < 5 {
		s.Errorf("exit code %d, %d results, ok %v", code, len(answer.Results), answer.OK)
	}
	for _, f := range answer.Results {
		if f.Level == "failed" || f.Level == "warning" {
			bad = append(bad, f)
		}
	}
	return bad, code
}

// names wants doctor to report one thing, with the words of a way out, and nothing else.
func (s *scene) names(yaml, code, level string, way ...string) {
	s.Helper()
	bad, exit := s.doctor(yaml)
	if len(bad) != 1 || bad[0].Code != code || bad[0].Level != level || exit != map[string]int{"failed": 3}[level] {
		s.Fatalf("exit code %d, %d findings %+v; want %s %s alone", exit, len(bad), bad, level, code)
	}
	for _, word := range way {
		if !strings.Contains(bad[0].Way, word) {
			s.Errorf("the way out is %q, want it to hold %q", bad[0].Way, word)
		}
	}
	row("doctor %s: %s %s: %s → %s", s.name, bad[0].Level, bad[0].Code, bad[0].Text, bad[0].Way)
}

// quiet turns off what other tests on this machine disturb.
const quiet = "admin: {listen: \"off\"}\n"

func fast(c *jetstream.StreamConfig) { c.AllowBatchPublish = true }

// Where everything is right nothing is reported, while the daemon moves messages and is not disturbed.
func TestDoctorFindsNothing(t *testing.T) {
	s := newScene(t, 5*time.Minute)
	s.create(fast)
	s.must(s.topic.Write(s.ctx, s.load, 0, 1000, 0))
	yaml := s.toStream("")
	d := s.start(yaml)
	s.inStream(1000, time.Minute)
	yaml += fmt.Sprintf("admin: {listen: %q}\n", strings.TrimPrefix(d.Admin, "http://"))
	for range 3 {
		if bad, code := s.doctor(yaml); len(bad) > 0 || code != 0 {
			t.Fatalf("exit code %d, %+v", code, bad)
		}
	}
	s.must(s.topic.Write(s.ctx, s.load, 1000, 2000, 0))
	s.inStream(2000, time.Minute)
	joins := 0
	lines, err := d.Lines()
	s.must(err)
	for _, l := range lines {
		if l.Message() == "joined the group" {
			joins++
		}
	}
	if joins != 1 {
		t.Errorf("the daemon joined its group %d times: doctor has disturbed it", joins)
	}
	s.end(d)
	s.clean(s.compareToStream())
}

// The other direction: doctor takes no durable from who reads it.
func TestDoctorTakesNothing(t *testing.T) {
	s := newScene(t, 5*time.Minute)
	s.load.Plain = true
	s.create(fast)
	s.must(s.stream.Write(s.ctx, s.load, s.name, 0, 1000, 0))
	yaml := s.toTopic("", "")
	d := s.start(yaml)
	s.inTopic(1000, time.Minute)
	before, err := s.stream.Durable(s.ctx, "sluice-"+s.name)
	s.must(err)
	for range 3 {
		if bad, code := s.doctor(yaml + quiet); len(bad) > 0 || code != 0 {
			t.Fatalf("exit code %d, %+v", code, bad)
		}
	}
	after, err := s.stream.Durable(s.ctx, "sluice-"+s.name)
	s.must(err)
	if owner := before.Config.Metadata["sluice.owner"]; owner == "" || owner != after.Config.Metadata["sluice.owner"] {
		t.Errorf("the owner was %q and is %q", owner, after.Config.Metadata["sluice.owner"])
	}
	s.must(s.stream.Write(s.ctx, s.load, s.name, 1000, 2000, 0))
	s.inTopic(2000, time.Minute)
	s.end(d)
	s.clean(s.compareToTopic())
}

// read has another program read the scene's group, which doctor has to name.
func (s *scene) read(options ...kgo.Opt) {
	s.Helper()
	s.create(fast)
	client, err := kgo.NewClient(append(options, kgo.SeedBrokers(s.topic.Addr), kgo.ConsumerGroup("sluice-"+s.name), kgo.ConsumeTopics(s.topic.Name), kgo.ClientID("report"))...)
	s.must(err)
	s.Cleanup(client.Close)
	for g := int32(-1); g < 0; _, g = client.GroupMetadata() {
		polling, cancel := context.WithTimeout(s.ctx, 100*time.Millisecond)
		client.PollFetches(polling)
		cancel()
		s.must(s.ctx.Err())
	}
	s.names(s.toStream(quiet), "kafka.group", "warning", "group: sluice-"+s.name+"-2")
}

// What is wrong at the brokers of the suite is named, alone, with what to type.
func TestDoctorNames(t *testing.T) {
	cases := map[string]func(s *scene){
		"wrong advertised listener": func(s *scene) {
			if len(suite.pair.Kafka.Proxied) == 0 {
				s.Skip("a broker of the environment")
			}
			s.create(fast)
			there := *s
			there.topic.Addr = suite.pair.Kafka.Proxied[0].Target // whose clients are sent to a proxy, which there is not
			s.names(there.toStream(quiet), "kafka.advertised", "failed", "advertised.listeners=PLAINTEXT://"+there.topic.Addr)
		},
		"missing topic": func(s *scene) {
			s.createStream(fast)
			s.names(s.toStream(quiet), "kafka.topic", "failed", "kafka-topics.sh --bootstrap-server "+s.topic.Addr+" --create --topic "+s.name)
		},
		"missing stream": func(s *scene) {
			s.must(s.topic.Create(s.ctx, 1, nil))
			s.Cleanup(func() { _ = s.topic.Delete(context.WithoutCancel(s.ctx)) })
			s.names(s.toStream(quiet), "jetstream.stream", "failed", "stream add "+s.stream.Name+" --subjects='"+s.name+".*'")
		},
		"subject not captured": func(s *scene) {
			s.create(fast)
			yaml := strings.Replace(s.toStream(quiet), `map: {subject: "`, `map: {subject: "x.`, 1)
			s.names(yaml, "jetstream.subject", "failed", "stream edit "+s.stream.Name+" --subjects='"+s.name+".>,x."+s.name+".*'")
		},
		"large messages": func(s *scene) {
			s.must(s.topic.Create(s.ctx, 1, map[string]string{"max.message.bytes": "8388608"}))
			s.Cleanup(func() { _ = s.topic.Delete(context.WithoutCancel(s.ctx)) })
			s.createStream(fast)
			s.names(s.toStream(quiet), "route.size", "warning", "max_payload: 8392704", "kafka-configs.sh", "max.message.bytes=")
		},
		"small messages only": func(s *scene) { // the other direction
			s.must(s.topic.Create(s.ctx, 1, map[string]string{"max.message.bytes": "100000"}))
			s.Cleanup(func() { _ = s.topic.Delete(context.WithoutCancel(s.ctx)) })
			s.createStream(fast)
			s.names(s.toTopic("", quiet), "route.size", "warning", "max.message.bytes=", "max_payload: ")
		},
		"MaxAckPending below the window": func(s *scene) {
			s.create(fast)
			_, err := s.js().CreateConsumer(s.ctx, s.stream.Name, jetstream.ConsumerConfig{
				Durable: "sluice-" + s.name, AckPolicy: jetstream.AckAllPolicy, MaxAckPending: 100,
			})
			s.must(err)
			s.names(s.toTopic(", consumer: {create: false}", quiet), "jetstream.window", "warning", "consumer edit "+s.stream.Name+" sluice-"+s.name+" --max-pending=49152")
		},
		"a group that another reads":                  func(s *scene) { s.read() },
		"a group that another reads by the new rules": func(s *scene) { s.read(kgo.ServerSideBalancer()) },
		"wrong host name of Kafka": func(s *scene) {
			s.createStream(fast)
			s.topic.Addr = "kafka.invalid:9092"
			s.names(s.toStream(quiet), "kafka.dns", "failed", "getent hosts kafka.invalid")
		},
		"wrong host name of NATS": func(s *scene) {
			s.must(s.topic.Create(s.ctx, 1, nil))
			s.Cleanup(func() { _ = s.topic.Delete(context.WithoutCancel(s.ctx)) })
			s.stream.URL = "nats://nats.invalid:4222"
			s.names(s.toStream(quiet), "nats.dns", "failed", "getent hosts nats.invalid")
		},
	}
	for name, do := range cases {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) { do(newScene(t, 2*time.Minute)) })
	}
}
