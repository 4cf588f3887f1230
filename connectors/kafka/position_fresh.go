package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/kafka/wire"
)

// beginAll finds out where to begin in partitions of ours without a position: at the configured start where
// the group has none in the whole topic, and at the beginning of a partition that was added to a topic, whose
// messages are all younger than the route. Where the bridge knows the messages of a partition, or a log has
// lost its beginning although its siblings are read, the position was lost.
func (s *source) beginAll(ctx context.Context, known *metadata, fresh []*feed, at map[*feed]int64) error {
	if len(fresh) == 0 {
		return nil
	}
	firsts, err := s.list(ctx, wire.Earliest, false, fresh)
	if err != nil && len(firsts) == 0 {
		return err
	}
	ends, _ := s.list(ctx, wire.Latest, false, fresh)
	added := map[*feed]int64{}
	var starting []*feed
	for _, f := range fresh {
		first, ok := firsts[f]
		if !ok {
			continue // its leader is away
		}
		held := connectors.Range{Partition: f.name, Origin: f.origin, First: first, End: max(first, ends[f])}
		if err := s.host.Unpositioned(ctx, held); err != nil {
			return err
		}
		switch {
		case s.first[f.topic]:
			starting = append(starting, f)
		case first == 0:
			added[f] = 0
		default:
			return connectors.Halt("position_lost", fmt.Sprintf("sluice position %s set --partition %s --to earliest", s.route, f.name),
				fmt.Errorf("kafka: group %s has no position in %s, which begins at %d, although it has one in other partitions of the topic",
					s.cfg.Group, f.name, first))
		}
	}
	starts, err2 := s.start(ctx, append(starting, s.others(known, starting)...))
	return errors.Join(err, err2, s.begin(ctx, &fresh[0].as, added, at), s.begin(ctx, &fresh[0].as, starts, at))
}

// others returns the partitions of the topics of feeds that other members have. Who starts a topic stores the
// start of all of it at once: else another member, which comes a moment later, would find positions in some
// partitions and none in its own.
func (s *source) others(known *metadata, feeds []*feed) []*feed {
	ours := map[string]bool{}
	topics := map[string]bool{}
	for _, f := range feeds {
		ours[f.name], topics[f.topic] = true, true
	}
	var others []*feed
	for _, name := range s.cfg.Topics {
		if t := known.Topics[name]; topics[name] && t != nil {
			for n := range t.Partitions {
				if part := partName(name, int32(n)); !ours[part] {
					others = append(others, &feed{topic: name, number: int32(n), name: part})
				}
			}
		}
	}
	return others
}

// begin commits where partitions begin before the first fetch: "latest" stays what it was when the route was
// started first, whatever happens before its first message is through.
func (s *source) begin(ctx context.Context, as *wire.Member, starts, at map[*feed]int64) error {
	if len(starts) == 0 {
		return nil
	}
	parts := make([]wire.Offset, 0, len(starts))
	for f, next := range starts {
		parts = append(parts, wire.Offset{
			Topic: f.topic, Partition: f.number, Offset: next, Epoch: -1, Metadata: s.fingerprint(f.topic),
		})
	}
	if err := s.commit(ctx, as, parts); err != nil {
		return err
	}
	for f, next := range starts {
		at[f] = next
	}
	return nil
}

// start resolves the configured start.
func (s *source) start(ctx context.Context, feeds []*feed) (map[*feed]int64, error) {
	timestamp := wire.Earliest
	switch st := s.cfg.Start; st.Kind {
	case StartOffset:
		at := map[*feed]int64{}
		for _, f := range feeds {
			at[f] = st.Offset
		}
		return at, nil
	case StartLatest:
		timestamp = wire.Latest
	case StartTime:
		timestamp = st.Time.UnixMilli()
	case StartAgo:
		timestamp = time.Now().Add(-st.Ago).UnixMilli()
	}
	at, err := s.list(ctx, timestamp, false, feeds)
	var behind []*feed // no message is so young
	for f, offset := range at {
		if offset < 0 {
			behind = append(behind, f)
			delete(at, f)
		}
	}
	if len(behind) == 0 {
		return at, err
	}
	ends, err2 := s.list(ctx, wire.Latest, false, behind)
	for f, offset := range ends {
		at[f] = offset
	}
	return at, errors.Join(err, err2)
}
