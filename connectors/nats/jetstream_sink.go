package nats

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
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
	probeEvery = 5 * time.Second
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
	order    sendOrder
	room     *semaphore.Weighted
	framers  sync.Pool
	poke     chan struct{}
	floor    atomic.Uint64 // the highest stream sequence that is known to be taken
	form     atomic.Int32
	tail     tail

	stop context.CancelFunc
	done sync.WaitGroup

	mu      sync.Mutex
	created time.Time // of the stream, when it was last seen
	session *session
	failed  error         // why there is none
	changed chan struct{} // closed and replaced when session or failed change
	// wary are the partitions of which a single publish was refused for the moment. The next one goes
	// alone: what is sent behind one that is refused is stored, and stored again with every attempt.
	wary map[string]bool
}

func openJetStreamSink(cfg *JetStreamSinkConfig, subjects *subjects, env *connectors.Env) *jetStreamSink {
	ctx, stop := context.WithCancel(context.Background())
	s := &jetStreamSink{
		cfg: *cfg, env: *env, subjects: subjects, conn: dial(&cfg.Connection, env, true),
		sender: newSender(), replies: newReplies(), room: semaphore.NewWeighted(maxInFlight),
		tail: tail{turn: make(chan struct{}, 1)}, poke: make(chan struct{}, 1), changed: make(chan struct{}), stop: stop,
		wary: map[string]bool{},
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
	s.replies.close()
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
	most, partition := w.total, w.cursor.batch().Partition
	if !sess.fast && s.isWary(partition) {
		most = 1
	}
	n, weight := measure(w, most)
	if err := s.room.Acquire(ctx, weight); err != nil {
		return err
	}
	defer s.room.Release(weight)
	f := newFlight(nuid.Next(), s.cfg.Stream, sess, n, w.cursor.index, s.floor.Load())
	f.mark, _ = s.conn.violations()
	f.origins = originsOf(w.cursor, n)
	f.order, f.begunAt = &s.order, s.order.clock.Add(1)
	f.sentAt.Store(math.MaxUint64)
	s.replies.add(f)
	defer s.replies.remove(f)

	sent, stopped := s.send(ctx, w, sess, f, n, weight)
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
	err := s.account(ctx, w, sess, f, sent, lost)
	s.setWary(partition, err != nil)
	if err != nil {
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

// originsOf returns the origins of n messages from c on, as Sluice-Origin has them; nil if one has none.
func originsOf(c cursor, n int) (origins []string) {
	for end := c.index + n; c.index < end; c.skip(len(c.batch().Messages) - c.in) {
		name := []byte(c.batch().Origin)
		printable(name)
		origin := string(name)
		switch {
		case origin == "":
			return nil
		case !slices.Contains(origins, origin):
			origins = append(origins, origin)
		}
	}
	return origins
}

func (s *jetStreamSink) isWary(partition string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wary[partition]
}

func (s *jetStreamSink) setWary(partition string, on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if on {
		s.wary[partition] = true
	} else {
		delete(s.wary, partition)
	}
}

// measure returns how many messages the next flight takes, at most most, and what they weigh.
func measure(w *outgoing, most int) (n int, weight int64) {
	c := w.cursor
	for c.index < w.total && n < most {
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

// send encodes and sends up to n messages of weight. stopped says why there are fewer: errLost, or what is
// wrong with the message behind the last one sent.
func (s *jetStreamSink) send(ctx context.Context, w *outgoing, sess *session, f *flight, n int, weight int64) (sent int, stopped error) {
	e, _ := s.framers.Get().(*framer)
	if e == nil {
		e = &framer{}
	}
	defer s.framers.Put(e)
	e.checked = e.checked[:0]
	at := w.cursor
	for sent < n && stopped == nil && !f.aborted() {
		buf, err := s.sender.buffer(ctx, sess.life, weight)
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

// Describe implements connectors.Describer.
func (s *jetStreamSink) Describe() connectors.Facts {
	s.mu.Lock()
	sess := s.session
	s.mu.Unlock()
	maxPayload := int64(defaultMaxPayload)
	if sess != nil {
		maxPayload = sess.maxPayload
	}
	facts := jetStreamSinkFacts(&s.cfg, s.env.Headers, maxPayload, form(s.form.Load()))
	if sess != nil && sess.stream.discards() {
		facts.Guarantee += "; the stream discards its oldest messages at its limits, which the configuration accepts (discard_old)"
	}
	return facts
}
