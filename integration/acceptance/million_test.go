//go:build integration

package acceptance

import (
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/sluice-bridge/sluice/integration/daemon"
)

const terminate = syscall.SIGTERM

// A million messages arrive as they were, in both forms of the JetStream sink; and catching up at full
// speed is called limited or flowing, never stalled, in a handful of log lines.
func TestKafkaToJetStream(t *testing.T) {
	forms := map[string]func(*jetstream.StreamConfig){
		"pipelined": nil,
		"fast":      func(c *jetstream.StreamConfig) { c.AllowBatchPublish = true },
	}
	for form, change := range forms {
		t.Run(form, func(t *testing.T) {
			s := newScene(t, 30*time.Minute)
			n := messages(1_000_000, 20_000)
			s.create(change)
			s.must(s.topic.Write(s.ctx, s.load, 0, n, 0))
			begin := time.Now()
			d := s.start(s.toStream(""))
			w := d.Watch(s.ctx)
			s.inStream(n, time.Minute)
			took := time.Since(begin)
			w.Stop()
			_, peak, err := d.Resident()
			s.must(err)
			cpu, err := d.CPU()
			s.must(err)
			lines, err := d.Lines()
			s.must(err)
			s.end(d)
			r := s.compareToStream()
			s.clean(r)
			row("Kafka -> JetStream, %s: %d messages in %.1f s from start (%.0f/s), %.1f us CPU a message, peak %d MiB: %v",
				form, n, took.Seconds(), float64(n)/took.Seconds(), float64(cpu.Microseconds())/float64(n), peak>>20, r)
			if w.States["stalled"] > 0 {
				t.Errorf("states while catching up: %v", w.States)
			}
			if said := since(lines, "joined the group"); len(said) > 5 {
				t.Errorf("%d log lines for a catch-up: %v", len(said), said)
			}
		})
	}
}

// since returns the lines after the first with the message.
func since(lines []daemon.Line, message string) []daemon.Line {
	for i, l := range lines {
		if l.Message() == message {
			return lines[i+1:]
		}
	}
	return lines
}

// The same the other way: from a stream of 64 subjects into 4 partitions by the subject's hash.
func TestJetStreamToKafka(t *testing.T) {
	s := newScene(t, 30*time.Minute)
	s.load.Plain = true
	n := messages(1_000_000, 20_000)
	s.create(nil)
	s.must(s.stream.Write(s.ctx, s.load, s.name, 0, n, 0))
	begin := time.Now()
	d := s.start(s.toTopic("", ""))
	s.inTopic(n, time.Minute)
	took := time.Since(begin)
	_, peak, err := d.Resident()
	s.must(err)
	cpu, err := d.CPU()
	s.must(err)
	s.end(d)
	r := s.compareToTopic()
	s.clean(r)
	row("JetStream -> Kafka: %d messages in %.1f s from start (%.0f/s), %.1f us CPU a message, peak %d MiB: %v",
		n, took.Seconds(), float64(n)/took.Seconds(), float64(cpu.Microseconds())/float64(n), peak>>20, r)
}
