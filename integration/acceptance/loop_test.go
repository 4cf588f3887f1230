//go:build integration

package acceptance

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/sluice-bridge/sluice/integration/daemon"
	"github.com/sluice-bridge/sluice/integration/truth"
)

// A two-way bridge with load on both ends: each message arrives exactly once on the other side, and
// nothing circulates.
func TestTwoWay(t *testing.T) {
	s := newScene(t, 5*time.Minute)
	s.create(nil)
	n := messages(200_000, 20_000)
	here, there := *s.load, *s.load
	here.Run, there.Run = s.name+"-topic", s.name+"-stream"
	wait := s.background(func(ctx context.Context) error { return s.topic.Write(ctx, &here, 0, n, 20_000) })
	also := s.background(func(ctx context.Context) error { return s.stream.Write(ctx, &there, s.name, 0, n, 20_000) })
	d := s.start(fmt.Sprintf(`
connections:
  k: {kafka: {brokers: ["%[2]s"]}}
  n: {nats: {servers: ["%[4]s"]}}
routes:
  %[1]s-there:
    source: {kafka: {topics: "%[3]s"}}
    map: {subject: "%[1]s.{{ partition }}"}
    sink: {jetstream: {stream: "%[5]s"}}
  %[1]s-back:
    source: {jetstream: {stream: "%[5]s"}}
    sink: {kafka: {topic: "%[3]s"}}
`, s.name, s.topic.Addr, s.topic.Name, s.stream.URL, s.stream.Name))
	wait()
	also()
	s.inStream(2*n, time.Minute)
	s.inTopic(2*n, time.Minute)
	settled := func() bool {
		all, err := d.Routes(s.ctx)
		s.must(err)
		for _, r := range all {
			if r.Counts.Returned != n || r.Counts.Committed != 2*n || r.Counts.Dropped != 0 {
				return false
			}
		}
		return true
	}
	for deadline := time.Now().Add(time.Minute); !settled(); s.sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			all, err := d.Routes(s.ctx)
			t.Fatalf("the routes do not settle with %d returned each: %+v, %v", n, all, err)
		}
	}
	s.sleep(2 * time.Second) // anything that circulates would have come by
	if inTopic, err := s.topicCount(s.ctx); err != nil || inTopic != 2*n {
		t.Errorf("the topic has %d messages, want %d (%v)", inTopic, 2*n, err)
	}
	if inStream, err := s.stream.Count(s.ctx); err != nil || inStream != 2*n {
		t.Errorf("the stream has %d messages, want %d (%v)", inStream, 2*n, err)
	}
	d.Until(s.ctx, t, "idle", func(r *daemon.Route) bool { return r.State == "idle" && r.Window.Messages == 0 })
	s.end(d)
	s.load = &here
	toStream := s.compare(own(s.topic.Log), own(s.stream.Log), truth.Key, truth.Value, truth.Exact, truth.Time)
	s.clean(toStream)
	s.load = &there
	toTopic := s.compare(own(s.stream.Log), own(s.topic.Log), truth.Key, truth.Value, truth.Grouped, truth.Time)
	s.clean(toTopic)
	row("two-way bridge, %d messages from either end at once: there %v; back %v", n, toStream, toTopic)
}

// own leaves the messages of other runs out of a log.
func own(log func(context.Context, string) ([]truth.Entry, error)) func(context.Context, string) ([]truth.Entry, error) {
	return func(ctx context.Context, run string) ([]truth.Entry, error) {
		all, err := log(ctx, run)
		return slices.DeleteFunc(all, func(e truth.Entry) bool { return e.ID < 0 }), err
	}
}
