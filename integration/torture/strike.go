package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// strike is a kind of fault on a route: do does it and returns when everything is as it should be again.
type strike struct {
	name    string
	weight  int   // how often it is chosen, among others
	crashes int64 // as so many crashes of the daemon it may double
	do      func(ctx context.Context, r *route, random *rand.Rand) (note string, err error)
}

// recoverPatience is how long it may take until acknowledgements flow again.
const recoverPatience = 60 * time.Second

// patient is how long a strike waits for work that it could hit.
const patient = 3 * time.Second

// hit does a strike to a route, notes it, and waits until acknowledgements flow again.
func (r *route) hit(ctx context.Context, s *strike, random *rand.Rand) error {
	for waited := time.Now(); !r.watch.evidence().hit() && time.Since(waited) < patient && ctx.Err() == nil; {
		_ = pause(ctx, 5*time.Millisecond)
	}
	if ctx.Err() != nil {
		return nil
	}
	f := r.log.begin(s.name, s.crashes, r)
	begin := time.Now()
	note, err := s.do(ctx, r, random)
	held := time.Since(begin)
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("%s on %s: %w", s.name, r.name, err)
	}
	recovered := r.flows(ctx, recoverPatience)
	r.log.amend(f, func(f *fault) {
		f.Held, f.Note = round(held), note
		if recovered >= 0 {
			f.Recovered = round(recovered)
		}
	})
	if recovered < 0 && ctx.Err() == nil {
		r.log.find(checkRecovery, r, "no acknowledgement within %v after %s", recoverPatience, s.name)
	}
	return nil
}

// flows waits until something more is acknowledged and returns how long that took, or -1 if it took
// longer than patience.
func (r *route) flows(ctx context.Context, patience time.Duration) time.Duration {
	begin, before := time.Now(), r.watch.progress()
	for r.watch.progress() <= before {
		if time.Since(begin) > patience || pause(ctx, 10*time.Millisecond) != nil {
			return -1
		}
	}
	return time.Since(begin)
}

// choose picks a strike by weight.
func choose(strikes []*strike, random *rand.Rand) *strike {
	total := 0
	for _, s := range strikes {
		total += s.weight
	}
	at := random.IntN(total)
	for _, s := range strikes {
		if at -= s.weight; at < 0 {
			return s
		}
	}
	return strikes[0]
}

// between returns a time from least to most.
func between(random *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(random.Int64N(int64(most-least)+1))
}
