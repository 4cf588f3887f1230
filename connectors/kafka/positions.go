package kafka

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-bridge/sluice/connectors"
)

// positions are what a group has committed in the topics of a source. One caller.
type positions struct {
	*topicLog
	cfg *SourceConfig
}

// openPositions connects to nothing: that happens at the first call.
func openPositions(c *SourceConfig) (connectors.Positions, error) {
	l, err := openLog(&c.Connection, kgo.ReadUncommitted())
	if err != nil {
		return nil, err
	}
	return &positions{l, c}, nil
}

// Committed implements connectors.Positions. A position of a topic that was deleted meanwhile counts as none.
func (p *positions) Committed(ctx context.Context) ([]connectors.Position, error) {
	known, err := p.topics(ctx)
	if err != nil {
		return nil, err
	}
	committed, err := p.admin.FetchOffsets(ctx, p.cfg.Group)
	if err == nil {
		err = committed.Error()
	}
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) { // a group that does not exist has no position
		return nil, p.explain(fmt.Errorf("ask group %s for its position: %w", p.cfg.Group, err))
	}
	var all []connectors.Position
	for _, name := range slices.Sorted(maps.Keys(known.Topics)) {
		for _, n := range known.Topics[name].Partitions.Numbers() {
			part := partName(name, n)
			at := connectors.Position{Partition: part, Origin: "kafka:" + known.Cluster + "/" + part}
			if o, ok := committed.Lookup(name, n); ok && o.At >= 0 && sameTopic(o.Metadata, fingerprintOf(known.Topics[name].ID)) {
				at.Next, at.Known = o.At, true
			}
			all = append(all, at)
		}
	}
	slices.SortFunc(all, func(a, b connectors.Position) int { return strings.Compare(a.Partition, b.Partition) })
	return all, nil
}

// topics returns the source's topics, all of which have to exist.
func (p *positions) topics(ctx context.Context) (*kadm.Metadata, error) {
	known, err := p.admin.Metadata(ctx, p.cfg.Topics...)
	if err != nil {
		return nil, p.explain(err)
	}
	for _, name := range p.cfg.Topics {
		if err := known.Topics[name].Err; err != nil {
			return nil, fmt.Errorf("topic %s: %w", name, err)
		}
	}
	return &known, nil
}

// Set implements connectors.Positions. It commits as no member (generation -1), which the coordinator refuses
// while the group has members.
func (p *positions) Set(ctx context.Context, next map[string]int64) error {
	known, err := p.topics(ctx)
	if err != nil {
		return err
	}
	var offsets kadm.Offsets
	for part, at := range next {
		topic, n, err := cutPartition(part)
		if err != nil {
			return err
		}
		if _, ok := known.Topics[topic].Partitions[n]; !ok {
			return fmt.Errorf("the source reads no partition %s", part)
		}
		if at < 0 {
			return fmt.Errorf("%s has no position %d", part, at)
		}
		offsets.Add(kadm.Offset{
			Topic: topic, Partition: n, At: at, LeaderEpoch: -1, Metadata: fingerprintOf(known.Topics[topic].ID),
		})
	}
	err = p.admin.CommitAllOffsets(ctx, p.cfg.Group, offsets)
	if errors.Is(err, kerr.UnknownMemberID) && p.alone(ctx) {
		err = p.admin.CommitAllOffsets(ctx, p.cfg.Group, offsets)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, kerr.UnknownMemberID), errors.Is(err, kerr.RebalanceInProgress), errors.Is(err, kerr.IllegalGeneration):
		return fmt.Errorf("group %s is being read%s; stop them first (one that was killed is a member until its session ends, in %v)",
			p.cfg.Group, p.members(ctx), defaultTiming().session)
	}
	return p.explain(fmt.Errorf("commit to group %s: %w", p.cfg.Group, err))
}

// alone takes our own static membership out of the group, which outlives a run that was closed, if it is the
// only one.
func (p *positions) alone(ctx context.Context) bool {
	if p.cfg.InstanceID == "" {
		return false
	}
	group, ok := p.describe(ctx)
	if !ok || len(group.Members) != 1 || group.Members[0].InstanceID == nil || *group.Members[0].InstanceID != p.cfg.InstanceID {
		return false
	}
	left, err := p.admin.LeaveGroup(ctx, kadm.LeaveGroup(p.cfg.Group).InstanceIDs(p.cfg.InstanceID).Reason("sluice sets the position"))
	return err == nil && left.Error() == nil
}

func (p *positions) describe(ctx context.Context) (kadm.DescribedGroup, bool) {
	groups, err := p.admin.DescribeGroups(ctx, p.cfg.Group)
	group, ok := groups[p.cfg.Group]
	return group, ok && err == nil && group.Err == nil
}

// members names those of the group, as far as the brokers tell.
func (p *positions) members(ctx context.Context) string {
	group, ok := p.describe(ctx)
	if !ok {
		return ""
	}
	var names []string
	for i := range group.Members {
		m := &group.Members[i]
		name := m.ClientID + " at " + strings.TrimPrefix(m.ClientHost, "/")
		if m.InstanceID != nil {
			name += " (instance_id " + *m.InstanceID + ")"
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return ""
	}
	const most = 10
	if left := len(names) - most; left > 0 {
		names = append(names[:most], fmt.Sprintf("%d more", left))
	}
	return " by " + strings.Join(names, ", ")
}

func fingerprintOf(id [16]byte) string {
	if id == [16]byte{} {
		return ""
	}
	return fingerprintName + hex.EncodeToString(id[:])
}

// sameTopic reports whether a position whose metadata is stored is not one of a topic that was deleted and
// created anew; now is the fingerprint that the topic has.
func sameTopic(stored, now string) bool {
	return !strings.HasPrefix(stored, fingerprintName) || now == "" || stored == now
}
