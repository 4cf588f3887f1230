package main

import (
	"context"
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
