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
			s.host.Report(connectors.Event{Kind: connectors.Gap, Partition: f.name, From: next, To: first})
			s.resumeAt(f, first)
			return
		case next <= last:
			s.resumeAt(f, next)
			return
		case tries >= beyondEnd:
			s.fail(fmt.Errorf("kafka: %s: position %d lies behind the end of the log (%d): the log was truncated or restored. "+
				"To go on, set the position, such as with kafka-consumer-groups --reset-offsets --group %s --topic %s:%d --to-offset %d --execute, then sluice resume %s",
				f.name, next, last, s.cfg.Group, f.topic, f.number, last, s.route))
			return
		}
		pause(ctx, s.backoff(tries))
	}
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
	return connectors.Permanent(fmt.Errorf("kafka: topic %s was deleted and created anew: the position of group %s is one of the old topic. "+
		"To go on with the new one, delete it with kafka-consumer-groups --delete-offsets --group %s --topic %s unless Kafka has done so, then sluice resume %s",
		name, s.cfg.Group, s.cfg.Group, name, s.route))
}
