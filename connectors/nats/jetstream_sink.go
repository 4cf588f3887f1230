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

// jetStreamWrite is the state of one Write.
type jetStreamWrite struct {
	cursor cursor // the first message that is not done
	total  int
	failed []connectors.Failure
}

// cursor walks over the messages of batches.
type cursor struct {
	batches []*connectors.Batch
	at, in  int // batches[at].Messages[in]
	index   int // counted over all
}

func (c *cursor) batch() *connectors.Batch     { return c.batches[c.at] }
func (c *cursor) message() *connectors.Message { return &c.batches[c.at].Messages[c.in] }

// skip moves over n messages. Behind the last one it stands at no message.
func (c *cursor) skip(n int) {
	c.index += n
	c.in += n
	for c.at < len(c.batches) && c.in >= len(c.batches[c.at].Messages) {
		c.in -= len(c.batches[c.at].Messages)
		c.at++
	}
}

// fail ends the Write because of err: everything from the cursor on is not delivered.
func (w *jetStreamWrite) fail(err error) error {
	if w.cursor.index == 0 && len(w.failed) == 0 || connectors.IsPermanent(err) {
		return err
	}
	for i := w.cursor.index; i < w.total; i++ {
		w.failed = append(w.failed, connectors.Failure{Index: i, Err: err})
	}
	return &connectors.BatchError{Failed: w.failed}
}

func (w *jetStreamWrite) refuse(err error) {
	w.failed = append(w.failed, connectors.Failure{Index: w.cursor.index, Err: err})
	w.cursor.skip(1)
}

// Write implements connectors.Sink.
func (s *jetStreamSink) Write(ctx context.Context, batches []*connectors.Batch) error {
	w := &jetStreamWrite{cursor: cursor{batches: batches}}
	for _, b := range batches {
		w.total += len(b.Messages)
	}
	w.cursor.skip(0)
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
	if len(w.failed) > 0 {
		return &connectors.BatchError{Failed: w.failed}
	}
	return nil
}

// fly sends one flight and waits for its outcome. An error ends the Write.
func (s *jetStreamSink) fly(ctx context.Context, w *jetStreamWrite, sess *session) error {
	n, weight := measure(w)
	if err := s.room.Acquire(ctx, weight); err != nil {
		return err
	}
	defer s.room.Release(weight)
	f := newFlight(nuid.Next(), s.cfg.Stream, sess, n, w.cursor.index, s.floor.Load())
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
		if lost = s.settle(ctx, sess, f); ctx.Err() != nil {
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
func measure(w *jetStreamWrite) (n int, weight int64) {
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
func (s *jetStreamSink) send(ctx context.Context, w *jetStreamWrite, sess *session, f *flight, n int) (sent int, stopped error) {
	e, _ := s.framers.Get().(*framer)
	if e == nil {
		e = &framer{}
	}
	defer s.framers.Put(e)
	e.checked = e.checked[:0]
	at := w.cursor
	for sent < n && stopped == nil && !f.aborted() {
		buf, err := s.sender.buffer(ctx, sess)
		if err != nil {
			f.truncate(sent, e.checked)
			return sent, err
		}
		for sent < n && len(buf) < frameBuffer {
			if stopped = e.encode(s, sess, at.batch(), at.message()); stopped != nil {
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
func (s *jetStreamSink) settle(ctx context.Context, sess *session, f *flight) error {
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
func (s *jetStreamSink) account(ctx context.Context, w *jetStreamWrite, sess *session, f *flight, sent int, lost error) error {
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

func (w *jetStreamWrite) advance(o outcome) {
	w.failed = append(w.failed, o.refused...)
	w.cursor.skip(o.done)
}

// Describe implements connectors.Describer.
func (s *jetStreamSink) Describe() connectors.Facts {
	return jetStreamSinkFacts(&s.cfg, s.env.Headers, form(s.form.Load()))
}

func jetStreamSinkFacts(cfg *JetStreamSinkConfig, headers bool, f form) connectors.Facts {
	facts := connectors.Facts{
		Guarantee: "at least once: a message is acknowledged when the stream has stored it; after a lost connection the stream is read, so that only a kill of this process doubles what is in flight",
		Order:     "of the partition or key",
		Touches:   []string{"stream " + cfg.Stream + " (writes only)"},
		Memory:    2 * keptBuffer, MemoryFor: "2 x 1 MiB of encoded messages",
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
