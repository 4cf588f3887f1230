package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/kafka/wire"
)

// assigned takes partitions in. They are not read before they are located.
func (s *source) assigned(as wire.Member, parts []wire.TopicPartitions) []*feed {
	cluster := ""
	if m := s.conn.cached(); m != nil {
		cluster = m.ClusterID
	}
	var feeds []*feed
	for _, p := range parts {
		for _, n := range p.Partitions {
			name := partName(p.Topic, n)
			feeds = append(feeds, &feed{
				topic: p.Topic, number: n, name: name, origin: originOf(cluster, name),
				as: as, committed: -1, end: -1, leader: -1, until: s.endOf(name),
			})
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.feeds, s.settled = slices.Clone(feeds), true
	s.signal(s.wake)
	return feeds
}

// unassigned stops reading partitions.
func (s *source) unassigned(feeds []*feed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range feeds {
		f.gone = true
	}
	s.feeds, s.settled = slices.DeleteFunc(s.feeds, func(f *feed) bool { return f.gone }), false
	s.signal(s.wake)
}

// locateAll finds out where to begin in each partition, again and again until all are located or the
// generation is over; those that are located are read meanwhile.
func (s *source) locateAll(g *generation, feeds []*feed) {
	for fails := 0; len(feeds) > 0 && g.calm.Err() == nil; {
		var err error
		if feeds, err = s.locate(g.calm, feeds); err == nil {
			fails = 0
			continue
		}
		switch {
		case g.calm.Err() != nil:
			return
		case connectors.IsPermanent(err):
			s.fail(err)
			return
		}
		if c, ok := codeOf(err); ok {
			s.member.moved(c)
		}
		fails++
		s.note(err)
		pause(g.calm, s.backoff(fails))
	}
}

// assignError is about the bridge, such as a sink that cannot tell its position: no broker of ours.
type assignError struct{ error }

// locate finds out where to begin and returns the partitions of which it could not.
func (s *source) locate(ctx context.Context, feeds []*feed) (left []*feed, err error) {
	known, err := s.conn.refresh(ctx, s.cfg.Topics...)
	if err == nil {
		err = s.noteTopics(known)
	}
	if err != nil {
		return feeds, err
	}
	at := map[*feed]int64{}
	var ask []*feed
	for _, f := range feeds {
		f.origin = originOf(known.ClusterID, f.name)
		next, stored, err := s.host.Assign(ctx, f.name)
		if err != nil {
			return feeds, &assignError{fmt.Errorf("assign %s: %w", f.name, err)}
		}
		if stored {
			at[f] = next
		} else {
			ask = append(ask, f)
		}
	}
	fresh, err := s.committed(ctx, known, ask, at)
	if err != nil {
		return feeds, err
	}
	startErr := s.beginAll(ctx, known, fresh, at)
	if connectors.IsPermanent(startErr) || ctx.Err() != nil {
		return feeds, startErr
	}
	ends, _ := s.list(ctx, wire.Latest, false, feeds)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range feeds {
		next, ok := at[f]
		if !ok {
			left = append(left, f)
			continue
		}
		f.next, f.located, f.leader = next, true, known.leader(f.topic, f.number)
		if slices.Contains(ask, f) {
			f.committed = next
		}
		if end, ok := ends[f]; ok {
			f.end = end
		}
		s.backlog.add(f, slices.Contains(fresh, f))
	}
	s.describe(max(1, len(known.Brokers)), s.backlog.String())
	s.signal(s.wake)
	return left, startErr
}

// committed asks the group for its positions, those of partitions that others have too: they tell whether one
// without a position is new. It returns the partitions that have none.
func (s *source) committed(ctx context.Context, known *metadata, feeds []*feed, at map[*feed]int64) (fresh []*feed, err error) {
	if len(feeds) == 0 {
		return nil, nil
	}
	var parts []wire.Offset
	for _, name := range s.cfg.Topics {
		if t := known.Topics[name]; t != nil {
			for n := range t.Partitions {
				parts = append(parts, wire.Offset{Topic: name, Partition: int32(n)})
			}
		}
	}
	answer, err := s.member.call(ctx, s.timing.request, &wire.Call{
		Key: wire.OffsetFetchKey, Version: wire.OffsetFetchVersion,
		Body: wire.AppendOffsetFetch(nil, s.cfg.Group, parts),
	})
	if err != nil {
		return nil, err
	}
	all, c, err := wire.ReadOffsets(answer.Body)
	if err := errors.Join(err, codeError(code(c), "ask group %s for its position", s.cfg.Group)); err != nil {
		return nil, err
	}
	for _, f := range feeds {
		o := find(all, f)
		if o == nil {
			return nil, fmt.Errorf("group %s did not answer about %s", s.cfg.Group, f.name)
		}
		if err := codeError(code(o.Code), "ask group %s for its position in %s", s.cfg.Group, f.name); err != nil {
			return nil, err
		}
		if o.Offset < 0 {
			fresh = append(fresh, f)
			continue
		}
		if !sameTopic(o.Metadata, s.fingerprint(f.topic)) {
			return nil, s.recreated(f.topic)
		}
		at[f] = o.Offset
	}
	s.noteFirst(all, fresh)
	return fresh, nil
}

// noteFirst remembers the topics of which the group has no position at all: this is its first start there, and
// stays it until every partition has one.
func (s *source) noteFirst(all []wire.Offset, fresh []*feed) {
	for _, f := range fresh {
		if !slices.ContainsFunc(all, func(o wire.Offset) bool { return o.Topic == f.topic && o.Offset >= 0 }) {
			s.first[f.topic] = true
		}
	}
}
