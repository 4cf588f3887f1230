package kafka

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
)

// refreshEvery is how often metadata is asked for without a reason: new partitions and a cluster that
// went away while there was nothing to send are seen within that time.
const refreshEvery = 30 * time.Second

// refreshGap is the least time between a failure and the question it leads to.
const refreshGap = 20 * time.Millisecond

// known returns the topics that are known, to be read only.
func (p *producer) known() map[string]*sinkTopic { return *p.topics.Load() }

// learn asks for a topic. The error says what is wrong with it, or that the cluster does not answer.
func (p *producer) learn(ctx context.Context, name string) (*sinkTopic, error) {
	m, err := p.conn.refresh(ctx, name)
	if err != nil {
		return nil, err
	}
	p.apply(m, name)
	if t := p.known()[name]; t != nil {
		return t, nil
	}
	if t := m.Topics[name]; t != nil && t.Code != codeNone {
		return nil, t.err()
	}
	return nil, codeError(codeLeaderNotAvailable, "topic %s", name)
}

// watch keeps metadata fresh until close: now and then, and soon after every failure.
func (p *producer) watch(first ...string) {
	p.wg.Go(func() {
		failed := 0
		for p.ctx.Err() == nil {
			names := slices.AppendSeq(slices.Clone(first), maps.Keys(p.known()))
			slices.Sort(names)
			wait := connectors.UntilTick(refreshEvery)
			if m, err := p.conn.refresh(p.ctx, slices.Compact(names)...); err == nil {
				failed = 0
				p.apply(m, names...)
			} else {
				failed++
				wait = jitter(failed)
			}
			p.rest(wait, failed > 0)
		}
	})
}

// rest waits for the time, and where nothing has failed at most until somebody needs metadata.
func (p *producer) rest(wait time.Duration, failed bool) {
	kick := p.kick
	if failed {
		kick = nil // the wait is short already
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return
	case <-kick:
	case <-p.ctx.Done():
		return
	}
	// Many targets may fail at once, and for a while: one answer serves them all.
	timer.Reset(refreshGap)
	select {
	case <-timer.C:
	case <-p.ctx.Done():
	}
}

// apply takes what the cluster told of topics over: new ones, new partitions, other leaders.
func (p *producer) apply(m *metadata, names ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := maps.Clone(p.known())
	for _, name := range names {
		t := m.Topics[name]
		if t == nil || t.Code != codeNone || len(t.Partitions) == 0 {
			continue
		}
		next[name] = p.update(next[name], t)
	}
	p.topics.Store(&next)
	p.pump()
}

// update returns the topic as it is now. Its targets stay the same ones. p.mu is held.
func (p *producer) update(old *sinkTopic, now *topic) *sinkTopic {
	if old == nil {
		old = &sinkTopic{meta: now, limit: &limit{bytes: p.limit, most: p.limit}}
	}
	fresh := &sinkTopic{meta: now, limit: old.limit, targets: slices.Clone(old.targets)}
	for len(fresh.targets) < len(now.Partitions) {
		number := int32(len(fresh.targets))
		fresh.targets = append(fresh.targets, &target{id: p.targets, topic: now.Name, number: number, limit: fresh.limit, last: -1})
		p.targets++
	}
	recreated := now.recreated(old.meta)
	if recreated {
		p.log.Warn().Str("topic", now.Name).Msg("the topic was deleted and created anew: what was written to it before is gone")
		fresh.limit.bytes = fresh.limit.most
	}
	for i, t := range fresh.targets {
		t.leader = -1
		if i < len(now.Partitions) {
			t.leader = now.Partitions[i].Leader
		}
		switch {
		case recreated && t.rewound == nil:
			t.last = -1
		case !recreated && t.rewound != nil:
			p.tellRewind(t)
		}
		t.rewound = nil
	}
	// A topic that was created anew with fewer partitions leaves parts behind that wait for a leader in
	// vain; they are given up with that error and routed anew.
	fresh.targets = fresh.targets[:len(now.Partitions)]
	return fresh
}

// rewind is what a partition that gave out offsets again has forgotten: [from, to].
type rewind struct{ from, to int64 }

// tellRewind reports that a partition has lost what it had acknowledged. It is called once it is known
// that the topic is still the same one. p.mu is held.
func (p *producer) tellRewind(t *target) {
	text := fmt.Sprintf("%s/%d at the sink: Kafka lost acknowledged messages at offsets %d to %d (was a leader elected uncleanly?)",
		t.topic, t.number, t.rewound.from, t.rewound.to)
	p.log.Error().Msg(text)
	p.conn.report(connectors.Event{Kind: connectors.Dropped, N: t.rewound.to - t.rewound.from + 1, Text: text})
}

// jitter returns a random time up to a bound that doubles with every attempt.
func jitter(attempts int) time.Duration {
	bound := min(lastBackoff, firstBackoff<<min(attempts, 10))
	return time.Duration(rand.Int64N(int64(bound))) + time.Millisecond
}
