package main

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// settledGroup tells whether the consumer group of a route from Kafka has so many members, which have all
// partitions: a member that was killed or frozen keeps its own until the group has forgotten it.
func (r *route) settledGroup(ctx context.Context, members int) (settled bool) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	name := "sluice-" + r.name
	err := r.admin(func(admin *kadm.Client) error {
		groups, err := admin.DescribeGroups(ctx, name)
		if err != nil {
			return err
		}
		g := groups[name]
		settled = g.Err == nil && g.State == "Stable" && len(g.Members) == members
		return nil
	})
	return settled && err == nil
}

// shrinks waits until the group has so many members; the other direction has no group.
func (r *route) shrinks(ctx context.Context, members int, patience time.Duration) (took time.Duration, ok bool) {
	begin := time.Now()
	for r.toStream && !r.settledGroup(ctx, members) {
		if time.Since(begin) > patience || pause(ctx, 100*time.Millisecond) != nil {
			return time.Since(begin), false
		}
	}
	return time.Since(begin), true
}

// working returns how many daemons run.
func (r *route) working() (n int) {
	for _, s := range r.slots {
		if s.running() != nil {
			n++
		}
	}
	return n
}

// behind tells what the source says that is left, empty if nothing is: what a daemon says of its lag may be
// a moment old. A topic with transactions ends with their markers, which nobody commits.
func (r *route) behind(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if !r.toStream {
		info, err := r.stream.Durable(ctx, "sluice-"+r.name)
		switch {
		case err != nil:
			return err.Error()
		case info.NumPending > 0 || info.NumAckPending > 0:
			return fmt.Sprintf("%d messages are not delivered, %d not acknowledged", info.NumPending, info.NumAckPending)
		}
		return ""
	}
	if r.shares > 0 {
		return ""
	}
	committed, err := r.topic.Committed(ctx, "sluice-"+r.name)
	if err != nil {
		return err.Error()
	}
	_, ends, err := r.topic.Count(ctx)
	if err != nil {
		return err.Error()
	}
	for p, end := range ends {
		if end > 0 && committed[p] < end {
			return fmt.Sprintf("partition %d is committed up to %d of %d", p, committed[p], end)
		}
	}
	return ""
}
