package nats

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/sluice-bridge/sluice/connectors"
)

const (
	// calmAfter is how long a session lives to count as one that works.
	calmAfter = 10 * time.Second
	// retriedEvery is how often sessions that broke are reported.
	retriedEvery = time.Minute
)

// run holds one session after another until ctx ends or an operator is needed.
func (s *jetStreamSource) run(ctx context.Context) {
	pause := s.pace.pauseMin
	for ctx.Err() == nil {
		begin := time.Now()
		err := s.runSession(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case connectors.IsPermanent(err):
			s.mu.Lock()
			s.fatal = err
			s.notify()
			s.mu.Unlock()
			return
		case errors.Is(err, errLifeOver): // has been reported where it was noticed
			continue
		}
		if time.Since(begin) > calmAfter {
			pause = s.pace.pauseMin
		}
		s.note(err)
		// A durable that somebody else resets or reads makes short sessions: the pause grows, so that
		// two who do not see each other's marks do not reset in turns without end.
		wait(ctx, pause)
		pause = min(2*pause, s.pace.pauseMax)
	}
}

// note reports an error, once while it stays the same.
func (s *jetStreamSource) note(err error) {
	if err == nil || err.Error() == s.noted || !s.conn.isUp() {
		return // known, or reported where the connection was lost
	}
	s.noted = err.Error()
	s.env.Logger.Debug().Err(err).Msgf("session on %s", s.place())
	var hole *holeError
	if !errors.As(err, &hole) && !errors.Is(err, errContended) && !errors.Is(err, errSessionLost) {
		s.up = false
		s.env.Host.Report(connectors.Event{Kind: connectors.Disconnected, Err: err})
		return
	}
	// Each of these has other numbers in it; who disturbs a durable may do so for hours.
	if time.Since(s.retried) > retriedEvery {
		s.retried = time.Now()
		s.env.Host.Report(connectors.Event{Kind: connectors.Retrying, Err: err})
	}
}

// showUp reports that the durable can be read.
func (s *jetStreamSource) showUp() {
	if !s.up {
		s.up = true
		s.noted = ""
		s.env.Host.Report(connectors.Event{Kind: connectors.Connected})
	}
}

var (
	errLifeOver    = errors.New("connection lost")
	errSessionLost = errors.New("session lost")
)

// runSession begins a session, lends it to Fetch and Commit, and returns why it ended.
func (s *jetStreamSource) runSession(ctx context.Context) error {
	nc, life, err := s.conn.await(ctx)
	if err != nil {
		return err
	}
	s.noteLife(life)
	// Whatever is waited for while the session begins is in vain once the connection is lost.
	beginning, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	begun := make(chan struct{})
	go func() {
		select {
		case <-life:
			stop(errLifeOver)
		case <-begun:
		}
	}()
	p, filtered, err := s.beginSession(beginning, nc)
	close(begun)
	if err != nil {
		if cause := context.Cause(beginning); ctx.Err() == nil && cause != nil {
			return cause
		}
		return err
	}
	s.showUp()
	s.showActive()
	s.publish(p)
	err = s.watch(ctx, p, life, filtered)
	s.unpublish(p)
	s.release(ctx, p)
	return err
}

// beginSession looks at what there is and returns a session that may be lent, and whether its durable
// leaves messages out.
func (s *jetStreamSource) beginSession(ctx context.Context, nc *nats.Conn) (p *pullSession, filtered bool, err error) {
	at, err := serverInfoOf(nc)
	if err != nil {
		return nil, false, err
	}
	stream, info, err := s.look(ctx, &at)
	if err != nil {
		return nil, false, err
	}
	owned := !s.cfg.Shared && at.canReset()
	if owned {
		p, err = s.begin(ctx, nc, stream, info)
		var denied *DeniedError
		switch {
		case errors.As(err, &denied) && info.config.AckPolicy == "explicit":
			s.env.Logger.Warn().Err(err).Msgf("%s cannot be owned; every message is acknowledged by itself, without order", s.place())
			owned = false
		case errors.As(err, &denied):
			return nil, false, connectors.Halt("durable_not_owned", "", fmt.Errorf("%s has ack policy %s, which loses messages unless it has one owner, and the user may not own it: grant what is missing or use a durable with ack policy explicit: %w",
				s.place(), info.config.AckPolicy, err))
		case err != nil:
			s.release(ctx, p)
			return nil, false, err
		}
	}
	if !owned {
		if p, err = s.beginUnowned(nc, &at, info); err != nil {
			return nil, false, err
		}
	}
	s.describe(&at, stream, info, owned)
	return p, len(info.config.filters()) > 0 || stream.sparse(), nil
}

// noteLife remembers when this life of the connection began.
func (s *jetStreamSource) noteLife(life <-chan struct{}) {
	if life != s.life {
		s.reconnected = s.life != nil
		s.life, s.upSince = life, time.Now()
		s.up = false
	}
}

// look finds the stream and the durable, and creates the durable where it may.
func (s *jetStreamSource) look(ctx context.Context, at *serverInfo) (*streamInfo, *consumerInfo, error) {
	stream, err := s.durable.streamInfo(ctx)
	if isAPIError(err, errCodeStreamNotFound) {
		err = fmt.Errorf("%w; the route goes on once it does: %s", err, s.conn.command("", connectors.CommandLine(addStream, s.cfg.Stream, s.cfg.suggested())))
	}
	if err != nil {
		return nil, nil, err
	}
	if err := s.sameStream(stream); err != nil {
		return nil, nil, err
	}
	info, err := s.durable.info(ctx)
	if isAPIError(err, errCodeConsumerNotFound) {
		if !s.cfg.Consumer.Create {
			return nil, nil, fmt.Errorf("%s does not exist, and consumer.create is false (%w); make it: %s", s.place(), err, s.conn.command("", s.consumerAdd()))
		}
		from := int64(0)
		if s.known {
			// It was deleted while we read it: go on where we are, not where the configuration starts.
			from = int64(s.settled.Load()) + 1
		} else if err := s.unpositioned(ctx, at, stream); err != nil {
			return nil, nil, err
		}
		if err := s.durable.create(ctx, s.newDurable(from, stream, s.explicitAcks(at, stream))); err != nil && !isAPIError(err, errCodeConsumerExists) {
			return nil, nil, err
		}
		info, err = s.durable.info(ctx)
	}
	if err != nil {
		return nil, nil, err
	}
	if err := s.sameMessage(ctx, stream, info); err != nil {
		return nil, nil, err
	}
	return stream, info, s.fit(&info.config)
}

// unpositioned asks the bridge whether a durable that does not exist is new. If it is not, another instance
// may have made it meanwhile.
func (s *jetStreamSource) unpositioned(ctx context.Context, at *serverInfo, stream *streamInfo) error {
	lost := s.env.Host.Unpositioned(ctx, connectors.Range{
		Partition: s.cfg.Stream, Origin: at.origin(stream.Created, s.cfg.Stream),
		First: int64(max(1, stream.State.FirstSeq)), End: int64(stream.State.LastSeq) + 1,
	})
	if !connectors.IsPermanent(lost) {
		return lost
	}
	_, err := s.durable.info(ctx)
	if isAPIError(err, errCodeConsumerNotFound) {
		return lost
	}
	return err
}

// explicitAcks tells whether a new durable has to have every message acknowledged by itself.
func (s *jetStreamSource) explicitAcks(at *serverInfo, stream *streamInfo) bool {
	return s.cfg.Shared || !at.canReset() || stream.Config.Retention == "workqueue"
}

// sameStream checks that the stream is the one that was read before.
func (s *jetStreamSource) sameStream(stream *streamInfo) error {
	position := s.position.Load()
	switch {
	case s.created.IsZero():
		s.created = stream.Created
	case !s.created.Equal(stream.Created):
		return connectors.Halt("source_recreated", "sluice position "+s.env.Route+" set --to earliest",
			fmt.Errorf("stream %s was deleted and created again at %s: positions of the old one mean nothing in it",
				s.cfg.Stream, stream.Created.Format(time.RFC3339)))
	case int64(stream.State.LastSeq) < position:
		return connectors.Halt("source_truncated", fmt.Sprintf("sluice position %s set --to %d", s.env.Route, stream.State.LastSeq+1),
			fmt.Errorf("stream %s ends at %d, but %d was read before: it has lost messages", s.cfg.Stream, stream.State.LastSeq, position))
	}
	return nil
}

// begin makes this source the owner, at once or after it stood by, and returns a session that has
// redelivered what is in flight.
func (s *jetStreamSource) begin(ctx context.Context, nc *nats.Conn, stream *streamInfo, info *consumerInfo) (*pullSession, error) {
	if err := s.answerLiveness(ctx, nc); err != nil {
		return nil, err
	}
	if owner := info.owner(); owner.inbox != "" && owner.inbox != s.mark.inbox {
		s.abandon(ctx)
		s.showUp() // it can be read, only not by us
	}
	info, err := s.standBy(ctx, info)
	if err != nil {
		return nil, err
	}
	from := int64(0)
	if !s.known || info.owner().inbox != s.mark.inbox {
		// Nobody, or somebody else, owned it last: whatever is in flight may have been read again.
		s.abandon(ctx)
		next, known, err := s.env.Host.Assign(ctx, s.cfg.Stream)
		if err != nil {
			return nil, err
		}
		if known && next != int64(info.AckFloor.Stream)+1 {
			from = next
		}
		s.assigned = true
	}
	expect := s.expected(info)
	if !s.known {
		s.tellPurge(stream, info)
	}
	if info, err = s.take(ctx, info, from); err != nil {
		return nil, err
	}
	if !s.known {
		if from > 0 {
			expect = uint64(from)
		}
		if err := s.beginGaps(expect, stream, info); err != nil {
			return nil, err
		}
		s.position.Store(0)
		s.settled.Store(info.AckFloor.Stream)
		s.finished.Store(0)
		s.known = true
	}
	p := newPullSession(nc, s.conn, &s.durable, &info.config, s.window)
	p.ordered, p.ack, p.floor, p.firstAfter = true, s.ack, info.AckFloor, s.flights.firstAfter
	if err := p.open(); err != nil {
		return p, err
	}
	return p, s.redeliver(ctx, p, info)
}

// beginUnowned returns a session that shares the durable with whoever else reads it.
func (s *jetStreamSource) beginUnowned(nc *nats.Conn, at *serverInfo, info *consumerInfo) (*pullSession, error) {
	if info.config.AckPolicy != "explicit" {
		return nil, connectors.Halt("durable_not_owned", "", fmt.Errorf("%s has ack policy %s, which loses messages unless it has one owner, and owning needs a server of 2.14 or later, this is %s; use a durable with ack policy explicit",
			s.place(), info.config.AckPolicy, at.version))
	}
	s.flights.keepTwins()
	p := newPullSession(nc, s.conn, &s.durable, &info.config, s.window)
	p.ack, p.floor, p.firstAfter = s.ack, info.AckFloor, s.flights.firstAfter
	if err := p.open(); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// publish lends the session to Fetch and Commit.
func (s *jetStreamSource) publish(p *pullSession) {
	s.mu.Lock()
	s.live = p
	s.notify()
	s.mu.Unlock()
}

// unpublish takes it back and waits until neither uses it.
func (s *jetStreamSource) unpublish(p *pullSession) {
	p.end(errSessionLost)
	// Commit: who gets the token from now on sees that the session is over.
	s.acking <- struct{}{}
	<-s.acking
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live = nil
	s.notify()
	for s.fetching {
		changed := s.changed
		s.mu.Unlock()
		<-changed
		s.mu.Lock()
	}
}

func (s *jetStreamSource) release(ctx context.Context, p *pullSession) {
	if p == nil {
		return
	}
	p.close()
	if p.ack != (ackForm{}) {
		s.ack = p.ack
	}
	// The server must have given up our pulls before a RESET makes messages for them. It fails where the
	// connection is lost, and they with it.
	_ = s.conn.reach(ctx)
}

// abandon gives up what is in flight, because another instance has it.
func (s *jetStreamSource) abandon(ctx context.Context) {
	s.flights.renew()
	s.known = false
	s.mu.Lock()
	s.notify()
	s.mu.Unlock()
	if s.assigned {
		s.assigned = false
		over, cancel := context.WithCancel(ctx)
		cancel() // nothing of it can be committed any more
		s.env.Host.Revoke(over, s.cfg.Stream)
	}
}

// watch returns when the session is over, with the reason.
func (s *jetStreamSource) watch(ctx context.Context, p *pullSession, life <-chan struct{}, filtered bool) error {
	timer := time.NewTimer(connectors.UntilTick(s.pace.poll))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-life:
			return errLifeOver
		case <-p.over:
			return p.err
		case <-timer.C:
			if err := s.poll(ctx, p, filtered); err != nil {
				return err
			}
			timer.Reset(connectors.UntilTick(s.pace.poll))
		}
	}
}

// poll looks at the durable. An INFO that fails says nothing about the session; a lost connection is
// seen elsewhere.
func (s *jetStreamSource) poll(ctx context.Context, p *pullSession, filtered bool) error {
	select {
	case s.acking <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-p.over:
		return p.err
	}
	defer func() { <-s.acking }()
	before := s.lag.Load()
	info, err := s.durable.info(ctx)
	if isAPIError(err, errCodeConsumerNotFound) || isAPIError(err, errCodeStreamNotFound) {
		return fmt.Errorf("%s was deleted: %w", s.place(), err)
	}
	if err != nil {
		return nil
	}
	s.settled.Store(info.AckFloor.Stream)
	s.full.Store(info.config.MaxAckPending > 0 && info.NumAckPending >= int64(info.config.MaxAckPending))
	lag := int64(info.NumPending)
	if taken := p.taken.Load(); info.Delivered.Consumer > taken {
		lag += int64(info.Delivered.Consumer - taken)
	}
	s.lag.CompareAndSwap(before, lag) // a batch that came meanwhile knows better
	s.lookAhead(ctx, lag, info.AckFloor.Stream)
	select {
	case s.looked <- struct{}{}:
	default:
	}
	if !p.ordered {
		return nil
	}
	if err := p.owns(info, s.mark); err != nil {
		return err
	}
	if filtered {
		if stream, err := s.durable.streamInfo(ctx); err == nil {
			return s.gaps.examined(max(info.Delivered.Stream, uint64(s.position.Load())), stream.State.FirstSeq)
		}
	}
	return nil
}
