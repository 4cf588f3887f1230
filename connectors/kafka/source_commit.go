package kafka

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/kafka/wire"
)

// manyMessages is how many settled messages are committed without waiting for more.
const manyMessages = 4096

// Commit implements connectors.Source. It stores the positions behind done in the group, under the
// generation in which each partition was assigned (I9): the broker refuses those of an older one, and
// they are then forgotten.
func (s *source) Commit(ctx context.Context, done []*connectors.Batch) error {
	latest := map[*feed]int64{}
	var messages int64
	for _, b := range done {
		h, ok := b.Handle.(*handle)
		if !ok {
			continue
		}
		messages += h.messages
		if next, seen := latest[h.feed]; !seen || b.Next > next {
			latest[h.feed] = b.Next
		}
	}
	if messages < manyMessages {
		if err := s.pace(ctx); err != nil {
			return err
		}
	}
	defer func() { s.paced = time.Now() }()
	for len(latest) > 0 {
		// One request for each generation; nearly always there is one.
		var as *wire.Member
		var parts []wire.Offset
		told := map[*feed]int64{}
		for f, next := range latest {
			if as == nil {
				as = &f.as
			}
			if f.as == *as {
				parts = append(parts, wire.Offset{
					Topic: f.topic, Partition: f.number, Offset: next, Epoch: -1, Metadata: s.fingerprint(f.topic),
				})
				told[f] = next
				delete(latest, f)
			}
		}
		if err := s.commit(ctx, as, parts); err != nil {
			return err
		}
		for f, next := range told {
			if over, ok := s.noteCommitted(f, next); ok {
				latest[f] = over
			}
		}
	}
	return nil
}

// pace waits so that commits are not sent more often than they are worth, unless there is hurry.
func (s *source) pace(ctx context.Context) error {
	left := s.timing.pace - time.Since(s.paced)
	if left <= 0 {
		return nil
	}
	s.paceMu.Lock()
	hurry := s.hurry
	s.paceMu.Unlock()
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-hurry:
	case <-s.life.Done():
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// hasten lets commits go without waiting until the returned function is called.
func (s *source) hasten() (relax func()) {
	s.paceMu.Lock()
	defer s.paceMu.Unlock()
	close(s.hurry)
	return func() {
		s.paceMu.Lock()
		defer s.paceMu.Unlock()
		s.hurry = make(chan struct{})
	}
}

// commit stores positions. It returns nil if the generation is over: nothing of it may be stored then.
func (s *source) commit(ctx context.Context, as *wire.Member, parts []wire.Offset) error {
	slices.SortFunc(parts, func(a, b wire.Offset) int { return strings.Compare(a.Topic, b.Topic) })
	answer, err := s.member.call(ctx, s.timing.request, &wire.Call{
		Key: wire.OffsetCommitKey, Version: wire.OffsetCommitVersion, Body: wire.AppendOffsetCommit(nil, as, parts),
	})
	if err != nil {
		return fmt.Errorf("kafka: commit to group %s: %w", s.cfg.Group, err)
	}
	results, err := wire.ReadCommitted(answer.Body)
	if err != nil {
		return fmt.Errorf("kafka: commit to group %s: %w", s.cfg.Group, err)
	}
	if len(results) != len(parts) {
		return fmt.Errorf("kafka: commit to group %s: %d partitions answered of %d", s.cfg.Group, len(results), len(parts))
	}
	for _, r := range results {
		switch c := code(r.Code); c {
		case codeNone:
		case codeIllegalGeneration, codeUnknownMemberID, codeFencedInstanceID:
			s.member.lost(as, c)
			return nil
		default:
			s.member.moved(c)
			return fmt.Errorf("kafka: %w", codeError(c, "commit %s to group %s", partName(r.Topic, r.Partition), s.cfg.Group))
		}
	}
	return nil
}

// fingerprintName introduces the topic's id in what the group keeps beside an offset. By it a position
// is told to be of a topic that was deleted and created anew meanwhile: offsets alone do not tell.
const fingerprintName = "sluice topic-id="

func (s *source) fingerprint(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.topics[name]; t != nil {
		return fingerprintOf(t.ID)
	}
	return ""
}
