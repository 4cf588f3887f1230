//go:build integration

package acceptance

import (
	"context"
	"testing"
	"time"

	"github.com/sluice-bridge/sluice/integration/brokers"
	"github.com/sluice-bridge/sluice/integration/daemon"
	"github.com/sluice-bridge/sluice/integration/truth"
)

const window = 8192 // messages, the default

// direction is one way across, for tests that run both.
type direction struct {
	name    string
	config  func(*scene) string
	fill    func(s *scene, ctx context.Context, from, to int64, perSecond int) error
	arrived func(*scene) func(context.Context) (int64, error)
	compare func(*scene) *truth.Report
}

var directions = []direction{
	{
		"Kafka -> JetStream",
		func(s *scene) string { return s.toStream("") },
		func(s *scene, ctx context.Context, from, to int64, perSecond int) error {
			return s.topic.Write(ctx, s.load, from, to, perSecond)
		},
		func(s *scene) func(context.Context) (int64, error) { return s.stream.Count },
		(*scene).compareToStream,
	},
	{
		"JetStream -> Kafka",
		func(s *scene) string { return s.toTopic("", "") },
		func(s *scene, ctx context.Context, from, to int64, perSecond int) error {
			return s.stream.Write(ctx, s.load, s.name, from, to, perSecond)
		},
		func(s *scene) func(context.Context) (int64, error) { return s.topicCount },
		(*scene).compareToTopic,
	},
}

// both runs test in each direction, with the brokers' files created and the load chosen.
func both(t *testing.T, test func(s *scene, way *direction)) {
	for i := range directions {
		way := &directions[i]
		t.Run([]string{"k2j", "j2k"}[i], func(t *testing.T) {
			s := newScene(t, 20*time.Minute)
			s.load.Plain = i == 1
			s.create(nil)
			test(s, way)
		})
	}
}

// process of a broker, as far as these tests need it.
type broker struct {
	name    string
	process func() *brokers.Process
	restart func(context.Context) error
}

func theBrokers() []broker {
	return []broker{
		{"nats-server", func() *brokers.Process { return suite.pair.NATS.Process }, suite.pair.NATS.Restart},
		{"kafka", func() *brokers.Process { return suite.pair.Kafka.Process }, suite.pair.Kafka.Restart},
	}
}

// Either broker is killed under load and comes back: the daemon goes on by itself.
func TestBrokerKilled(t *testing.T) {
	suite.pair.NeedControl(t)
	away := seconds(20, 4)
	for _, b := range theBrokers() {
		t.Run(b.name, func(t *testing.T) {
			both(t, func(s *scene, way *direction) {
				n := messages(600_000, 60_000)
				s.must(way.fill(s, s.ctx, 0, n, 0))
				d := s.start(way.config(s))
				s.arrive("the sink", way.arrived(s), n/10, time.Minute)
				s.must(b.process().Kill())
				s.sleep(away)
				s.must(b.restart(s.ctx))
				s.arrive("the sink", way.arrived(s), n, 90*time.Second)
				d.Until(s.ctx, s.T, "everything committed", func(r *daemon.Route) bool { return r.Window.Messages == 0 && r.Lag == 0 })
				s.end(d)
				r := way.compare(s)
				s.whole(r, 2*window)
				row("%s, %s SIGKILL, back after %v: %v", way.name, b.name, away, r)
			})
		})
	}
}

// The daemon is killed at full speed and started again, several times.
func TestDaemonKilled(t *testing.T) {
	const kills = 3
	both(t, func(s *scene, way *direction) {
		n := messages(600_000, 60_000)
		s.must(way.fill(s, s.ctx, 0, n, 0))
		d := s.start(way.config(s))
		for i := range int64(kills) {
			s.arrive("the sink", way.arrived(s), n*(i+1)/5, time.Minute)
			s.must(d.Kill())
			d.Again(s.T)
		}
		s.arrive("the sink", way.arrived(s), n, time.Minute)
		d.Until(s.ctx, s.T, "everything committed", func(r *daemon.Route) bool { return r.Window.Messages == 0 && r.LagKnown && r.Lag == 0 })
		s.end(d)
		r := way.compare(s)
		s.whole(r, kills*2*window)
		row("%s, daemon SIGKILL x %d: %v", way.name, kills, r)
	})
}

// A second member joins and leaves the group under load: nothing is lost, and no partition's committed
// offset ever goes back.
func TestMembersComeAndGo(t *testing.T) {
	s := newScene(t, 15*time.Minute)
	s.create(nil)
	n := messages(400_000, 60_000)
	first := s.start(s.toStream(""))
	first.Until(s.ctx, t, "connected", func(r *daemon.Route) bool { return r.SourceConnected && r.SinkConnected })
	loaded := s.background(func(ctx context.Context) error { return s.topic.Write(ctx, s.load, 0, n, int(n/30)) })
	backwards := s.background(func(ctx context.Context) error { return s.watchCommits(ctx, "sluice-"+s.name, n) })
	for range 5 {
		second := s.start(s.toStream(""))
		second.Until(s.ctx, t, "at work", func(r *daemon.Route) bool { return r.Counts.Acknowledged > 0 })
		s.end(second)
	}
	s.daemon = first
	loaded()
	s.inStream(n, time.Minute)
	backwards()
	s.end(first)
	r := s.compareToStream()
	s.whole(r, 5*2*window)
	row("Kafka -> JetStream, a second daemon joins and leaves x 5: %v", r)
}

// watchCommits returns when n messages are committed, with an error if an offset went back.
func (s *scene) watchCommits(ctx context.Context, group string, n int64) error {
	high := map[int32]int64{}
	for {
		now, err := s.topic.Committed(ctx, group)
		if err == nil {
			var sum int64
			for p, at := range now {
				if at < high[p] {
					s.Errorf("partition %d: committed offset went back from %d to %d", p, high[p], at)
				}
				high[p] = at
				sum += at
			}
			if sum >= n {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}
