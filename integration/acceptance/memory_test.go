//go:build integration

package acceptance

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/sluice-bridge/sluice/integration/daemon"
	"github.com/sluice-bridge/sluice/integration/proxy"
	"github.com/sluice-bridge/sluice/integration/truth"
)

// A sink that is dead from the start: a route that begins for the first time waits to know what the sink
// holds. One that goes on, in front of 256 MiB of values of 64 KiB, waits within the memory it named. Both do
// almost no work and say what is wrong.
func TestDeadSink(t *testing.T) {
	both(t, func(s *scene, way *direction) {
		s.load.Size = 64 << 10
		const first, n = 16, 16 + 4096
		p := s.dead(way)
		s.must(way.fill(s, s.ctx, 0, first, 0))
		d := s.start(way.config(s))
		d.Until(s.ctx, s.T, "waiting to know what the sink holds", func(r *daemon.Route) bool {
			return r.State == "disconnected" && !r.SinkConnected && strings.Contains(r.Detail, "what the sink holds")
		})
		p.Refuse(false)
		s.arrive("the sink", way.arrived(s), first, time.Minute)
		s.end(d)
		p.Refuse(true)
		s.must(way.fill(s, s.ctx, first, n, 0))
		d = s.start(way.config(s))
		status := d.Until(s.ctx, s.T, "waiting for the sink", func(r *daemon.Route) bool {
			return (r.State == "stalled" || r.State == "limited") && !r.SinkConnected && r.Window.Messages > 0
		})
		before, err := d.CPU()
		s.must(err)
		watched := seconds(60, 10)
		s.sleep(watched)
		after, err := d.CPU()
		s.must(err)
		if busy := float64(after-before) / float64(watched); busy > 0.05 {
			s.Errorf("%.1f %% CPU while the sink is dead", 100*busy)
		}
		if code, body, err := d.Get(s.ctx, "/livez"); err != nil || code != 200 {
			s.Errorf("/livez: %d %s %v", code, body, err)
		}
		if code, body, err := d.Get(s.ctx, "/readyz"); err != nil || code != 503 {
			s.Errorf("/readyz: %d %s %v", code, body, err)
		}
		_, peak, err := d.Resident()
		s.must(err)
		if limit := printedLimit(s.T, status.Memory); peak > limit {
			s.Errorf("resident %d MiB with a dead sink; the line says %s", peak>>20, status.Memory)
		}
		if status.Blocker != "sink.disconnected" {
			s.Errorf("blocker %s, want sink.disconnected", status.Blocker)
		}
		p.Refuse(false)
		s.arrive("the sink", way.arrived(s), n, time.Minute)
		_, peak, err = d.Resident()
		s.must(err)
		if limit := printedLimit(s.T, status.Memory); peak > limit {
			s.Errorf("resident %d MiB after the sink came; the line says %s", peak>>20, status.Memory)
		}
		s.end(d)
		r := way.compare(s)
		s.clean(r)
		row("%s, dead sink, %d x 64 KiB: peak %d MiB (%s): %v", way.name, n, peak>>20, status.Memory, r)
	})
}

// dead puts a proxy that refuses every connection before the sink of the direction.
func (s *scene) dead(way *direction) *proxy.Proxy {
	s.Helper()
	listen, target := "127.0.0.1:0", suite.pair.NATS.URL[len("nats://"):]
	if way == &directions[1] {
		if len(suite.pair.Kafka.Proxied) == 0 {
			s.Skip("a Kafka from the environment has no listener for a proxy")
		}
		listen, target = suite.pair.Kafka.Proxied[0].Listen, suite.pair.Kafka.Proxied[0].Target
	}
	p, err := proxy.New(listen, target)
	s.must(err)
	s.Cleanup(func() { _ = p.Close() })
	p.Refuse(true)
	direct := *way
	way.config = func(s *scene) string {
		was := *s
		defer func() { s.topic, s.stream = was.topic, was.stream }()
		if direct.name == directions[1].name {
			s.topic.Addr = p.Addr
		} else {
			s.stream.URL = "nats://" + p.Addr
		}
		return direct.config(s)
	}
	s.Cleanup(func() { way.config = direct.config })
	return p
}

// One partition whose messages have no place in the stream, beside eleven that flow: they never stop,
// memory holds, and when there is a place the twelfth goes on.
func TestOnePartitionRefused(t *testing.T) {
	s := newScene(t, 10*time.Minute)
	const partitions, refused = 12, 11
	perPartition := messages(100_000, 20_000)
	s.must(s.topic.Create(s.ctx, partitions, nil))
	s.Cleanup(func() { _ = s.topic.Delete(context.WithoutCancel(s.ctx)) })
	var subjects []string
	for i := range partitions {
		if i != refused {
			subjects = append(subjects, fmt.Sprintf("%s.%d", s.name, i))
		}
	}
	s.must(s.stream.Create(s.ctx, nil, subjects...))
	s.Cleanup(func() { _ = s.stream.Delete(context.WithoutCancel(s.ctx)) })
	var id int64
	for p := range int32(partitions) {
		for left := perPartition; left > 0; {
			batch := make([]truth.Message, min(left, 5000))
			for i := range batch {
				batch[i] = s.load.Message(id)
				id++
			}
			left -= int64(len(batch))
			s.must(s.topic.WriteMessages(s.ctx, p, batch...))
		}
	}
	d := s.start(s.toStream("    retry: {max: 1s}\n"))
	s.inStream((partitions-1)*perPartition, time.Minute)
	status, err := d.Status(s.ctx)
	s.must(err)
	if len(status.InFlight) != 1 || status.InFlight[0].Partition != fmt.Sprintf("%s/%d", s.topic.Name, refused) || status.InFlight[0].Error == "" {
		t.Errorf("in flight %+v, want the refused partition with its error", status.InFlight)
	}
	_, peak, err := d.Resident()
	s.must(err)
	if limit := printedLimit(t, status.Memory); peak > limit {
		t.Errorf("resident %d MiB; the line says %s", peak>>20, status.Memory)
	}
	s.must(s.stream.Update(s.ctx, func(c *jetstream.StreamConfig) { c.Subjects = []string{s.name + ".>"} }))
	s.inStream(partitions*perPartition, time.Minute)
	s.end(d)
	r := s.compareToStream()
	s.clean(r)
	row("Kafka -> JetStream, one of %d partitions refused: peak %d MiB: %v", partitions, peak>>20, r)
}
