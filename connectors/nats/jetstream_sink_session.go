package nats

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/sluice-bridge/sluice/connectors"
)

const (
	// refreshEvery is how often the stream's configuration is read again.
	refreshEvery = 30 * time.Second
	// sessionRetry is the pause after a stream could not be used.
	sessionRetry = time.Second
)

// sinkStream is what a sink looks at in an answer of STREAM.INFO.
type sinkStream struct {
	Config struct {
		Subjects     []string `json:"subjects"`
		Retention    string   `json:"retention"`
		Discard      string   `json:"discard"`
		MaxMsgs      int64    `json:"max_msgs"`
		MaxBytes     int64    `json:"max_bytes"`
		MaxMsgSize   int64    `json:"max_msg_size"`
		NoAck        bool     `json:"no_ack"`
		Sealed       bool     `json:"sealed"`
		AllowBatched bool     `json:"allow_batched"`
		Mirror       *struct {
			Name string `json:"name"`
		} `json:"mirror"`
	} `json:"config"`
	Created time.Time `json:"created"`
	State   struct {
		FirstSeq uint64 `json:"first_seq"`
		LastSeq  uint64 `json:"last_seq"`
	} `json:"state"`
}

// discards tells whether the stream loses messages by being written to. Their age and the number of
// one subject are not counted: those are how long a stream is meant to keep them.
func (i *sinkStream) discards() bool {
	return i.Config.Discard == "old" && (i.Config.MaxMsgs > 0 || i.Config.MaxBytes > 0)
}

// session is a stream that can be written to over one life of the connection. It does not change.
type session struct {
	nc         *nats.Conn
	link       link
	life       <-chan struct{} // closed when the connection is lost
	begun      time.Time       // when the connection was found to stand
	stream     *sinkStream
	fast       bool
	maxPayload int64
	origin     string // what sources of the stream call it
}

func (s *session) lost() bool {
	select {
	case <-s.life:
		return true
	default:
		return false
	}
}

// watch keeps a session while the connection stands, until ctx ends.
func (s *jetStreamSink) watch(ctx context.Context) {
	for {
		nc, life, err := s.conn.await(ctx)
		if err != nil {
			return
		}
		sess, err := s.begin(ctx, nc, life)
		if err != nil {
			s.setSession(nil, err)
			select {
			case <-life:
			case <-time.After(sessionRetry):
			case <-ctx.Done():
				return
			}
			continue
		}
		s.setSession(sess, nil)
		s.hold(ctx, nc, sess)
		if ctx.Err() != nil {
			return
		}
	}
}

// hold returns when the session is over. Meanwhile it reads the stream's configuration again, for
// that may change under the sink.
func (s *jetStreamSink) hold(ctx context.Context, nc *nats.Conn, sess *session) {
	refresh := time.NewTimer(refreshEvery)
	defer refresh.Stop()
	for {
		refresh.Reset(connectors.UntilTick(refreshEvery))
		select {
		case <-ctx.Done():
			return
		case <-sess.life:
			s.setSession(nil, nil)
			return
		case <-s.poke:
		case <-refresh.C:
		}
		next, err := s.begin(ctx, nc, sess.life)
		var refused *apiError
		switch {
		case err == nil:
			s.setSession(next, nil)
		case connectors.IsPermanent(err) || errors.As(err, &refused) || errors.Is(err, errUnfit):
			s.setSession(nil, err)
			return
		} // no answer in time: the server is slow, and what is known of the stream stays good enough
	}
}

// begin finds out how to write to the stream.
func (s *jetStreamSink) begin(ctx context.Context, nc *nats.Conn, life <-chan struct{}) (*session, error) {
	link, socket, err := s.conn.link(nc)
	if err != nil {
		return nil, err
	}
	if err := s.replies.subscribe(ctx, nc, link, socket); err != nil {
		return nil, fmt.Errorf("nats %s: subscribe to the sink's inbox: %w", s.conn.servers, explain(err))
	}
	at, err := serverInfoOf(nc)
	if err != nil {
		return nil, err
	}
	stream, err := s.readStream(ctx)
	if err == nil && stream.State.LastSeq < s.floor.Load() {
		// Shorter than it was. A leader that was just elected may not have applied all it has.
		wait(ctx, settleTime)
		stream, err = s.readStream(ctx)
	}
	if err != nil {
		return nil, err
	}
	return &session{
		nc: nc, link: link, life: life, begun: time.Now(), stream: stream, maxPayload: nc.MaxPayload(),
		origin: at.origin(stream.Created, s.cfg.Stream),
		fast:   s.cfg.Mode != "pipelined" && stream.Config.AllowBatched,
	}, nil
}

// errUnfit marks a stream or server that somebody has to change.
var errUnfit = errors.New("not fit for this sink")

// makeStream says how the stream is made. Which subjects come may be known to the source alone, and a stream of all
// subjects would take everybody's.
func (s *jetStreamSink) makeStream() string {
	patterns := s.subjects.patterns(nil)
	for _, p := range patterns {
		if p == ">" || strings.HasPrefix(p, "*") {
			return "sluice doctor prints the command that makes it"
		}
	}
	return s.conn.command("", connectors.CommandLine(addStream, s.cfg.Stream, strings.Join(patterns, ",")))
}

func (s *jetStreamSink) readStream(ctx context.Context) (*sinkStream, error) {
	var info sinkStream
	err := s.conn.api(ctx, "STREAM.INFO."+s.cfg.Stream, nil, &info)
	switch {
	case isAPIError(err, errCodeStreamNotFound):
		return nil, fmt.Errorf("stream %s does not exist (%w); the route goes on once it does: %s", s.cfg.Stream, err, s.makeStream())
	case err != nil:
		return nil, err
	}
	c := &info.Config
	switch {
	case c.Mirror != nil:
		return nil, fmt.Errorf("stream %s is a mirror of %s and takes no messages: %w", s.cfg.Stream, c.Mirror.Name, errUnfit)
	case c.Sealed:
		return nil, fmt.Errorf("stream %s is sealed and takes no messages: %w", s.cfg.Stream, errUnfit)
	case c.NoAck:
		return nil, fmt.Errorf("stream %s has no_ack set, so nothing written to it is ever acknowledged: %w", s.cfg.Stream, errUnfit)
	case s.cfg.Mode == "fast" && !c.AllowBatched:
		return nil, fmt.Errorf("stream %s does not have allow_batched set (nats-server 2.14), which mode: fast needs; set it, or use mode: auto: %w", s.cfg.Stream, errUnfit)
	case info.discards() && !s.env.Accepts("discard_old"):
		return nil, connectors.Halt("stream_discards", "", fmt.Errorf(
			"stream %s discards its oldest messages when it reaches max_msgs %d or max_bytes %d, read or not; "+
				"set its discard policy to new, or accept the loss with accept_loss: [discard_old]", s.cfg.Stream, c.MaxMsgs, c.MaxBytes))
	}
	return &info, nil
}

// setSession replaces the session and tells the route; err says why there is none.
func (s *jetStreamSink) setSession(sess *session, err error) {
	s.mu.Lock()
	before, failed := s.session, s.failed
	if sess != nil && before != nil {
		sess.begun = before.begun
	}
	forgotten := uint64(0)
	if sess != nil && before == nil {
		if s.created.Equal(sess.stream.Created) {
			forgotten = max(s.floor.Load(), sess.stream.State.LastSeq) - sess.stream.State.LastSeq
		}
		// Not the highest ever: a server that crashed may have forgotten some.
		s.floor.Store(sess.stream.State.LastSeq)
		s.created = sess.stream.Created
	}
	s.session, s.failed = sess, err
	close(s.changed)
	s.changed = make(chan struct{})
	s.mu.Unlock()
	switch {
	case err != nil && (failed == nil || failed.Error() != err.Error()):
		s.env.Host.Report(connectors.Event{Kind: connectors.Disconnected, Err: err})
	case sess != nil && before == nil:
		s.env.Host.Report(connectors.Event{Kind: connectors.Connected})
	}
	if forgotten > 0 {
		s.env.Host.Report(connectors.Event{Kind: connectors.Dropped, N: int64(forgotten), Text: "stream " + s.cfg.Stream,
			Err: fmt.Errorf("the server has lost what it had stored and acknowledged: stream %s ends at %d again, %d messages before where it was",
				s.cfg.Stream, sess.stream.State.LastSeq, forgotten)})
	}
	if sess == nil || before != nil && before.fast == sess.fast && slices.Equal(before.stream.Config.Subjects, sess.stream.Config.Subjects) {
		return
	}
	s.form.Store(int32(formOf(sess)))
	s.env.Logger.Info().Str("stream", s.cfg.Stream).Str("form", formOf(sess).String()).
		Strs("subjects", sess.stream.Config.Subjects).Msg("jetstream sink is ready")
}

// await returns the session. While there is none it waits, at most for patience, then returns why;
// a Permanent reason it returns at once.
func (s *jetStreamSink) await(ctx context.Context, patience time.Duration) (*session, error) {
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		s.mu.Lock()
		sess, failed, changed := s.session, s.failed, s.changed
		s.mu.Unlock()
		if sess != nil && !sess.lost() {
			return sess, nil
		}
		if connectors.IsPermanent(failed) {
			return nil, failed
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-late.C:
			if failed == nil {
				failed = s.conn.cause()
			}
			return nil, failed
		}
	}
}

// cause says why the connection is not up.
func (c *conn) cause() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	return fmt.Errorf("nats %s: no answer yet", c.servers)
}

// again asks for the stream's configuration to be read again soon.
func (s *jetStreamSink) again() {
	select {
	case s.poke <- struct{}{}:
	default:
	}
}
