//go:build integration

package acceptance

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/sluice-bridge/sluice/integration/truth"
)

// letters runs a command about dead letters with a configuration and wants its exit code.
func (s *scene) letters(want int, yaml string, args ...string) string {
	s.Helper()
	file := filepath.Join(s.TempDir(), "letters.yaml")
	s.must(os.WriteFile(file, []byte(yaml), 0o600))
	cmd := exec.CommandContext(s.ctx, suite.sluice.Path, append(append([]string{"dead-letters"}, args...), "-c", file)...)
	text, _ := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); code != want {
		s.Fatalf("%v: exit code %d, want %d\n%s", args, code, want, text)
	}
	return string(text)
}

func (s *scene) says(text string, words ...string) {
	s.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			s.Errorf("no %q in\n%s", w, text)
		}
	}
}

// ofStream is everything of a stream's messages, by their origin; the subject without its first token.
func (s *scene) ofStream(name string) map[string]string {
	s.Helper()
	all := map[string]string{}
	s.must(truth.Stream{URL: s.stream.URL, Name: name}.Read(s.ctx, func(m jetstream.Msg, _ *jetstream.MsgMetadata) {
		_, subject, _ := strings.Cut(m.Subject(), ".")
		origin := m.Headers().Get("Sluice-Origin")
		if all[origin] != "" {
			s.Errorf("%s is twice in %s", origin, name)
		}
		all[origin] = fmt.Sprintf("%s %v %q", subject, m.Headers(), m.Data())
	}))
	return all
}

// ofTopic is the same of a topic.
func (s *scene) ofTopic(name string) map[string]string {
	s.Helper()
	all := map[string]string{}
	s.must(truth.Topic{Addr: s.topic.Addr, Name: name}.Read(s.ctx, func(m *truth.Message, partition int32, _ int64) {
		at := slices.IndexFunc(m.Headers, func(h truth.Header) bool { return h.Name == "Sluice-Origin" })
		if at != len(m.Headers)-1 {
			s.Fatalf("Sluice-Origin does not stand last in %v", m.Headers)
		}
		origin := string(m.Headers[at].Value)
		if all[origin] != "" {
			s.Errorf("%s is twice in %s", origin, name)
		}
		all[origin] = fmt.Sprintf("%d %v %#v %#v %#v", partition, m.Time.UnixMilli(), m.Key, m.Value, m.Headers)
	}))
	return all
}

// same wants what was redriven to be what a delivery without a refusal writes, byte for byte.
func (s *scene) same(want, got map[string]string) {
	s.Helper()
	if len(want) != len(got) {
		s.Errorf("%d messages, want %d", len(got), len(want))
	}
	wrong := 0
	for origin, w := range want {
		if got[origin] != w {
			if wrong++; wrong < 4 {
				s.Errorf("%s is\n%.300s, want\n%.300s", origin, got[origin], w)
			}
		}
	}
}

// What a stream refuses goes to a topic of dead letters; once the stream is mended they are redriven and
// are what they would have been, and a reference stream shows that.
func TestRedriveToStream(t *testing.T) {
	s := newScene(t, 5*time.Minute)
	s.create(func(c *jetstream.StreamConfig) { c.MaxMsgSize = 600 })
	reference := truth.Stream{URL: s.stream.URL, Name: s.stream.Name + "-REF"}
	s.must(reference.Create(s.ctx, nil, "ref-"+s.name+".>"))
	dead := truth.Topic{Addr: s.topic.Addr, Name: s.topic.Name + "-dead"}
	s.must(dead.Create(s.ctx, 3, nil))
	s.Cleanup(func() {
		_ = reference.Delete(context.WithoutCancel(s.ctx))
		_ = dead.Delete(context.WithoutCancel(s.ctx))
	})
	n := messages(20_000, 2_000)
	s.load.Size = 1024 // refused, but for the empty ones
	s.must(s.topic.Write(s.ctx, s.load, 0, n, 0))
	s.load.Size = 50
	s.must(s.topic.Write(s.ctx, s.load, n, 2*n, 0))
	config := s.toStream(fmt.Sprintf(`    dead_letter: {sink: {kafka: {brokers: ["%[1]s"], topic: "%[2]s"}}, map: {key: "{{ offset }}"}}
    on_reject: dead_letter
  ref:
    source: {kafka: {brokers: ["%[1]s"], topics: "%[3]s"}}
    map: {subject: "ref-%[4]s.{{ partition }}"}
    sink: {jetstream: {servers: ["%[5]s"], stream: "%[6]s"}}
`, s.topic.Addr, dead.Name, s.topic.Name, s.name, s.stream.URL, reference.Name))
	d := s.start(config)
	s.arrive("the reference", reference.Count, 2*n, time.Minute)
	refused := int64(0)
	s.arrive("both", func(ctx context.Context) (int64, error) {
		stored, err := s.stream.Count(ctx)
		if err != nil {
			return 0, err
		}
		refused, _, err = dead.Count(ctx)
		return stored + refused, err
	}, 2*n, time.Minute)
	s.end(d)
	if refused < n/2 {
		t.Fatalf("only %d of %d were refused", refused, n)
	}
	s.says(s.letters(0, config, "list", s.name), fmt.Sprintf("%d dead letters of %s", refused, s.name), "max_msg_size of stream", dead.Name+"/0@")
	s.says(s.letters(0, config, "redrive", s.name), fmt.Sprintf("would redrive %d dead letters", refused), "nothing was written")
	s.must(s.stream.Update(s.ctx, func(c *jetstream.StreamConfig) { c.MaxMsgSize = -1 }))
	s.says(s.letters(0, config, "redrive", s.name, "--yes", "--limit", "100"), "redriven: 100 dead letters")
	begin := time.Now()
	s.says(s.letters(0, config, "redrive", s.name, "--yes"), fmt.Sprintf("redriven: %d dead letters", refused-100))
	took := time.Since(begin)
	s.says(s.letters(0, config, "redrive", s.name, "--yes"), "redriven: 0 dead letters")
	s.same(s.ofStream(reference.Name), s.ofStream(s.stream.Name))
	row("redrive to a stream: %d dead letters, all but 100 of them in %v; byte for byte what a delivery writes", refused, took.Round(10*time.Millisecond))
}

// The other way, with a stream of dead letters whose subjects a template makes.
func TestRedriveToTopic(t *testing.T) {
	s := newScene(t, 5*time.Minute)
	s.create(nil)
	reference := truth.Topic{Addr: s.topic.Addr, Name: s.topic.Name + "-ref"}
	s.must(reference.Create(s.ctx, 4, nil))
	dead := truth.Stream{URL: s.stream.URL, Name: s.stream.Name + "-DEAD"}
	s.must(dead.Create(s.ctx, nil, "dead-"+s.name+".>"))
	s.Cleanup(func() {
		_ = reference.Delete(context.WithoutCancel(s.ctx))
		_ = dead.Delete(context.WithoutCancel(s.ctx))
	})
	n := messages(20_000, 2_000)
	s.load.Size = 2000
	s.must(s.stream.Write(s.ctx, s.load, s.name, 0, n, 0))
	s.load.Size = 50
	s.must(s.stream.Write(s.ctx, s.load, s.name, n, 2*n, 0))
	config := func(most string) string {
		return fmt.Sprintf(`
connections: {n: {nats: {servers: ["%[1]s"]}}, k: {kafka: {brokers: ["%[2]s"]}}}
routes:
  %[3]s:
    source: {jetstream: {stream: "%[4]s"}}
    sink: {kafka: {topic: "%[5]s", max_message: %[6]s}}
    dead_letter: {sink: {jetstream: {stream: "%[7]s"}}, map: {subject: "dead-%[3]s.{{ subject }}"}}
    on_reject: dead_letter
  ref:
    source: {jetstream: {stream: "%[4]s"}}
    sink: {kafka: {topic: "%[8]s"}}
`, s.stream.URL, s.topic.Addr, s.name, s.stream.Name, s.topic.Name, most, dead.Name, reference.Name)
	}
	d := s.start(config("1KiB"))
	s.arrive("the reference", func(ctx context.Context) (int64, error) {
		have, _, err := reference.Count(ctx)
		return have, err
	}, 2*n, time.Minute)
	refused := int64(0)
	s.arrive("both", func(ctx context.Context) (int64, error) {
		stored, err := s.topicCount(ctx)
		if err != nil {
			return 0, err
		}
		refused, err = dead.Count(ctx)
		return stored + refused, err
	}, 2*n, time.Minute)
	s.end(d)
	if refused < n/2 {
		t.Fatalf("only %d of %d were refused", refused, n)
	}
	// Still refused: they are letters anew, three times, and then stay.
	for range 3 {
		s.says(s.letters(1, config("1KiB"), "redrive", s.name, "--yes", "--limit", "5"), "redriven: 0 dead letters", "dead letters anew: 5")
	}
	s.says(s.letters(0, config("1MiB"), "redrive", s.name), fmt.Sprintf("would redrive %d dead letters", refused))
	s.says(s.letters(0, config("1MiB"), "redrive", s.name, "--yes"), fmt.Sprintf("redriven: %d dead letters", refused))
	s.same(s.ofTopic(reference.Name), s.ofTopic(s.topic.Name))
	row("redrive to a topic: %d dead letters, byte for byte what a delivery writes", refused)
}
