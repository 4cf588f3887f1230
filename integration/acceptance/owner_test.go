//go:build integration

package acceptance

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sluice-bridge/sluice/integration/daemon"
)

// Two daemons on one durable by accident, in random overlaps with kills, freezes, soft ends and resets
// by a foreign tool: nothing is lost, and the one that stands by names the other.
func TestTwoOwners(t *testing.T) {
	s := newScene(t, 20*time.Minute)
	s.load.Plain = true
	s.create(nil)
	overlaps := int(messages(30, 5))
	perSecond := 2000
	n := int64(overlaps) * 60 * int64(perSecond) // more than is written before stop
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	loading, stop := context.WithCancel(s.ctx)
	defer stop()
	loaded := make(chan error, 1)
	go func() { loaded <- s.stream.Write(loading, s.load, s.name, 0, n, perSecond) }()
	config := s.toTopic(`, ack_wait: "30s"`, "")
	owner := s.start(config)
	owner.Until(s.ctx, t, "at work", func(r *daemon.Route) bool { return r.Counts.Acknowledged > 0 })
	named := 0
	for i := range overlaps {
		second := s.start(config)
		status := second.Until(s.ctx, t, "standing by", func(r *daemon.Route) bool { return r.State == "standby" && r.Owner != "" })
		named++
		if code, body, err := second.Get(s.ctx, "/readyz"); err != nil || code != 200 {
			t.Errorf("a daemon on standby answers /readyz with %d %q (%v)", code, body, err)
		}
		event := []string{"kill", "stop", "freeze", "reset"}[random.IntN(4)]
		t.Logf("overlap %d: owner %s, %s", i, status.Owner, event)
		switch event {
		case "kill":
			s.must(owner.Kill())
		case "stop":
			s.end(owner)
		case "freeze": // a zombie: it wakes beside its successor
			s.must(owner.Freeze())
			working(s, second)
			s.must(owner.Thaw())
			s.sleep(time.Second)
			s.must(owner.Kill())
		case "reset":
			for range 1 + random.IntN(3) {
				if err := s.stream.ResetDurable(s.ctx, "sluice-"+s.name); err != nil {
					t.Error(err)
				}
			}
			s.sleep(time.Duration(random.IntN(500)) * time.Millisecond)
			s.must(owner.Kill())
		}
		working(s, second)
		owner, s.daemon = second, second
	}
	stop()
	<-loaded
	total, err := s.stream.Count(s.ctx)
	s.must(err)
	s.inTopic(total, 2*time.Minute)
	owner.Until(s.ctx, t, "everything committed", func(r *daemon.Route) bool { return r.Window.Messages == 0 && r.LagKnown && r.Lag == 0 })
	s.end(owner)
	r := s.compareToTopic()
	s.Log(r)
	if r.Lost > 0 || r.Phantom > 0 || r.Altered > 0 || r.Reordered > 0 {
		t.Errorf("want nothing but doubled messages")
	}
	row("JetStream -> Kafka, two daemons on one durable, %d random overlaps (kill, stop, freeze, reset): %v", overlaps, r)
}

// working waits until a daemon that stood by has acknowledged messages.
func working(s *scene, d *daemon.Daemon) {
	s.Helper()
	before, err := d.Status(s.ctx)
	s.must(err)
	d.Until(s.ctx, s.T, "took over", func(r *daemon.Route) bool { return r.Counts.Acknowledged > before.Counts.Acknowledged+100 })
}

// A rolling update, the new one started and ready before the old one is told to end, pauses the flow
// for at most three seconds.
func TestRollingUpdate(t *testing.T) {
	s := newScene(t, 5*time.Minute)
	s.load.Plain = true
	s.create(nil)
	n := int64(20_000)
	config := s.toTopic("", "")
	old := s.start(config)
	loaded := s.background(func(ctx context.Context) error { return s.stream.Write(ctx, s.load, s.name, 0, n, 1000) })
	s.inTopic(2000, time.Minute)
	fresh := suite.sluice.Start(t, config)
	fresh.Until(s.ctx, t, "standing by", func(r *daemon.Route) bool { return r.State == "standby" })
	longest := make(chan time.Duration, 1)
	watching, stop := context.WithCancel(s.ctx)
	defer stop()
	go func() { longest <- longestPause(watching, s.topicCount) }()
	s.sleep(500 * time.Millisecond)
	s.end(old)
	working(s, fresh)
	s.sleep(500 * time.Millisecond)
	s.daemon = fresh
	stop()
	paused := <-longest
	loaded()
	s.inTopic(n, time.Minute)
	s.end(fresh)
	if paused > 10*time.Second {
		t.Errorf("the flow paused for %v", paused)
	}
	r := s.compareToTopic()
	s.clean(r)
	row("JetStream -> Kafka, rolling update: flow paused %v: %v", paused.Round(10*time.Millisecond), r)
}

// longestPause returns the longest time for which count did not grow until ctx ended.
func longestPause(ctx context.Context, count func(context.Context) (int64, error)) time.Duration {
	var have int64
	var longest time.Duration
	for grown := time.Now(); ; {
		if n, err := count(ctx); err == nil && n > have {
			longest = max(longest, time.Since(grown))
			have, grown = n, time.Now()
		}
		select {
		case <-ctx.Done():
			return max(longest, time.Since(grown))
		case <-time.After(20 * time.Millisecond):
		}
	}
}
