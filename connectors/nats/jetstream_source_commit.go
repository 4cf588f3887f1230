package nats

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
)

const (
	// commitPause is the least time between two acknowledgements of few messages; each costs two
	// round trips.
	commitPause = 10 * time.Millisecond
	// commitLarge is how many messages are acknowledged without that pause.
	commitLarge = 1024
)

// Commit acknowledges done to the durable and returns once the server has confirmed it. Batches that
// were fetched before another instance owned the durable are ignored.
func (s *jetStreamSource) Commit(ctx context.Context, done []*connectors.Batch) error {
	sp := s.flights.latest(done)
	if sp == nil {
		return nil
	}
	messages := 0
	for _, b := range done {
		if sp, ok := b.Handle.(*span); ok {
			messages += len(sp.seqs)
		}
	}
	if messages < commitLarge {
		if rest := commitPause - time.Since(s.lastCommit); rest > 0 {
			wait(ctx, rest)
		}
	}
	for {
		p, err := s.awaitOwned(ctx, sp)
		if p == nil {
			return err
		}
		select {
		case s.acking <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		err = s.acknowledge(ctx, p, sp, done)
		<-s.acking
		if errors.Is(err, errSessionOver) {
			if err := s.awaitEnd(ctx, p); err != nil {
				return err
			}
			continue
		}
		s.lastCommit = time.Now()
		if err == nil {
			s.finished.Store(max(s.finished.Load(), sp.last()))
			s.flights.remove(done)
		}
		return err
	}
}

// awaitOwned returns the live session in which sp may be acknowledged; nil without an error: another
// instance has owned the durable since sp was fetched, and sp is its business.
func (s *jetStreamSource) awaitOwned(ctx context.Context, sp *span) (*pullSession, error) {
	for {
		s.mu.Lock()
		live, fatal, changed := s.live, s.fatal, s.changed
		s.mu.Unlock()
		switch {
		case !s.flights.current(sp):
			return nil, nil
		case fatal != nil:
			return nil, fatal
		case live != nil:
			return live, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// errSessionOver says that the session ended before it could acknowledge.
var errSessionOver = errors.New("session over")

// acknowledge acknowledges sp and all before it in session p, if p still owns the durable. It is
// called with the acking token, so that p does not end meanwhile.
func (s *jetStreamSource) acknowledge(ctx context.Context, p *pullSession, sp *span, done []*connectors.Batch) error {
	select {
	case <-p.over:
		return errSessionOver
	default:
	}
	if p.explicit {
		return s.acknowledgeEach(ctx, p, done)
	}
	if sp.at == (sequences{}) || sp.at.Consumer <= p.floor.Consumer {
		return nil
	}
	err := s.acknowledgeTo(ctx, p, sp.at)
	if err == nil {
		s.settled.Store(sp.last())
	}
	return err
}

// acknowledgeTo acknowledges everything up to at, after it has seen that p still owns the durable.
func (s *jetStreamSource) acknowledgeTo(ctx context.Context, p *pullSession, at sequences) error {
	info, err := s.durable.info(ctx)
	if err != nil {
		return err
	}
	if err := p.owns(info, s.mark); err != nil {
		p.end(err)
		return errSessionOver
	}
	p.doubt = at
	if _, err := s.conn.request(ctx, p.ack.subject(at), []byte("+ACK")); err != nil {
		return fmt.Errorf("acknowledge up to %d of stream %s: %w", at.Stream, s.cfg.Stream, err)
	}
	p.floor, p.doubt = at, sequences{}
	return nil
}

// acknowledgeEach acknowledges every message by itself; the server looks at the stream sequence only.
// The last one's confirmation stands for all, for they are handled in order.
func (s *jetStreamSource) acknowledgeEach(ctx context.Context, p *pullSession, done []*connectors.Batch) error {
	if p.ordered {
		info, err := s.durable.info(ctx)
		if err != nil {
			return err
		}
		if err := p.owns(info, s.mark); err != nil {
			p.end(err)
			return errSessionOver
		}
	}
	var last uint64
	for _, b := range done {
		sp, ok := b.Handle.(*span)
		if !ok || !s.flights.current(sp) {
			continue
		}
		for _, seq := range sp.seqs {
			if last > 0 {
				if err := p.nc.Publish(p.ack.subject(sequences{1, last}), []byte("+ACK")); err != nil {
					return fmt.Errorf("acknowledge %d of stream %s: %w", last, s.cfg.Stream, explain(err))
				}
			}
			last = seq
		}
	}
	if last == 0 {
		return nil
	}
	if _, err := s.conn.request(ctx, p.ack.subject(sequences{1, last}), []byte("+ACK")); err != nil {
		return fmt.Errorf("acknowledge %d of stream %s: %w", last, s.cfg.Stream, err)
	}
	return nil
}
