package main

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// mix is which faults a run has.
type mix struct {
	zombies      int           // on each route, at random moments
	stalls       int           // on each route: long ones
	brokersEvery time.Duration // about how long between two faults of brokers; 0: none
	rest         time.Duration // most between two faults on a route
	gentle       bool          // no Kafka is killed: it takes long to come back, on a busy machine very long
}

// rage does faults to routes and brokers until ctx ends.
func (t *trial) rage(ctx context.Context, m mix, lasts time.Duration) {
	raging, cancel := context.WithTimeout(ctx, lasts)
	defer cancel()
	var wg sync.WaitGroup
	for _, r := range t.routes {
		random := t.fork()
		wg.Go(func() { t.noteHarness(r, r.suffer(raging, m, lasts, random)) })
	}
	if m.brokersEvery > 0 {
		random := t.fork()
		wg.Go(func() { t.noteHarness(nil, t.strikeBrokers(raging, m, random)) })
	}
	wg.Wait()
}

// suffer does one fault after another to a route until ctx ends.
func (r *route) suffer(ctx context.Context, m mix, lasts time.Duration, random *rand.Rand) error {
	strikes := append(daemonStrikes(), networkStrikes(r.kafka)...)
	strikes = append(strikes, networkStrikes(r.nats)...)
	slow := r.slowStrikes(m, lasts, random)
	begin := time.Now()
	for ctx.Err() == nil {
		s := choose(strikes, random)
		if len(slow) > 0 && time.Since(begin) > slow[0].at {
			s, slow = slow[0].strike, slow[1:]
		}
		if err := r.hit(ctx, s, random); err != nil {
			return err
		}
		_ = pause(ctx, between(random, 0, m.rest))
	}
	return nil
}

// due is a strike at a given time of a run.
type due struct {
	at     time.Duration
	strike *strike
}

// slowStrikes are those of which there are only a few in a run, because they take long.
func (r *route) slowStrikes(m mix, lasts time.Duration, random *rand.Rand) []due {
	var all []due
	for range m.zombies {
		all = append(all, due{between(random, lasts/20, lasts*9/10), zombieStrike()})
	}
	for range m.stalls {
		all = append(all, due{between(random, lasts/20, lasts*9/10), longStall(r.far(), 10*time.Second)})
	}
	slices.SortFunc(all, func(a, b due) int { return cmp.Compare(a.at, b.at) })
	return all
}

// strikeBrokers does faults to brokers until ctx ends, each when the routes flow again.
func (t *trial) strikeBrokers(ctx context.Context, m mix, random *rand.Rand) error {
	strikes := slices.DeleteFunc(brokerStrikes(t.stage), func(s *brokerStrike) bool { return m.gentle && s.name == killedKafka })
	total := 0
	for _, s := range strikes {
		total += s.weight
	}
	for pause(ctx, between(random, m.brokersEvery/2, m.brokersEvery*3/2)) == nil {
		at, chosen := random.IntN(total), strikes[0]
		for _, s := range strikes {
			if at -= s.weight; at < 0 {
				chosen = s
				break
			}
		}
		if err := t.hitBrokers(ctx, chosen, random); err != nil {
			return err
		}
	}
	return nil
}

func (t *trial) hitBrokers(ctx context.Context, s *brokerStrike, random *rand.Rand) error {
	for waited := time.Now(); !t.busy() && time.Since(waited) < patient && ctx.Err() == nil; {
		_ = pause(ctx, 5*time.Millisecond)
	}
	f := t.log.begin(s.name, 0, t.routes...)
	begin := time.Now()
	note, err := s.do(ctx, t, random)
	held := time.Since(begin)
	if err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	slowest := time.Duration(0)
	for _, r := range t.routes {
		took := r.flows(ctx, recoverPatience)
		if took < 0 && ctx.Err() == nil {
			t.log.find(checkRecovery, r, "no acknowledgement within %v after %s", recoverPatience, s.name)
		}
		slowest = max(slowest, took)
	}
	t.log.amend(f, func(f *fault) { f.Held, f.Note, f.Recovered = round(held), note, round(slowest) })
	return nil
}

// busy tells whether there is work on every route.
func (t *trial) busy() bool {
	return !slices.ContainsFunc(t.routes, func(r *route) bool { return !r.watch.evidence().hit() })
}
