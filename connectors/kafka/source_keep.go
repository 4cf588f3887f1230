package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/kafka/wire"
)

// keep keeps the metadata: now and then, and at once when a request has shown that it is stale.
func (s *source) keep() {
	timer := time.NewTimer(connectors.UntilTick(s.timing.metadata))
	defer timer.Stop()
	for fails := 0; ; {
		select {
		case <-s.life.Done():
			return
		case <-s.stale:
		case <-timer.C:
		}
		err := s.lookAround()
		switch {
		case s.life.Err() != nil:
			return
		case connectors.IsPermanent(err):
			s.fail(err)
			return
		case err != nil:
			fails++
			s.signal(s.stale)
		default:
			fails = 0
		}
		pause(s.life, s.backoff(fails+1)) // at most so often, however many requests complain
		timer.Reset(connectors.UntilTick(s.timing.metadata))
	}
}

// lookAround refreshes leaders and looks for new partitions and topics created anew.
func (s *source) lookAround() error {
	topics := append(slices.Clone(s.cfg.Topics), s.member.led()...)
	slices.Sort(topics)
	known, err := s.conn.refresh(s.life, slices.Compact(topics)...)
	if err != nil {
		return err
	}
	if err := s.noteTopics(known); err != nil {
		return err
	}
	s.member.grown(known)
	missing := s.missing(known)
	if leaderless := s.lead(known); leaderless > 0 {
		return codeError(codeLeaderNotAvailable, "%d partitions", leaderless)
	}
	return missing
}

// missing returns what is wrong with topics. Without a single sound one the source counts as
// disconnected; else it is told once.
func (s *source) missing(known *metadata) error {
	var errs []error
	for _, name := range s.cfg.Topics {
		if t := known.Topics[name]; t != nil && t.err() != nil {
			errs = append(errs, t.err())
		}
	}
	err := errors.Join(errs...)
	switch {
	case err == nil:
		s.conn.hold("topics", nil)
		s.told = ""
	case len(errs) == len(s.cfg.Topics):
		s.conn.hold("topics", fmt.Errorf("kafka: %w", err))
	default:
		s.conn.hold("topics", nil)
		if err.Error() != s.told {
			s.told = err.Error()
			s.tell(fmt.Errorf("kafka: %w", err))
		}
	}
	return err
}

// lead sets the partitions' leaders. It returns how many have none.
func (s *source) lead(known *metadata) (leaderless int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.feeds {
		if f.leader = known.leader(f.topic, f.number); f.leader < 0 {
			leaderless++
		}
	}
	s.signal(s.wake)
	return leaderless
}

// askEnds asks where partitions end that no answer has told of lately: what is not fetched, because it is
// paused or the route waits for room, grows all the same.
func (s *source) askEnds() {
	timer := time.NewTimer(connectors.UntilTick(s.timing.ends))
	defer timer.Stop()
	for fails := 0; ; {
		select {
		case <-s.life.Done():
			return
		case <-timer.C:
		}
		timer.Reset(connectors.UntilTick(s.timing.ends))
		s.askRetention()
		feeds := s.unheard(time.Now())
		if len(feeds) == 0 {
			continue
		}
		if err := s.lookForLag(feeds); err != nil {
			fails++
			pause(s.life, s.backoff(fails))
		} else {
			fails = 0
		}
	}
}

// unheard returns the partitions whose end was told too long ago. The broker of one that it was asked for tells
// as soon as there is something.
func (s *source) unheard(now time.Time) (feeds []*feed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.feeds {
		if f.located && f.leader >= 0 && !f.asked && now.Sub(f.heard) >= s.timing.ends {
			feeds = append(feeds, f)
		}
	}
	return feeds
}

func (s *source) lookForLag(feeds []*feed) error {
	ctx, cancel := context.WithTimeout(s.life, s.timing.request)
	defer cancel()
	ends, err := s.list(ctx, wire.Latest, s.cfg.Isolation == readCommitted, feeds)
	s.mu.Lock()
	defer s.mu.Unlock()
	for f, end := range ends {
		f.end, f.heard = max(f.end, end), time.Now()
	}
	return err
}
