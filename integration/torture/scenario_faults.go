package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/sluice-bridge/sluice/integration/proxy"
)

// faultScenarios are those in which something breaks while messages flow.
func faultScenarios() []*scenario {
	ends := hits(500*time.Millisecond, times(6, daemonStrikes()[1])...)
	return []*scenario{
		{name: "killed-there", says: "SIGKILL with a full window, Kafka to JetStream", set: there(standing), act: killedFull},
		{name: "killed-back", says: "SIGKILL with a full window, JetStream to Kafka", set: back(standing), act: killedFull},
		{name: "ended-there", says: "SIGTERM under load doubles nothing", set: there(nil), act: ends},
		{name: "ended-back", says: "SIGTERM under load doubles nothing", set: back(nil), act: ends},
		{name: "unanswered-there", says: "requests and answers get lost on the way to JetStream, as fast-ingest batches", set: there(nil), act: unanswered},
		{name: "unanswered-single", says: "the same as single publishes", set: there(func(s *setting) { s.stream = batched(false) }), act: unanswered},
		{name: "unanswered-back", says: "requests and answers get lost on the way to Kafka", set: back(nil), act: unanswered},
		{name: "unheard-there", says: "the same on the way from Kafka", set: there(nil), act: unheard},
		{name: "unheard-back", says: "the same on the way from JetStream", set: back(nil), act: unheard},
		{name: "restarted-there", says: "both brokers are killed and come back", set: there(nil), act: restarted},
		{name: "restarted-back", says: "both brokers are killed and come back", set: back(nil), act: restarted},
		{name: "refused", says: "one key has no place in the stream, the daemon is killed meanwhile, then there is a place", set: there(func(s *setting) {
			s.keys, s.keyed, s.plain, s.subject = 8, true, true, "{{ key }}"
			s.size, s.stream = 100, placesFor(7)
		}), act: refused},
	}
}

// standing is a load that stands at the source before the daemon comes.
func standing(s *setting) { s.perSecond, s.plain = 0, true }

// killedFull kills a daemon that catches up, again and again.
func killedFull(ctx context.Context, t *trial, r *route) error {
	if err := r.fill(ctx, 150_000); err != nil {
		return err
	}
	if err := r.slots[0].start(); err != nil {
		return err
	}
	if err := r.arrives(ctx); err != nil {
		return err
	}
	return hits(100*time.Millisecond, times(8, killUnheard())...)(ctx, t, r)
}

// killUnheard kills a daemon of which the sink has not heard for a moment, and never hears what it wrote
// in it: what was committed by then is lost unless the sink had acknowledged it before.
func killUnheard() *strike {
	return &strike{name: killed, crashes: 1, do: func(ctx context.Context, r *route, _ *rand.Rand) (string, error) {
		for _, p := range r.far().proxies {
			p.Hold(proxy.ToServer)
		}
		_ = pause(ctx, 300*time.Millisecond)
		err := r.slots[0].kill()
		for _, p := range r.far().proxies {
			p.Reset()
			p.Open()
		}
		return "", errors.Join(err, r.slots[0].start())
	}}
}

// named picks strikes by the end of their names.
func named(all []*strike, names ...string) (some []*strike) {
	for _, name := range names {
		for _, s := range all {
			if strings.HasSuffix(s.name, name) {
				some = append(some, s)
			}
		}
	}
	return some
}

func unanswered(ctx context.Context, t *trial, r *route) error {
	return lostOn(ctx, t, r, r.far())
}

func unheard(ctx context.Context, t *trial, r *route) error {
	return lostOn(ctx, t, r, r.near())
}

func lostOn(ctx context.Context, t *trial, r *route, e *end) error {
	strikes := named(networkStrikes(e), "answers lost, then reset", "requests lost, then reset", "connections closed")
	return hits(300*time.Millisecond, slices.Concat(strikes, strikes, strikes, strikes)...)(ctx, t, r)
}

func restarted(ctx context.Context, t *trial, _ *route) error {
	for _, s := range brokerStrikes(t.stage) {
		if !strings.HasSuffix(s.name, "SIGKILL") {
			continue
		}
		if err := t.hitBrokers(ctx, s, t.random); err != nil {
			return err
		}
	}
	return nil
}

// placesFor makes a stream for the first n keys only.
func placesFor(n int) func(*jetstream.StreamConfig) {
	return func(c *jetstream.StreamConfig) {
		c.AllowBatchPublish = true
		prefix := strings.TrimSuffix(c.Subjects[0], ">")
		c.Subjects = nil
		for key := range n {
			c.Subjects = append(c.Subjects, fmt.Sprintf("%skey-%d", prefix, key))
		}
	}
}

// refused lets a daemon that cannot go on be killed, and then gives its messages a place.
func refused(ctx context.Context, t *trial, r *route) error {
	if err := pause(ctx, 3*time.Second); err != nil {
		return err
	}
	for range 2 {
		f := r.log.begin("SIGKILL while it is refused", 1, r)
		if err := r.slots[0].kill(); err != nil {
			return err
		}
		if err := r.slots[0].start(); err != nil {
			return err
		}
		r.log.amend(f, func(f *fault) { f.Hit = true })
		if err := pause(ctx, 3*time.Second); err != nil {
			return err
		}
	}
	return r.stream.Update(ctx, func(c *jetstream.StreamConfig) { c.Subjects = []string{r.name + ".>"} })
}
