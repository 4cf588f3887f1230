package nats

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
)

// settle waits for the outcome of what was sent. It returns errLost when the connection went away, or
// ctx's error.
func (s *jetStreamSink) settle(ctx context.Context, w *outgoing, sess *session, f *flight, sent int) error {
	probe := time.NewTimer(probeAfter)
	defer probe.Stop()
	asked := false
	for !f.over() {
		select {
		case <-f.wake:
			if f.fast && !asked && f.aborted() {
				asked = true
				s.probe(sess, f)
			}
		case <-probe.C:
			if s.denied(f, w, sent) != nil {
				return nil // there will be no answer
			}
			asked = true
			s.probe(sess, f)
			probe.Reset(probeEvery)
		case <-sess.life:
			return errLost
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// denied returns the violation that kept a message of a flight from the stream, if there was one. Such
// a message is not answered.
func (s *jetStreamSink) denied(f *flight, w *outgoing, sent int) error {
	if count, _ := s.conn.violations(); count == f.mark {
		return nil
	}
	at := w.cursor
	var subject []byte
	for range sent {
		subject, _ = s.subjects.append(subject[:0], at.batch(), at.message()) // it was made before
		if d := s.conn.deniedSince(f.mark, string(subject)); d != nil {
			return d
		}
		at.skip(1)
	}
	return nil
}

// probe asks the server about a flight, behind all its messages. It goes without an answer as long as
// the server is frozen.
func (s *jetStreamSink) probe(sess *session, f *flight) {
	if !f.fast {
		f.mu.Lock()
		f.probes++
		reply := fmt.Appendf(nil, "%s%s.p%d", s.replies.inbox, f.token, f.probes)
		f.mu.Unlock()
		s.sender.try(sess, []byte(apiPrefix+"STREAM.INFO."+s.cfg.Stream), reply, nil, nil)
		return
	}
	f.mu.Lock()
	last, subject := f.left, f.subject
	f.mu.Unlock()
	reply := appendFastReply(nil, s.replies.inbox, f.token, last, opPing)
	s.sender.try(sess, subject, reply, nil, nil)
}

// account moves w over what is done, asking the stream itself where the server's answers are lost.
func (s *jetStreamSink) account(ctx context.Context, w *outgoing, sess *session, f *flight, sent int, lost error) error {
	o := f.outcome()
	s.raiseFloor(o.highest)
	if o.astray != "" {
		return connectors.Halt("subject_astray", "", fmt.Errorf("subject of the route is stored by stream %s, not by %s: messages went there; change map.subject or the streams' subjects",
			o.astray, s.cfg.Stream))
	}
	var cause error
	if !o.definite && o.done < sent {
		cause = o.err
		if cause == nil {
			cause = lost
		}
		stored, sure, err := s.resolve(ctx, w, f, o.done, sent, lost != nil)
		if err != nil {
			w.advance(o)
			return err
		}
		o.done += stored
		o.err = nil
		if !sure {
			s.env.Logger.Warn().Str("stream", s.cfg.Stream).Int("messages", sent-o.done).AnErr("cause", cause).
				Msg("jetstream sink cannot know whether messages are stored; they are sent again")
		}
	}
	if o.done < sent {
		if lost == nil {
			s.conn.heard(ctx, sess.nc) // the answers of those behind it may have been faster
		}
		if denied := s.denied(f, w, sent); denied != nil {
			w.advance(o)
			return denied
		}
	}
	w.advance(o)
	if o.err != nil {
		if isAPIError(o.err, errCodeBatchDisabled) || errors.Is(o.err, errNoStream) {
			s.again()
		}
		return fmt.Errorf("stream %s: subject %q: %w", s.cfg.Stream, f.subjectText(), o.err)
	}
	if cause != nil && o.done < sent {
		s.env.Host.Report(connectors.Event{Kind: connectors.Retrying, Err: cause})
	}
	return nil
}
