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

// lookAround refreshes leaders, looks for new partitions and topics created anew, and asks how much there
// is to read where no fetch answer has told for long.
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
	leaderless, quiet := s.lead(known)
	if len(quiet) > 0 {
		s.lookForLag(quiet)
	}
	if leaderless > 0 {
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

// lead sets the partitions' leaders. It returns how many have none, and all partitions if no fetch
// answer has come for long.
func (s *source) lead(known *metadata) (leaderless int, quiet []*feed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.feeds {
		if f.leader = known.leader(f.topic, f.number); f.leader < 0 {
			leaderless++
		}
	}
	if time.Since(s.heard) >= s.timing.metadata {
		quiet = slices.Clone(s.feeds)
	}
	s.signal(s.wake)
	return leaderless, quiet
}

func (s *source) lookForLag(feeds []*feed) {
	ctx, cancel := context.WithTimeout(s.life, s.timing.request)
	defer cancel()
	ends, _ := s.list(ctx, wire.Latest, s.cfg.Isolation == readCommitted, feeds)
	s.mu.Lock()
	defer s.mu.Unlock()
	for f, end := range ends {
		f.end = max(f.end, end)
	}
}
