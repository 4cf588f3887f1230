//go:build integration

package acceptance

import (
	"context"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/sluice-bridge/sluice/integration/daemon"
	"github.com/sluice-bridge/sluice/integration/truth"
)

// Each configuration of the README runs as it stands there, with only the brokers' addresses replaced,
// moves messages on each of its routes, and gives doctor nothing to say.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(blocks) < 3 {
		t.Fatalf("the README has %d configurations, want at least 3", len(blocks))
	}
	s := newScene(t, 5*time.Minute)
	s.orders()
	s.others()
	for i, block := range blocks {
		s.must(s.topic.Write(s.ctx, s.load, int64(1000*(i+1)), int64(1000*(i+2)), 0))
		yaml := strings.NewReplacer(
			"localhost:9092", suite.pair.Kafka.Addr,
			"localhost:4222", strings.TrimPrefix(suite.pair.NATS.URL, "nats://"),
		).Replace(block[1])
		d := s.start(yaml)
		s.moves(d)
		if bad, _ := s.doctor(yaml + quiet); len(bad) > 0 {
			t.Errorf("doctor finds something in configuration %d: %+v", i+1, bad)
		}
		s.end(d)
	}
}

// others makes what the README's longer configurations presuppose beside orders.
func (s *scene) others() {
	s.Helper()
	for _, name := range []string{"telemetry", "events"} {
		topic := truth.Topic{Addr: s.topic.Addr, Name: name}
		s.must(topic.Create(s.ctx, 4, nil))
		s.Cleanup(func() { _ = topic.Delete(context.WithoutCancel(s.ctx)) })
	}
	for name, subject := range map[string]string{"TELEMETRY": "telemetry.>", "DEAD": "dead.>"} {
		stream := truth.Stream{URL: s.stream.URL, Name: name}
		s.must(stream.Create(s.ctx, nil, subject))
		s.Cleanup(func() { _ = stream.Delete(context.WithoutCancel(s.ctx)) })
		if name == "TELEMETRY" {
			load := &truth.Load{Run: "telemetry", Size: 100, Subjects: 4, Plain: true}
			s.must(stream.Write(s.ctx, load, "telemetry", 0, 1000, 0))
		}
	}
}

// moves waits until every route has committed something. A core NATS source gets a request, whose answer
// says that Kafka has it.
func (s *scene) moves(d *daemon.Daemon) {
	s.Helper()
	for {
		all, err := d.Routes(s.ctx)
		moved := 0
		for _, r := range all {
			if r.Route == "events" && r.State != "disconnected" && r.Counts.Committed == 0 {
				s.must(s.request("events.one"))
			}
			if r.Counts.Committed > 0 {
				moved++
			}
		}
		if err == nil && moved == len(all) {
			return
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-s.ctx.Done():
			s.Fatalf("not every route has moved messages: %+v (%v)", all, err)
		case <-d.Exited():
			s.Fatalf("sluice has ended with %d", d.ExitCode())
		}
	}
}

func (s *scene) request(subject string) error {
	nc, err := nats.Connect(s.stream.URL)
	if err != nil {
		return err
	}
	defer nc.Close()
	_, err = nc.RequestWithContext(s.ctx, subject, []byte("hello"))
	return err
}
