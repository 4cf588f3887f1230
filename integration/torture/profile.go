package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// profile is a kind of run.
type profile struct {
	name, says string
	brokers    int // of each kind
	lasts      time.Duration
	faults     int // that have to hit work
	settings   func(seed uint64) []setting
	act        func(ctx context.Context, t *trial, lasts time.Duration) error
}

func profiles() []*profile {
	return []*profile{
		{"smoke", "both directions for a minute, as a part of CI", 1, time.Minute, 20, bothWays(1000),
			rage(mix{stalls: 1, brokersEvery: 6 * time.Second, rest: 400 * time.Millisecond, gentle: true})},
		{"short", "both directions for seven minutes", 1, 7 * time.Minute, 300, bothWays(1200),
			rage(mix{zombies: 2, stalls: 1, brokersEvery: 10 * time.Second, rest: 500 * time.Millisecond})},
		{"hour", "both directions for an hour", 1, time.Hour, 2000, bothWays(800),
			rage(mix{zombies: 12, stalls: 6, brokersEvery: 12 * time.Second, rest: 600 * time.Millisecond})},
		{"cluster", "both directions for eight minutes, three brokers of each kind", 3, 8 * time.Minute, 200, bothWays(600),
			rage(mix{zombies: 1, stalls: 1, brokersEvery: 6 * time.Second, rest: time.Second})},
		{"storm", "five members of a group come and go for five minutes", 1, 5 * time.Minute, 50,
			func(uint64) []setting { return stormSettings(3000) }, storm},
	}
}

// bothWays are a route in each direction with so many messages a second. There, a share is in
// transactions, and every other seed writes fast-ingest batches.
func bothWays(perSecond int) func(seed uint64) []setting {
	return func(seed uint64) []setting {
		return []setting{
			{toStream: true, perSecond: perSecond, burst: 4 * maxMessages, shares: 5, static: true, stream: batched(seed%2 == 0)},
			{perSecond: perSecond, burst: 4 * maxMessages},
		}
	}
}

func rage(m mix) func(context.Context, *trial, time.Duration) error {
	return func(ctx context.Context, t *trial, lasts time.Duration) error { t.rage(ctx, m, lasts); return nil }
}

// run runs the profile on a stage.
func (p *profile) run(ctx context.Context, s *stage, seed uint64, tell func(string, ...any)) (*report, error) {
	t, err := newTrial(ctx, s, fmt.Sprintf("%s-%d", p.name, seed), seed, tell, p.settings(seed)...)
	if err != nil {
		return nil, err
	}
	defer t.close(ctx)
	if err := t.begin(ctx); err != nil {
		return nil, err
	}
	if err := errors.Join(p.act(ctx, t, p.lasts), ctx.Err()); err != nil {
		return nil, err
	}
	tell("%.0f s: the faults are over, what is left arrives", t.log.now())
	t.finish(ctx)
	var verdicts []*verdict
	for _, r := range t.routes {
		v, err := r.judge(ctx)
		if err != nil {
			return nil, err
		}
		verdicts = append(verdicts, v)
	}
	return reportOf(p.name, t, verdicts, p.faults), nil
}
