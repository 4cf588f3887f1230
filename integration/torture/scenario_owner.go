package main

import (
	"context"
	"time"
)

// ownerScenarios have two daemons on one route.
func ownerScenarios() []*scenario {
	return []*scenario{
		{name: "zombie-there", says: "a member that is frozen until the group has forgotten it wakes beside its successor", set: there(nil), act: asleepThere},
		{name: "zombie-back", says: "an owner that is frozen until another takes its durable wakes beside it", set: back(nil), act: asleep},
		{name: "rebalanced", says: "a second member comes and goes while the sink answers nothing", set: there(func(s *setting) { s.static = false }), act: rebalanced},
	}
}

func asleep(ctx context.Context, t *trial, r *route) error {
	for range 2 {
		if err := r.hit(ctx, zombieStrike(), t.random); err != nil {
			return err
		}
	}
	return nil
}

// asleepThere also watches the committed positions.
func asleepThere(ctx context.Context, t *trial, r *route) error {
	defer t.watchCommits(ctx, r)()
	return asleep(ctx, t, r)
}

// watchCommits wants that no committed position ever goes back, until the returned function is called.
func (t *trial) watchCommits(ctx context.Context, r *route) (stop func()) {
	watching, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		high := map[int32]int64{}
		for pause(watching, 20*time.Millisecond) == nil {
			now, err := r.topic.Committed(watching, "sluice-"+r.name)
			if err != nil {
				continue
			}
			for p, at := range now {
				if at < high[p] {
					t.log.find(checkBackwards, r, "partition %d: committed %d after %d", p, at, high[p])
				}
				high[p] = max(high[p], at)
			}
		}
	}()
	return func() { cancel(); <-done }
}

// rebalanced lets a second daemon join and leave while the first has its window full of what the sink
// does not answer.
func rebalanced(ctx context.Context, t *trial, r *route) error {
	defer t.watchCommits(ctx, r)()
	hold := longStall(r.far(), 2*time.Second)
	for range 3 {
		held := make(chan error, 1)
		go func() { held <- r.hit(ctx, hold, t.fork()) }()
		if err := pause(ctx, 300*time.Millisecond); err != nil {
			return err
		}
		if err := r.slots[1].start(); err != nil {
			return err
		}
		if err := <-held; err != nil {
			return err
		}
		if err := r.meets(ctx, r.slots[1]); err != nil {
			return err
		}
		if err := pause(ctx, 2*time.Second); err != nil {
			return err
		}
		if code, err := r.slots[1].terminate(); err != nil || code != 0 {
			r.log.find(checkExit, r, "exit code %d after SIGTERM, want 0 (%v)", code, err)
		}
	}
	return nil
}
