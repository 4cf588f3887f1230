package nats

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// redeliverExpires ends a pull of what is in flight, some of which may be gone from the stream.
	redeliverExpires = time.Second
	redeliverTries   = 5
)

// redelivery reads again what the reset of a session has made pending and we have read before, and
// gives what is in flight its new deliveries. The messages themselves are thrown away: the sink has
// them. Not only what is in flight comes again: a server that is killed forgets the last
// acknowledgements.
type redelivery struct {
	s        *jetStreamSource
	p        *pullSession
	match    *matcher
	seen     uint64 // the stream sequence up to which it has come again
	position uint64 // up to which it must
	left     uint64 // messages the durable has not delivered
}

func (s *jetStreamSource) redeliver(ctx context.Context, p *pullSession, info *consumerInfo) error {
	r := &redelivery{
		s: s, p: p, match: s.flights.match(s.finished.Load()),
		seen: info.AckFloor.Stream, position: uint64(s.position.Load()), left: info.NumPending,
	}
	tries := 0
	for r.seen < r.position && r.left > 0 && len(p.carry) == 0 {
		came, err := r.pull(ctx)
		if err != nil {
			return err
		}
		if err := r.acknowledge(ctx); err != nil {
			return err
		}
		if came > 0 {
			tries = 0
			continue
		}
		if tries++; tries == redeliverTries {
			// Somebody takes it, or max_ack_pending was made smaller than what is in flight.
			s.abandon(ctx)
			return fmt.Errorf("%w: %s does not deliver again what is in flight, from %d on; it is read again as new",
				errSessionLost, s.place(), r.seen+1)
		}
		if info, err = s.durable.info(ctx); err != nil {
			return err
		}
		if info.Delivered.Consumer != p.last.Consumer {
			return fmt.Errorf("%w: %d deliveries went to somebody else", errSessionLost, info.Delivered.Consumer-p.last.Consumer)
		}
		r.left = info.NumPending
	}
	r.match.end()
	return nil
}

// pull reads a portion and returns how many messages came.
func (r *redelivery) pull(ctx context.Context) (came int, err error) {
	p, slot := r.p, &r.p.slots[0]
	err = p.ask(slot, pullRequest{
		Batch:    int(min(r.left, r.position-r.seen, redeliveryMessages)),
		MaxBytes: max(redeliveryBytes, r.s.conn.maxPayload()+messageOverhead),
		Expires:  min(redeliverExpires, p.expires),
	})
	if err != nil {
		return 0, err
	}
	for slot.messages > 0 {
		f, of, block, err := r.s.receive(ctx, p, requestTimeout, nil)
		if err != nil {
			return came, err
		}
		e, ok, err := p.take(f, of, block)
		switch {
		case errors.Is(err, errTooLarge):
			return came, nil // cannot be: the pull takes the largest message there is
		case err != nil:
			return came, err
		case !ok:
			continue
		case e.Stream > r.position:
			e.keep()
			p.carry = append(p.carry, e) // new: what was in flight is gone from the stream
		case !r.match.seen(e.sequences):
			// What is in flight has a hole that somebody's deliveries have hidden: read all again.
			r.s.abandon(ctx)
			return came, fmt.Errorf("%w: message %d was delivered to somebody else", errSessionLost, e.Stream)
		}
		came++
		if r.seen = e.Stream; p.explicit && r.seen <= r.match.done {
			if err := p.nc.Publish(p.ack.subject(e.sequences), []byte("+ACK")); err != nil {
				return came, fmt.Errorf("acknowledge %d of stream %s: %w", r.seen, r.s.cfg.Stream, explain(err))
			}
		}
	}
	r.left -= min(r.left, uint64(came))
	return came, nil
}

// acknowledge acknowledges again what was committed before, so that it does not use up what the
// durable allows to be pending.
func (r *redelivery) acknowledge(ctx context.Context) error {
	p, last := r.p, r.p.last
	if p.explicit || last.Consumer == 0 || last.Stream > r.match.done || last.Consumer <= p.floor.Consumer {
		return nil
	}
	return r.s.acknowledgeTo(ctx, p, last)
}
