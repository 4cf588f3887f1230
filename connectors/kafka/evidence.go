package kafka

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/kafka/wire"
)

// mostEvidence is how many partitions are named.
const mostEvidence = 3

// Evidence implements connectors.Witness.
func (s *sink) Evidence(ctx context.Context) string {
	var topics []string
	if m := s.conn.cached(); m != nil {
		topics = slices.Sorted(maps.Keys(m.Topics))
	}
	if s.mapper.topics == nil {
		topics = []string{s.mapper.topic}
	}
	return s.conn.evidence(ctx, topics)
}

// Evidence implements connectors.Witness.
func (s *source) Evidence(ctx context.Context) string { return s.conn.evidence(ctx, s.cfg.Topics) }

// evidence asks who leads the partitions of topics and who of their replicas is missing.
func (c *conn) evidence(ctx context.Context, topics []string) string {
	var words []string
	if wait := time.Until(time.Unix(0, c.throttled.Load())); wait > 0 {
		words = append(words, fmt.Sprintf("the quota of the brokers asks for %v of waiting", wait.Round(10*time.Millisecond)))
	}
	begin := time.Now()
	m, err := c.fetchMetadata(ctx, topics)
	took := time.Since(begin).Round(time.Millisecond)
	switch {
	case late(ctx):
		words = append(words, fmt.Sprintf("%s: nothing about the topics for %v", c.brokerName(wire.AnyBroker), took))
		if n := c.dialled.unsent(); n > 0 {
			words = append(words, fmt.Sprintf("their hosts have not taken %v", connectors.Size(n)))
		}
	case err != nil:
		words = append(words, err.Error())
	default:
		words = append(append(words, m.lacks(topics)...), fmt.Sprintf("the broker answers after %v", took))
	}
	return strings.Join(words, ", ")
}

// late reports whether ctx has ended or is about to: a connection's deadline is that of the context, and may be
// noticed first.
func late(ctx context.Context) bool {
	at, limited := ctx.Deadline()
	return ctx.Err() != nil || limited && time.Until(at) < 20*time.Millisecond
}

// lacks says what is wrong with topics: of partitions, the first.
func (m *metadata) lacks(topics []string) (words []string) {
	more := 0
	say := func(format string, args ...any) {
		if len(words) < mostEvidence {
			words = append(words, fmt.Sprintf(format, args...))
		} else {
			more++
		}
	}
	for _, name := range topics {
		t := m.Topics[name]
		if t == nil {
			continue
		}
		if err := t.err(); err != nil {
			say("%v", err)
			continue
		}
		for number, p := range t.Partitions {
			switch {
			case p.Leader < 0:
				say("%s has no leader", partName(name, int32(number)))
			case len(p.Missing) > 0:
				say("%s: %d of %d replicas in sync, not %s", partName(name, int32(number)), p.Replicas-len(p.Missing), p.Replicas, m.names(p.Missing))
			}
		}
	}
	if more > 0 {
		words = append(words, fmt.Sprintf("and %d more partitions", more))
	}
	return words
}

// names tells brokers apart that the cluster lists from those that are gone.
func (m *metadata) names(brokers []int32) string {
	var names []string
	for _, id := range brokers {
		name := fmt.Sprintf("broker %d", id)
		if _, listed := m.Brokers[id]; !listed {
			name += " (offline)"
		}
		names = append(names, name)
	}
	return strings.Join(names, " and ")
}
