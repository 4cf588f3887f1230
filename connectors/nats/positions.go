package nats

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/sluice-bridge/sluice/connectors"
)

// positions are what a durable has acknowledged: one, for a stream is one partition. It works as a source
// does that never pulls. One caller.
type positions struct{ s *jetStreamSource }

// openPositions begins to connect and returns at once.
func openPositions(cfg JetStreamSourceConfig, env connectors.Env) connectors.Positions {
	env.Host = noHost{} // what this connection meets is not news of the route
	return positions{prepareJetStreamSource(cfg, env, defaultPace())}
}

// Close implements connectors.Positions.
func (p positions) Close(ctx context.Context) error {
	p.s.conn.close(ctx)
	return nil
}

func (p positions) connection(ctx context.Context) (*nats.Conn, error) {
	limited, cancel := context.WithTimeout(ctx, logPatience)
	defer cancel()
	nc, _, err := p.s.conn.await(limited)
	return nc, err
}

// Committed implements connectors.Positions.
func (p positions) Committed(ctx context.Context) ([]connectors.Position, error) {
	nc, err := p.connection(ctx)
	if err != nil {
		return nil, err
	}
	server, err := serverInfoOf(nc)
	if err != nil {
		return nil, err
	}
	stream, err := p.s.durable.streamInfo(ctx)
	if err != nil {
		return nil, err
	}
	at := connectors.Position{Partition: p.s.cfg.Stream, Origin: server.origin(stream.Created, p.s.cfg.Stream)}
	info, err := p.s.durable.info(ctx)
	switch {
	case isAPIError(err, errCodeConsumerNotFound):
	case err != nil:
		return nil, err
	default:
		at.Next, at.Known = int64(info.AckFloor.Stream)+1, true
	}
	return []connectors.Position{at}, nil
}

// Set implements connectors.Positions. It becomes the owner, as a source does (see owner.go), moves the
// durable, and resigns.
func (p positions) Set(ctx context.Context, next map[string]int64) error {
	stream := p.s.cfg.Stream
	for partition, seq := range next {
		if partition != stream {
			return fmt.Errorf("%q is not a partition of stream %s; it has one, which is called %s", partition, stream, stream)
		}
		if seq < 1 {
			return fmt.Errorf("stream %s has no position %d; its first is 1", stream, seq)
		}
	}
	seq, ok := next[stream]
	if !ok {
		return nil
	}
	nc, err := p.connection(ctx)
	if err != nil {
		return err
	}
	at, err := serverInfoOf(nc)
	if err != nil {
		return err
	}
	info, err := p.s.durable.info(ctx)
	if isAPIError(err, errCodeConsumerNotFound) {
		return p.create(ctx, &at, seq)
	}
	if err != nil {
		return err
	}
	if err := p.unread(ctx, &at, info); err != nil {
		return err
	}
	return p.move(ctx, nc, &at, info, seq)
}

// create makes a durable that begins at seq.
func (p positions) create(ctx context.Context, at *serverInfo, seq int64) error {
	s := p.s
	if !s.cfg.Consumer.Create {
		return fmt.Errorf("%s does not exist, and consumer.create is false: create it with the start sequence %d", s.place(), seq)
	}
	info, err := s.durable.streamInfo(ctx)
	if err != nil {
		return err
	}
	return s.durable.create(ctx, s.newDurable(seq, info, s.explicitAcks(at, info)))
}

// unread returns an error that names who reads the durable, if somebody does.
func (p positions) unread(ctx context.Context, at *serverInfo, info *consumerInfo) (err error) {
	s := p.s
	// Without ownership readers show by their pulls only; those of one that has just ended go in a moment.
	if s.cfg.Shared || !at.canReset() {
		for begin := time.Now(); info.NumWaiting > 0; wait(ctx, s.pace.standby/4) {
			if time.Since(begin) > s.pace.settle {
				return fmt.Errorf("%s is being read: %d pulls wait at it; stop its readers first", s.place(), info.NumWaiting)
			}
			if info, err = s.durable.info(ctx); err != nil {
				return err
			}
		}
	}
	owner := info.owner()
	if owner.inbox == "" {
		return nil
	}
	for begin := time.Now(); time.Since(begin) < s.pace.dead; {
		asking, cancel := context.WithTimeout(ctx, s.pace.standby)
		_, err := s.conn.request(asking, owner.inbox, nil)
		cancel()
		var denied *DeniedError
		switch {
		case err == nil:
			return fmt.Errorf("%s is being read by the instance %s; stop it first", s.place(), owner.instance)
		case errors.Is(err, nats.ErrNoResponders):
			return nil
		case errors.As(err, &denied):
			return fmt.Errorf("%s belongs to the instance %s, and whether that lives cannot be asked: %w", s.place(), owner.instance, err)
		case ctx.Err() != nil:
			return ctx.Err()
		}
	}
	return nil
}

// setTries is how often a durable is moved that does not stay where it was moved to.
const setTries = 5

// move moves a durable that nobody reads to seq.
func (p positions) move(ctx context.Context, nc *nats.Conn, at *serverInfo, info *consumerInfo, seq int64) error {
	s := p.s
	left := map[string]string{positionKey: strconv.FormatInt(seq-1, 10)}
	if !at.canReset() {
		return p.recreate(ctx, info, seq, left)
	}
	if s.cfg.Shared {
		return s.durable.reset(ctx, seq)
	}
	// Who stands by finds a live owner meanwhile.
	if err := s.answerLiveness(ctx, nc); err != nil {
		return err
	}
	s.mark.session++
	if err := s.durable.update(ctx, info, nil, map[string]string{ownerKey: s.mark.String()}); err != nil {
		return err
	}
	for try := 1; ; try++ {
		err := s.durable.reset(ctx, seq)
		var refused *apiError
		if errors.As(err, &refused) { // a durable cannot go back behind the start it was created with
			return p.recreate(ctx, info, seq, left)
		}
		if err != nil {
			return err
		}
		got, err := s.durable.info(ctx)
		switch {
		case err != nil:
			return err
		case got.owner() == s.mark && got.Delivered.Consumer == 0 && got.AckFloor.Stream == uint64(seq-1):
			return s.durable.update(ctx, got, nil, left)
		case got.owner() != s.mark || try == setTries:
			return fmt.Errorf("%w; its position is %d", errContended, got.AckFloor.Stream+1)
		}
		// What the last owner left at the server, a pull or an acknowledgement, has moved it on.
		wait(ctx, s.pace.standby/4)
	}
}

// recreate replaces a durable by one that begins at seq. Where messages leave the stream once they are
// consumed, deleting its consumer would drop some.
func (p positions) recreate(ctx context.Context, info *consumerInfo, seq int64, left map[string]string) error {
	stream, err := p.s.durable.streamInfo(ctx)
	if err != nil {
		return err
	}
	if stream.Config.Retention != "limits" {
		return fmt.Errorf("%s cannot be moved to %d: that needs a new durable, and deleting this one would drop messages of a stream with %s retention",
			p.s.place(), seq, stream.Config.Retention)
	}
	return p.s.durable.recreate(ctx, info, seq, left)
}
