package main

import (
	"context"
	"time"
)

// contentScenarios are about what is moved.
func contentScenarios() []*scenario {
	return []*scenario{
		{name: "content-there", says: "every odd message there is, Kafka to JetStream, some too large", set: there(func(s *setting) { s.perSecond = 0 }), act: waiting},
		{name: "content-back", says: "the same, JetStream to Kafka", set: back(func(s *setting) { s.perSecond = 0 }), act: waiting},
		{name: "transactions", says: "half of the load in transactions, one in five of which is given up", set: there(func(s *setting) { s.shares = 2 }),
			act: hits(2*time.Second, times(3, daemonStrikes()[0])...)},
		{name: "compacted", says: "a topic that is compacted, with transactions", set: there(func(s *setting) {
			s.shares, s.keys, s.keyed, s.vanishes = 3, 50, true, true
			s.topic = map[string]string{
				"cleanup.policy": "compact", "segment.ms": "300", "segment.bytes": "1048576", "min.cleanable.dirty.ratio": "0.001",
				"delete.retention.ms": "100", "max.compaction.lag.ms": "500",
			}
		}), act: compacted},
		{name: "damaged", says: "a batch that the broker's disk has damaged is a dead letter, and nothing else", set: there(func(s *setting) { s.perSecond, s.plain, s.size = 0, true, 400 }), act: damaged},
	}
}

// waiting moves a load that stood there before the daemon came.
func waiting(ctx context.Context, _ *trial, r *route) error {
	if err := r.fill(ctx, 20_000); err != nil {
		return err
	}
	return r.slots[0].start()
}

// compacted lets the daemon read what is being compacted, and again from behind what is.
func compacted(ctx context.Context, t *trial, r *route) error {
	for range 3 {
		if _, err := r.slots[0].terminate(); err != nil {
			return err
		}
		if err := pause(ctx, 4*time.Second); err != nil {
			return err
		}
		if err := r.slots[0].start(); err != nil {
			return err
		}
		if err := pause(ctx, 2*time.Second); err != nil {
			return err
		}
	}
	return nil
}
