package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	stormMembers    = 5
	stormPartitions = 12
	stormEvery      = 5 * time.Second
	// movesWithin is how long a partition may rest after the last change of the group.
	movesWithin = 10 * time.Second
)

func stormSettings(perSecond int) []setting {
	return []setting{{toStream: true, perSecond: perSecond, stream: batched(true), partitions: stormPartitions, keys: 5000}}
}

// storm lets members of one group come and go until ctx ends: every five seconds one joins that was not
// there, or one leaves. What each gives back it has settled before, so that nothing is doubled.
func storm(ctx context.Context, t *trial, lasts time.Duration) error {
	r := t.routes[0]
	for len(r.slots) < stormMembers {
		if _, err := r.newSlot(fmt.Sprint(len(r.slots))); err != nil {
			return err
		}
	}
	raging, cancel := context.WithTimeout(ctx, lasts)
	defer cancel()
	defer t.watchCommits(ctx, r)()
	rests := &rests{}
	var watching sync.WaitGroup
	watching.Go(func() { rests.watch(raging, r) })
	random := t.fork()
	for begin := time.Now(); pause(raging, time.Until(begin.Add(stormEvery))) == nil; begin = begin.Add(stormEvery) {
		if err := r.change(ctx, random, rests); err != nil {
			return err
		}
	}
	watching.Wait()
	t.log.tell("the longest that a partition rested after a change was %.1f s", rests.longest.Seconds())
	return nil
}

// change lets a member join or leave.
func (r *route) change(ctx context.Context, random *rand.Rand, rests *rests) error {
	s := r.slots[random.IntN(len(r.slots))]
	joins := s.running() == nil
	if !joins && r.working() == 1 {
		return nil // somebody has to stay
	}
	if joins {
		f := r.log.begin("a member joins", 0, r)
		rests.changed()
		if err := s.start(); err != nil {
			return err
		}
		r.after(ctx, f)
		return nil
	}
	f := r.log.begin("a member leaves", 0, r)
	begin := time.Now()
	code, err := s.terminate()
	rests.changed()
	if err != nil || code != 0 {
		r.log.find(checkExit, r, "exit code %d after SIGTERM, want 0 (%v)", code, err)
	}
	r.log.amend(f, func(f *fault) { f.Held = round(time.Since(begin)) })
	r.after(ctx, f)
	return nil
}

func (r *route) after(ctx context.Context, f *fault) {
	took := r.flows(ctx, recoverPatience)
	if took < 0 && ctx.Err() == nil {
		r.log.find(checkRecovery, r, "no acknowledgement within %v after %s", recoverPatience, f.Kind)
	}
	r.log.amend(f, func(f *fault) { f.Recovered = max(round(took), -1) })
}

// rests knows how long partitions rest.
type rests struct {
	mu      sync.Mutex
	last    time.Time // change
	longest time.Duration
}

func (s *rests) changed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = time.Now()
}

// watch looks at the committed positions, past the proxies, and wants every partition to move soon after
// the last change.
func (s *rests) watch(ctx context.Context, r *route) {
	at := make([]int64, r.partitions)
	moved := make([]time.Time, r.partitions)
	told := make([]bool, r.partitions)
	for p := range moved {
		moved[p] = time.Now()
	}
	for pause(ctx, 100*time.Millisecond) == nil {
		committed, err := r.topic.Committed(ctx, "sluice-"+r.name)
		if err != nil {
			continue
		}
		now := time.Now()
		s.mu.Lock()
		last := s.last
		s.mu.Unlock()
		for p := range moved {
			if c := committed[int32(p)]; c > at[p] {
				at[p], moved[p], told[p] = c, now, false
				continue
			}
			rested := now.Sub(moved[p])
			if last.After(moved[p]) {
				rested = now.Sub(last)
			}
			s.mu.Lock()
			s.longest = max(s.longest, rested)
			s.mu.Unlock()
			if rested > movesWithin && !told[p] {
				told[p] = true
				r.log.find(checkRecovery, r, "partition %d has not moved for %v after the last change", p, rested.Round(time.Millisecond))
			}
		}
	}
}
