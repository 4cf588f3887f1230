package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// trial is one run of the harness.
type trial struct {
	stage  *stage
	seed   uint64
	random *rand.Rand
	log    *timeline
	routes []*route

	loads   sync.WaitGroup
	stop    context.CancelFunc // of the loads
	harness sync.WaitGroup     // what runs until the trial ends
	calm    context.CancelFunc // ends it
}

// newTrial makes the routes, at most two. Nothing runs yet.
func newTrial(ctx context.Context, s *stage, name string, seed uint64, tell func(string, ...any), settings ...setting) (*trial, error) {
	t := &trial{stage: s, seed: seed, random: rand.New(rand.NewPCG(seed, 0)), log: newTimeline(tell)}
	for i, set := range settings {
		way := "j2k"
		if set.toStream {
			way = "k2j"
		}
		r, err := newRoute(ctx, s, i, fmt.Sprintf("%s-%s", name, way), set, seed, t.log)
		if err != nil {
			t.close(ctx)
			return nil, err
		}
		t.routes = append(t.routes, r)
		for _, slot := range []string{"a", "b"} {
			if _, err := r.newSlot(slot); err != nil {
				t.close(ctx)
				return nil, err
			}
		}
	}
	return t, nil
}

func (t *trial) close(ctx context.Context) {
	t.quit()
	for _, r := range t.routes {
		r.close(context.WithoutCancel(ctx))
	}
}

// quit ends loads and marks.
func (t *trial) quit() {
	if t.stop != nil {
		t.stop()
		t.loads.Wait()
		t.calm()
		t.harness.Wait()
	}
}

// begin starts the loads and marks, and a daemon on each route that has a load.
func (t *trial) begin(ctx context.Context) error {
	loading, stop := context.WithCancel(ctx)
	working, calm := context.WithCancel(ctx)
	t.stop, t.calm = stop, calm
	for _, r := range t.routes {
		t.harness.Go(func() { t.noteHarness(r, r.keepMarks(working)) })
		for _, load := range r.loads(t.fork()) {
			t.loads.Go(func() { t.noteHarness(r, load(loading)) })
		}
		if r.perSecond == 0 {
			continue
		}
		if err := r.slots[0].start(); err != nil {
			return err
		}
		if err := r.arrives(ctx); err != nil {
			return err
		}
	}
	return nil
}

// arrives waits until the first messages have arrived.
func (r *route) arrives(ctx context.Context) error {
	for begin := time.Now(); r.watch.progress() == 0; {
		if r.slots[0].running() == nil || time.Since(begin) > recoverPatience {
			return fmt.Errorf("%s: nothing arrives: %s", r.name, r.slots[0].daemon.Tail(5))
		}
		if err := pause(ctx, sampleEvery); err != nil {
			return err
		}
	}
	return nil
}

// fill writes so many messages to the source, as fast as it goes.
func (r *route) fill(ctx context.Context, messages int) error {
	if !r.toStream {
		l := &streamLoad{stream: r.stream, prefix: r.name, maker: r.maker, ledger: &r.ledger, pacer: pacer{most: messages}}
		return l.run(ctx)
	}
	l := &topicLoad{topic: r.topic, maker: r.maker, ledger: &r.ledger, pacer: pacer{most: messages}}
	return l.plain(ctx)
}

func (t *trial) noteHarness(r *route, err error) {
	if err != nil {
		t.log.find(checkHarness, r, "%v", err)
	}
}

// fork returns a source of chance of its own, so that goroutines do not share one.
func (t *trial) fork() *rand.Rand {
	return rand.New(rand.NewPCG(t.random.Uint64(), t.random.Uint64()))
}

// loads returns what writes to the source of a route.
func (r *route) loads(random *rand.Rand) (all []func(context.Context) error) {
	if r.perSecond == 0 {
		return nil
	}
	pace := func(perSecond, burst int) pacer {
		return pacer{perSecond: perSecond, burst: burst, random: rand.New(rand.NewPCG(random.Uint64(), 1))}
	}
	if !r.toStream {
		l := &streamLoad{stream: r.stream, prefix: r.name, maker: r.maker, ledger: &r.ledger, pacer: pace(r.perSecond, r.burst)}
		return append(all, l.run)
	}
	plain, part := r.perSecond, 0
	if r.shares > 0 {
		part = r.perSecond / r.shares
		plain -= part
		txn := &topicLoad{topic: r.topic, maker: r.maker, ledger: &r.ledger, pacer: pace(part, 0)}
		all = append(all, func(ctx context.Context) error { return txn.transactions(ctx, random) })
	}
	l := &topicLoad{topic: r.topic, maker: r.maker, ledger: &r.ledger, pacer: pace(plain, r.burst)}
	return append(all, l.plain)
}

const (
	settlePatience = 2 * time.Minute
	// still is how long nothing may be left to do before everything counts as done: a daemon learns of
	// what is new at its source in about this time.
	still = 1500 * time.Millisecond
)

// finish ends the loads, lets everything arrive, and ends the daemons softly.
func (t *trial) finish(ctx context.Context) {
	t.stop()
	t.loads.Wait()
	for _, r := range t.routes {
		r.settle(ctx)
		for _, s := range r.slots {
			if code, err := s.terminate(); err != nil || code != 0 {
				t.log.find(checkExit, r, "exit code %d after the last SIGTERM, want 0 (%v)", code, err)
			}
			s.end()
		}
	}
	_ = pause(ctx, 2*markEvery)
	t.calm()
	t.harness.Wait()
}

// settle waits until nothing is left to do on a route.
func (r *route) settle(ctx context.Context) {
	begin := time.Now()
	if _, ok := r.shrinks(ctx, r.working(), settlePatience); !ok && ctx.Err() == nil && r.watch.why() == "" {
		r.log.find(checkRecovery, r, "the group has not settled %v after the last fault", settlePatience)
	}
	for since := time.Now(); ; {
		if r.watch.why() != "" {
			return // it waits for an operator
		}
		quiet, why := r.watch.quiet()
		if quiet && time.Since(since) >= still {
			if why = r.behind(ctx); why == "" {
				return
			}
			quiet = false
		}
		if !quiet {
			since = time.Now()
		}
		if !quiet && time.Since(begin) > settlePatience {
			r.log.find(checkRecovery, r, "not everything has arrived %v after the last fault: %s", settlePatience, why)
			return
		}
		if pause(ctx, sampleEvery) != nil {
			return
		}
	}
}
