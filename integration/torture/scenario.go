package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"
)

// scenario is a short run with a purpose. It has one route.
type scenario struct {
	name    string
	says    string
	set     setting
	act     func(ctx context.Context, t *trial, r *route) error
	cluster bool // of three brokers each
}

// stages are those that scenarios need, started when they do.
type stages struct {
	dir  string
	tell func(string, ...any)
	all  map[int]*stage // by the number of brokers of each kind
}

// of returns the stage for a scenario.
func (s *stages) of(ctx context.Context, sc *scenario) (*stage, error) {
	n := sc.brokers()
	if s.all[n] == nil {
		dir, err := os.MkdirTemp(s.dir, fmt.Sprintf("%d-", n))
		if err != nil {
			return nil, err
		}
		st, err := newStage(ctx, dir, n)
		if err != nil {
			return nil, err
		}
		s.all[n] = st
	}
	return s.all[n], nil
}

// drop ends the stage for a scenario; the next one gets another.
func (s *stages) drop(sc *scenario) {
	if st := s.all[sc.brokers()]; st != nil {
		st.close()
		delete(s.all, sc.brokers())
	}
}

// brokers is how many a scenario needs of each kind.
func (s *scenario) brokers() int {
	if s.cluster {
		return 3
	}
	return 1
}

func (s *stages) close() {
	for _, st := range s.all {
		st.close()
	}
}

// scenarios returns all of them. Each fails for at least one of the seeded faults of mutants.go.
func scenarios() []*scenario {
	return slices.Concat(faultScenarios(), contentScenarios(), gapScenarios(), rewoundScenarios(), ownerScenarios(), idleScenarios(), clusterScenarios())
}

// there and back are settings of the two directions.
func there(change func(*setting)) setting {
	s := setting{toStream: true, perSecond: 1500, static: true, stream: batched(true)}
	if change != nil {
		change(&s)
	}
	return s
}

func back(change func(*setting)) setting {
	s := setting{perSecond: 1500}
	if change != nil {
		change(&s)
	}
	return s
}

// play runs a scenario on a stage and returns what was found.
func (s *scenario) play(ctx context.Context, st *stage, turn int, seed uint64, tell func(string, ...any)) (*trial, error) {
	t, err := newTrial(ctx, st, fmt.Sprintf("%s-%d", s.name, turn), seed, tell, s.set)
	if err != nil {
		return nil, err
	}
	defer t.close(ctx)
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	r := t.routes[0]
	if err := t.begin(ctx); err != nil {
		t.log.find(checkRecovery, r, "%v", err)
		return t, nil
	}
	switch err := s.act(ctx, t, r); {
	case err != nil && t.log.found():
		return t, nil // it stands still, which has been found
	case err != nil:
		return nil, fmt.Errorf("scenario %s: %w", s.name, err)
	}
	t.finish(ctx)
	if ctx.Err() != nil && t.log.found() {
		return t, nil
	}
	if _, err := r.judge(ctx); err != nil {
		return nil, err
	}
	return t, nil
}

// hits does strikes one after another, each at work.
func hits(rest time.Duration, strikes ...*strike) func(context.Context, *trial, *route) error {
	return func(ctx context.Context, t *trial, r *route) error {
		for _, s := range strikes {
			if err := r.hit(ctx, s, t.random); err != nil {
				return err
			}
			if t.log.found() {
				return nil // what follows finds no more
			}
			if err := pause(ctx, rest); err != nil {
				return err
			}
		}
		return nil
	}
}

func times(n int, s *strike) (all []*strike) {
	for range n {
		all = append(all, s)
	}
	return all
}
