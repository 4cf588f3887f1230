package nats

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/sluice-bridge/sluice/connectors"
)

// watch keeps the subscriptions until ctx ends. nats.go renews them after a reconnect; a connection
// that was closed for good, and a refusal, need new ones.
func (s *coreSource) watch(ctx context.Context) {
	var have *nats.Conn
	for {
		nc, life, err := s.conn.await(ctx)
		if err != nil {
			return
		}
		if nc != have {
			err = s.subscribe(ctx, nc)
		} else {
			err = s.confirm(ctx, nc, life)
		}
		if known := s.setError(err); err != nil {
			have = nil
			if !known {
				s.env.Host.Report(connectors.Event{Kind: connectors.Disconnected, Err: err})
			}
			select {
			case <-life:
			case <-time.After(sessionRetry):
			case <-ctx.Done():
				return
			}
			continue
		}
		have = nc
		s.env.Host.Report(connectors.Event{Kind: connectors.Connected})
		select {
		case <-life:
		case <-ctx.Done():
			return
		}
	}
}

// setError reports whether err is what it was.
func (s *coreSource) setError(err error) (known bool) {
	s.mu.Lock()
	known = err != nil && s.err != nil && err.Error() == s.err.Error()
	s.err = err
	s.mu.Unlock()
	s.buffer.ring()
	return known
}

func (s *coreSource) subscribe(ctx context.Context, nc *nats.Conn) error {
	s.unsubscribe()
	for i, subject := range s.cfg.Subjects {
		take := func(m *nats.Msg) { s.take(i, m) }
		sub, err := nc.QueueSubscribe(subject, s.cfg.Queue, take) // an empty queue is none
		if err != nil {
			return fmt.Errorf("nats %s: subscribe to %s: %w", s.conn.servers, subject, explain(err))
		}
		// The callback only moves messages into the buffer; this bounds what waits for it.
		if err := sub.SetPendingLimits(2*s.cfg.Buffer.Messages, 2*int(s.cfg.Buffer.Bytes)); err != nil {
			return fmt.Errorf("nats %s: subscribe to %s: %w", s.conn.servers, subject, err)
		}
		s.mu.Lock()
		s.subs = append(s.subs, &coreSub{sub: sub})
		s.mu.Unlock()
	}
	_, life, err := s.conn.await(ctx)
	if err != nil {
		return err
	}
	return s.confirm(ctx, nc, life)
}

// confirm returns nil once the server has accepted the subscriptions.
func (s *coreSource) confirm(ctx context.Context, nc *nats.Conn, life <-chan struct{}) error {
	if err := s.conn.barrier(ctx, nc, life); err != nil {
		return fmt.Errorf("nats %s: %w", s.conn.servers, explain(err))
	}
	before := s.mark
	s.mark, _ = s.conn.violations()
	for _, subject := range s.cfg.Subjects {
		if d := s.conn.deniedSince(before, subject); d != nil {
			return fmt.Errorf("nats %s: subscribe: %w", s.conn.servers, d)
		}
	}
	return nil
}

// drain ends the subscriptions and returns when all that the server has sent is in the buffer or counted as
// dropped, or when ctx ends.
func (s *coreSource) drain(ctx context.Context) {
	s.mu.Lock()
	subs := s.subs
	s.mu.Unlock()
	ended := make(chan struct{}, len(subs))
	for _, c := range subs {
		c.sub.SetClosedHandler(func(string) { ended <- struct{}{} })
		if c.sub.Drain() != nil {
			ended <- struct{}{} // the connection is gone, and the subscription with it
		}
	}
	for range subs {
		select {
		case <-ended:
		case <-ctx.Done():
		}
	}
	s.unsubscribe()
}

func (s *coreSource) unsubscribe() {
	s.countDropped()
	s.mu.Lock()
	subs := s.subs
	s.subs = nil
	s.mu.Unlock()
	for _, c := range subs {
		_ = c.sub.Unsubscribe() // the connection may be gone, and the subscription with it
	}
}
