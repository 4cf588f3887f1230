//go:build integration

package acceptance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// convert converts a connector of nats-kafka, asks the brokers how far that has got, and returns the configuration and
// the report.
func (s *scene) convert(connector string) (yaml, report string) {
	s.Helper()
	dir := s.TempDir()
	old, into := filepath.Join(dir, "old.conf"), filepath.Join(dir, "sluice.yaml")
	text := fmt.Sprintf("nats { servers: [%q] }\nconnect [ { id: %q, brokers: [%q], topic: %q, %s } ]", s.stream.URL, s.name, s.topic.Addr, s.topic.Name, connector)
	s.must(os.WriteFile(old, []byte(text), 0o600))
	told, err := exec.CommandContext(s.ctx, suite.sluice.Path, "convert", "-f", "nats-kafka", old, "-o", into, "--resume-from", s.stream.URL).CombinedOutput()
	if err != nil {
		s.Fatalf("%v: %s", err, told)
	}
	made, err := os.ReadFile(into)
	s.must(err)
	return string(made), string(told)
}

const moved = 10_000

// What becomes of the configuration of nats-kafka moves a topic whole, and goes on after what it knows.
func TestConvertedToStream(t *testing.T) {
	s := newScene(t, 5*time.Minute)
	s.create(nil)
	s.must(s.topic.Write(s.ctx, s.load, 0, moved, 0))
	connector := fmt.Sprintf(`type: KafkaToJetStream, groupid: "theirs-%s", subject: "%s.{{ .Partition }}"`, s.name, s.name)
	yaml, report := s.convert(connector)
	if !strings.Contains(report, "has no message of") {
		t.Errorf("a stream without a message tells how far nats-kafka has got:\n%s", report)
	}
	d := s.start(yaml)
	s.inStream(moved, time.Minute)
	s.end(d)
	s.clean(s.compareToStream())
	row("converted from nats-kafka, Kafka -> JetStream, %d messages: %v", moved, s.compareToStream())

	if _, report := s.convert(connector); !strings.Contains(report, "the group has offsets, and the route goes on there") {
		t.Errorf("the group's offsets are not seen:\n%s", report)
	}
}

// What becomes of one that reads a stream begins behind what the durable of nats-kafka has acknowledged.
func TestConvertedToTopic(t *testing.T) {
	s := newScene(t, 5*time.Minute)
	s.create(nil)
	s.must(s.stream.Write(s.ctx, s.load, s.name, 0, moved, 0))
	conn, err := nats.Connect(s.stream.URL)
	s.must(err)
	defer conn.Close()
	js, err := conn.JetStream()
	s.must(err)
	theirs, err := js.SubscribeSync(s.name+".>", nats.Durable("theirs"), nats.AckExplicit())
	s.must(err)
	const acknowledged = 100
	for range acknowledged {
		m, err := theirs.NextMsgWithContext(s.ctx)
		s.must(err)
		s.must(m.AckSync(nats.Context(s.ctx)))
	}
	yaml, report := s.convert(fmt.Sprintf(`type: JetStreamToKafka, durablename: "theirs", keytype: "subject", subject: "%s.>"`, s.name))
	if want := fmt.Sprintf("begins at %d", acknowledged+1); !strings.Contains(report, want) {
		t.Errorf("want %q in:\n%s", want, report)
	}
	d := s.start(yaml)
	s.inTopic(moved-acknowledged, time.Minute)
	s.end(d)
	r := s.compareToTopic()
	if r.Lost != acknowledged || r.Doubled != 0 {
		t.Errorf("%v, want the %d that nats-kafka had acknowledged to be missing, and nothing else", r, acknowledged)
	}
	row("converted from nats-kafka, JetStream -> Kafka, %d messages, %d of them acknowledged before: %v", moved, acknowledged, r)
}
