package nats

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nuid"
	"golang.org/x/sync/semaphore"

	"github.com/sluice-bridge/sluice/connectors"
)

const (
	// maxInFlight bounds what is sent and not acknowledged, over all lanes. A stream drops what
	// exceeds its own queue of 100,000 messages or 128 MiB, which all its writers share.
	maxInFlight = 32 << 20
	// minWeight is what a message counts at least, so that no more than 20,000 are in flight.
	minWeight = maxInFlight / 20_000
	// maxFlight bounds one flight, so that two lanes go side by side.
	maxFlight = maxInFlight / 2
	// connectPatience is how long a Write waits for a stream before it says what is wrong.
	connectPatience = 5 * time.Second
	// probeAfter and probeEvery are when the server is asked about a flight of which nothing is heard.
	probeAfter = 2 * time.Second
	probeEvery = 10 * time.Second
	// doubtMemory is about what the names of all messages in flight take.
	doubtMemory = 4 << 20
	// defaultMaxPayload is a server's, as long as it has not said otherwise.
	defaultMaxPayload = 1 << 20
	// maxFruitless is how many flights in a row may bring a Write nowhere before it gives up.
	maxFruitless = 3
)

// form is how messages are written to the stream.
type form int32

const (
	formUnknown form = iota
	formFast
	formPipelined
)

func formOf(s *session) form {
	if s.fast {
		return formFast
	}
	return formPipelined
}

func (f form) String() string {
	return [...]string{"unknown", "fast-ingest batch", "pipelined publishes"}[f]
}

// jetStreamSink writes to one stream. Each Write is one or more flights: a fast-ingest batch each
// where the stream allows it (ADR-50), else single publishes sent without waiting. Flights of several
// lanes are under way at once. A flight waits for its answers as long as the connection stands: a
// server that is frozen answers when it thaws. When the connection is lost, the stream is read to
// learn what is stored, and only the rest is sent again.
type jetStreamSink struct {
	cfg      JetStreamSinkConfig
	env      connectors.Env
	conn     *conn
	subjects *subjects
	sender   *sender
	replies  *replies
	room     *semaphore.Weighted
	framers  sync.Pool
	poke     chan struct{}
	floor    atomic.Uint64 // the highest stream sequence that is known to be taken
	form     atomic.Int32
	tail     tail

	stop context.CancelFunc
	done sync.WaitGroup

	mu      sync.Mutex
	session *session
	failed  error         // why there is none
	changed chan struct{} // closed and replaced when session or failed change
}

func openJetStreamSink(cfg *JetStreamSinkConfig, subjects *subjects, env *connectors.Env) *jetStreamSink {
	ctx, stop := context.WithCancel(context.Background())
	s := &jetStreamSink{
		cfg: *cfg, env: *env, subjects: subjects, conn: dial(&cfg.Connection, env, true),
		sender: newSender(), replies: newReplies(), room: semaphore.NewWeighted(maxInFlight),
		poke: make(chan struct{}, 1), changed: make(chan struct{}), stop: stop,
	}
	s.done.Go(func() { s.watch(ctx) })
	s.done.Go(func() { s.sender.run(ctx) })
	return s
}

// Close implements connectors.Sink.
func (s *jetStreamSink) Close(ctx context.Context) error {
	s.stop()
	s.conn.close(ctx)
	s.done.Wait()
	return nil
}

func (s *jetStreamSink) raiseFloor(seq uint64) {
	for {
		have := s.floor.Load()
		if seq <= have || s.floor.CompareAndSwap(have, seq) {
			return
		}
	}
}

// Write implements connectors.Sink.
func (s *jetStreamSink) Write(ctx context.Context, batches []*connectors.Batch) error {
	w := newOutgoing(batches)
	for fruitless := 0; w.cursor.index < w.total; {
		before := w.cursor.index
		sess, err := s.await(ctx, connectPatience)
		if err != nil {
			return w.fail(err)
		}
		if err := s.fly(ctx, w, sess); err != nil {
			if slowDown(err) {
				s.env.Host.Report(connectors.Event{Kind: connectors.Throttled, Wait: sessionRetry})
			}
			return w.fail(err)
		}
		if fruitless++; w.cursor.index > before {
			fruitless = 0
		} else if fruitless >= maxFruitless {
			return w.fail(fmt.Errorf("stream %s: %d attempts in a row stored nothing", s.cfg.Stream, fruitless))
		}
	}
	return w.end()
}

// fly sends one flight and waits for its outcome. An error ends the Write.
func (s *jetStreamSink) fly(ctx context.Context, w *outgoing, sess *session) error {
	n, weight := measure(w)
	if err := s.room.Acquire(ctx, weight); err != nil {
		return err
	}
	defer s.room.Release(weight)
	f := newFlight(nuid.Next(), s.cfg.Stream, sess, n, w.cursor.index, s.floor.Load())
	f.mark, _ = s.conn.violations()
	f.origin = string(appendPrintable(nil, w.cursor.batch().Origin))
	s.replies.add(f)
	defer s.replies.remove(f)

	sent, stopped := s.send(ctx, w, sess, f, n)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var lost error
	if errors.Is(stopped, errLost) {
		lost = errLost
	} else if sent > 0 {
		if lost = s.settle(ctx, w, sess, f, sent); ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if err := s.account(ctx, w, sess, f, sent, lost); err != nil {
		return err
	}
	if stopped == nil || errors.Is(stopped, errLost) || w.cursor.index < f.first+sent {
		return nil
	}
	// The flight ended before a message that cannot go, and everything before it is done.
	if !connectors.IsPermanent(stopped) {
		s.again() // perhaps the stream was changed meanwhile
		return stopped
	}
	w.refuse(stopped)
	return nil
}

// measure returns how many messages the next flight takes and what they weigh.
func measure(w *outgoing) (n int, weight int64) {
	c := w.cursor
	for c.index < w.total {
		m := c.message()
		size := len(m.Value) + 2*len(m.Key)
		for i := range m.Headers {
			size += 2 * (len(m.Headers[i].Key) + len(m.Headers[i].Value))
		}
		more := max(int64(size), minWeight)
		if n > 0 && weight+more > maxFlight {
			break
		}
		weight += more
		n++
		c.skip(1)
	}
	return n, min(weight, maxInFlight)
}

// send encodes and sends up to n messages. stopped says why there are fewer: errLost, or what is
// wrong with the message behind the last one sent.
func (s *jetStreamSink) send(ctx context.Context, w *outgoing, sess *session, f *flight, n int) (sent int, stopped error) {
	e, _ := s.framers.Get().(*framer)
	if e == nil {
		e = &framer{}
	}
	defer s.framers.Put(e)
	e.checked = e.checked[:0]
	at := w.cursor
	for sent < n && stopped == nil && !f.aborted() {
		buf, err := s.sender.buffer(ctx, sess.life)
		if err != nil {
			f.truncate(sent, e.checked)
			return sent, err
		}
		for sent < n && len(buf) < frameBuffer {
			if stopped = s.encode(e, sess, at.batch(), at.message()); stopped != nil {
				break
			}
			e.reply = f.appendReply(e.reply[:0], s.replies.inbox, sent, n)
			buf = appendFrame(buf, e.subject, e.reply, e.block, at.message().Value)
			at.skip(1)
			sent++
		}
		if stopped != nil && f.fast && sent > 0 {
			e.reply = appendFastReply(e.reply[:0], s.replies.inbox, f.token, sent+1, opEnd)
			buf = appendFrame(buf, e.checked, e.reply, nil, nil)
		}
		s.sender.send(sess, buf)
	}
	f.truncate(sent, e.checked)
	return sent, stopped
}

// appendReply appends the reply subject of message i of n, which says its operation in a fast batch.
func (f *flight) appendReply(dst []byte, inbox string, i, n int) []byte {
	if !f.fast {
		dst = append(dst, inbox...)
		dst = append(dst, f.token...)
		dst = append(dst, '.')
		return strconv.AppendInt(dst, int64(i), 10)
	}
	op := byte(opAppend)
	switch {
	case i == n-1:
		op = opCommit
	case i == 0:
		op = opStart
	}
	return appendFastReply(dst, inbox, f.token, i+1, op)
}

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
		reply := append([]byte(s.replies.inbox), f.token+".p"...)
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
		return connectors.Permanent(fmt.Errorf("subject of the route is stored by stream %s, not by %s: messages went there; change map.subject or the streams' subjects",
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
	if denied := s.denied(f, w, sent); denied != nil && o.done < sent {
		w.advance(o)
		return denied
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

// Describe implements connectors.Describer.
func (s *jetStreamSink) Describe() connectors.Facts {
	s.mu.Lock()
	sess := s.session
	s.mu.Unlock()
	maxPayload := int64(defaultMaxPayload)
	if sess != nil {
		maxPayload = sess.maxPayload
	}
	return jetStreamSinkFacts(&s.cfg, s.env.Headers, maxPayload, form(s.form.Load()))
}

func jetStreamSinkFacts(cfg *JetStreamSinkConfig, headers bool, maxPayload int64, f form) connectors.Facts {
	facts := connectors.Facts{
		Guarantee: "at least once: a message is acknowledged when the stream has stored it; after a lost connection the stream is read, so that only a kill of this process doubles what is in flight",
		Order:     "of the partition or key",
		Touches:   []string{"stream " + cfg.Stream + " (writes only)"},
		Memory:    2*(frameBuffer+5*maxPayload/4) + doubtMemory,
		MemoryFor: "two encoded pieces of 256 KiB and one message more, and 4 MiB to learn what a lost connection left behind",
	}
	if !headers {
		facts.Guarantee = "at least once: a message is acknowledged when the stream has stored it; without headers nobody can tell what a lost connection left behind, so at most what is in flight is doubled then"
	}
	switch f {
	case formFast:
		facts.Order += ", as fast-ingest batches"
	case formPipelined:
		facts.Order += ", as pipelined publishes: where a message is refused for the moment, or the stream's leader changes, later ones may stand before it, and then again behind it"
	}
	return facts
}
