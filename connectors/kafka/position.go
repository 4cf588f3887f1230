package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

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
				as: as, committed: -1, end: -1, leader: -1,
			})
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.feeds = slices.Clone(feeds)
	return feeds
}

// unassigned stops reading partitions.
func (s *source) unassigned(feeds []*feed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range feeds {
		f.gone = true
	}
	s.feeds = slices.DeleteFunc(s.feeds, func(f *feed) bool { return f.gone })
	s.signal(s.wake)
}

// locateAll finds out where to begin in each partition, again and again until all are located or the
// generation is over; those that are located are read meanwhile.
func (s *source) locateAll(g *generation, feeds []*feed) {
	for fails := 0; len(feeds) > 0 && g.over.Err() == nil && len(g.again) == 0; {
		var err error
		if feeds, err = s.locate(g.over, feeds); err == nil {
			fails = 0
			continue
		}
		switch {
		case g.over.Err() != nil:
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
		pause(g.over, s.backoff(fails))
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
	fresh, err := s.committed(ctx, ask, at)
	if err != nil {
		return feeds, err
	}
	startErr := s.begin(ctx, fresh, at)
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

// committed asks the group for its positions and returns the partitions that have none.
func (s *source) committed(ctx context.Context, feeds []*feed, at map[*feed]int64) (fresh []*feed, err error) {
	if len(feeds) == 0 {
		return nil, nil
	}
	answer, err := s.member.call(ctx, s.timing.request, &wire.Call{
		Key: wire.OffsetFetchKey, Version: wire.OffsetFetchVersion,
		Body: wire.AppendOffsetFetch(nil, s.cfg.Group, places(feeds)),
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
		if now := s.fingerprint(f.topic); strings.HasPrefix(o.Metadata, fingerprintName) && now != "" && o.Metadata != now {
			return nil, s.recreated(f.topic)
		}
		at[f] = o.Offset
	}
	return fresh, nil
}

// begin resolves the configured start and commits it before the first fetch: "latest" stays what it was
// when the route was started first, whatever happens before its first message is through.
func (s *source) begin(ctx context.Context, fresh []*feed, at map[*feed]int64) error {
	if len(fresh) == 0 {
		return nil
	}
	starts, err := s.start(ctx, fresh)
	var parts []wire.Offset
	for _, f := range fresh {
		if next, ok := starts[f]; ok {
			parts = append(parts, wire.Offset{
				Topic: f.topic, Partition: f.number, Offset: next, Epoch: -1, Metadata: s.fingerprint(f.topic),
			})
		}
	}
	if len(parts) == 0 {
		return err
	}
	if committing := s.commit(ctx, &fresh[0].as, parts); committing != nil {
		return committing
	}
	for f, next := range starts {
		at[f] = next
	}
	return err
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
