package kafka

import (
	"fmt"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/kafka/wire"
)

// beyondEnd is how often a position behind the end of the log is looked at before it is believed: just
// after an election a leader may not know its end yet.
const beyondEnd = 3

// relocate finds out why a position is out of range and goes on if that is right: data that expired
// before it was read is a gap to report; a log that is shorter than what was read from it is for an
// operator. The fetch answer itself does not tell the ends of the log.
func (s *source) relocate(f *feed) {
	ctx := s.life
	for tries := 1; ctx.Err() == nil; tries++ {
		s.mu.Lock()
		next, gone := f.next, f.gone
		s.mu.Unlock()
		if gone {
			return
		}
		first, last, err := s.ends(f)
		switch {
		case err != nil && connectors.IsPermanent(err):
			s.fail(err)
			return
		case err != nil:
			if ctx.Err() == nil {
				s.note(err)
			}
		case next < first:
			if err := s.host.Gap(f.name, next, first); err != nil {
				s.fail(err)
				return
			}
			s.stepOver(f, gap{next, first})
			s.resumeAt(f, first)
			return
		case next <= last:
			s.resumeAt(f, next)
			return
		case tries >= beyondEnd:
			s.fail(connectors.Halt("source_truncated", fmt.Sprintf("sluice position %s set --partition %s --to %d", s.route, f.name, last),
				fmt.Errorf("kafka: %s: position %d lies behind the end of the log (%d): the log was truncated or restored, and what it holds from there on is not what was read",
					f.name, next, last)))
			return
		}
		pause(ctx, s.backoff(tries))
	}
}

// gap is where messages expired before they were read: [from, to).
type gap struct{ from, to int64 }

// stepOver lets the group's position step over a gap: at once if all before it is committed, else as soon as
// it is. Nothing from behind the gap has been returned yet.
func (s *source) stepOver(f *feed, g gap) {
	s.mu.Lock()
	now := f.committed == g.from
	if !now {
		f.gap = g
	}
	s.mu.Unlock()
	if !now {
		return
	}
	err := s.commit(s.life, &f.as, []wire.Offset{{
		Topic: f.topic, Partition: f.number, Offset: g.to, Epoch: -1, Metadata: s.fingerprint(f.topic),
	}})
	if err != nil {
		s.log.Warn().Err(err).Str("partition", f.name).Msg("the position could not step over a gap; without a message behind it the gap is found again at the next start")
		return
	}
	s.noteCommitted(f, g.to)
}

// noteCommitted keeps what the group was told and returns where the position is to step next: over a gap
// that begins there.
func (s *source) noteCommitted(f *feed, next int64) (over int64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.committed = next
	g := f.gap
	if g.to == 0 || next < g.from {
		return 0, false
	}
	f.gap = gap{}
	return g.to, next < g.to
}

// ends returns the first offset of the log and that behind its last.
func (s *source) ends(f *feed) (first, last int64, err error) {
	known, err := s.conn.refresh(s.life, s.cfg.Topics...)
	if err == nil {
		err = s.noteTopics(known)
	}
	if err != nil {
		return 0, 0, err
	}
	firsts, err := s.list(s.life, wire.Earliest, false, []*feed{f})
	if err != nil {
		return 0, 0, err
	}
	lasts, err := s.list(s.life, wire.Latest, false, []*feed{f})
	return firsts[f], lasts[f], err
}

// resumeAt lets a partition be read on from next.
func (s *source) resumeAt(f *feed, next int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.next, f.located = next, true
	f.notBefore = time.Now().Add(s.backoff(f.fails))
	s.signal(s.wake)
}

// noteTopics keeps the topics as they were first seen and refuses one that was created anew.
func (s *source) noteTopics(known *metadata) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range s.cfg.Topics {
		t := known.Topics[name]
		if t == nil || t.Code != codeNone {
			continue
		}
		if t.recreated(s.topics[name]) {
			return s.recreated(name)
		}
		s.topics[name] = t
	}
	return nil
}

// recreated is the error for a topic that is not the one that was read before.
func (s *source) recreated(name string) error {
	return connectors.Halt("source_recreated", fmt.Sprintf("sluice position %s set --to earliest", s.route),
		fmt.Errorf("kafka: topic %s was deleted and created anew: the position of group %s is one of the old topic", name, s.cfg.Group))
}
