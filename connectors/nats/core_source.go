package nats

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/sluice-bridge/sluice/connectors"
)

// dropReport is how often dropped messages are reported.
const dropReport = time.Second

// coreSource subscribes without a stream. Nobody can ask a core NATS publisher to wait, so what comes
// while the route stalls goes into a bounded buffer, and what does not fit there is dropped: the
// newest, so that what is delivered has no holes but at its end. Drops are counted and reported.
type coreSource struct {
	cfg    CoreSourceConfig
	env    connectors.Env
	conn   *conn
	buffer *coreBuffer
	lost   atomic.Int64 // dropped and not reported yet
	stop   context.CancelFunc
	done   sync.WaitGroup
	mark   uint64  // permission violations that are known; only for watch
	warned bool    // that answers are refused; only for Commit
	next   []int64 // by subject of the configuration: the number of its next message; only for Fetch

	mu   sync.Mutex
	subs []*coreSub
	err  error // why the subscriptions are not standing
}

// coreSub is one subscription and what nats.go dropped of it that is reported already.
type coreSub struct {
	sub     *nats.Subscription
	dropped int
}

// coreHandle is what Commit needs of a batch: whom to answer.
type coreHandle struct{ replies []string }

// coreAck is the answer that a requester gets when its message is acknowledged downstream.
var coreAck = []byte("+ACK")

func openCoreSource(cfg *CoreSourceConfig, env *connectors.Env) *coreSource {
	ctx, stop := context.WithCancel(context.Background())
	s := &coreSource{
		cfg: *cfg, env: *env, conn: dial(&cfg.Connection, env, true), stop: stop,
		buffer: newCoreBuffer(cfg.Buffer.Messages, int64(cfg.Buffer.Bytes)),
		next:   make([]int64, len(cfg.Subjects)),
	}
	s.done.Go(func() { s.watch(ctx) })
	s.done.Go(func() { s.reportDrops(ctx) })
	return s
}

// take is called by nats.go for one message of a subscription after the other. It does not block.
func (s *coreSource) take(subject int, m *nats.Msg) {
	if !s.buffer.put(coreEntry{m: m, subject: subject, memory: memoryOfMsg(m)}) {
		s.lost.Add(1)
	}
}

// countDropped adds what nats.go dropped before the buffer got to see it.
func (s *coreSource) countDropped() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.subs {
		if n, err := c.sub.Dropped(); err == nil && n > c.dropped {
			s.lost.Add(int64(n - c.dropped))
			c.dropped = n
		}
	}
}

func (s *coreSource) reportDrops(ctx context.Context) {
	tick := time.NewTicker(dropReport)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
		s.countDropped()
		s.report("the buffer of subjects " + strings.Join(s.cfg.Subjects, ", ") + " is full")
	}
}

func (s *coreSource) report(where string) {
	if n := s.lost.Swap(0); n > 0 {
		s.env.Host.Report(connectors.Event{Kind: connectors.Dropped, N: n, Text: where})
	}
}

// Fetch implements connectors.Source. A batch holds messages of one subscription.
func (s *coreSource) Fetch(ctx context.Context, room connectors.Room) (*connectors.Batch, error) {
	for {
		wake := s.buffer.changed()
		entries, need := s.buffer.take(room)
		if len(entries) > 0 {
			return s.batch(entries), nil
		}
		if need > 0 {
			return nil, &connectors.NoRoomError{Need: need}
		}
		s.mu.Lock()
		err := s.err
		s.mu.Unlock()
		if err != nil && ctx.Err() == nil {
			return nil, err
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (s *coreSource) batch(entries []coreEntry) *connectors.Batch {
	subject := entries[0].subject
	b := &connectors.Batch{Partition: s.cfg.Subjects[subject], Messages: make([]connectors.Message, len(entries))}
	handle := &coreHandle{}
	for i, e := range entries {
		m := &b.Messages[i]
		m.Subject, m.Value, m.Offset = e.m.Subject, e.m.Data, s.next[subject]
		if m.Value == nil {
			m.Value = []byte{}
		}
		restore(m, e.m.Header)
		s.next[subject]++
		b.Memory += e.memory
		if s.answers(e.m.Reply) {
			handle.replies = append(handle.replies, e.m.Reply)
		}
	}
	b.Next, b.Handle = s.next[subject], handle
	return b
}

// answers reports whether Commit is to answer at reply. A requester may name any subject there: those
// of the server and what is no subject are left alone, and a fast-ingest batch has a stream that answers.
func (s *coreSource) answers(reply string) bool {
	return s.cfg.AckMode == "reply" && reply != "" && reply[0] != '$' && !strings.HasSuffix(reply, ".$FI") &&
		validFilter(reply) && !strings.ContainsAny(reply, "*>")
}

// Commit implements connectors.Source. With ack_mode: reply it answers the requesters and returns once
// the server has the answers; a requester that is answered twice, because that failed, does not mind.
func (s *coreSource) Commit(ctx context.Context, done []*connectors.Batch) error {
	if !slices.ContainsFunc(done, func(b *connectors.Batch) bool { return len(handleOf(b).replies) > 0 }) {
		return nil
	}
	nc, life, err := s.conn.await(ctx)
	if err != nil {
		return err
	}
	mark, _ := s.conn.violations()
	for _, b := range done {
		for _, reply := range handleOf(b).replies {
			if err := nc.Publish(reply, coreAck); err != nil {
				return fmt.Errorf("nats %s: answer requesters: %w", s.conn.servers, explain(err))
			}
		}
	}
	if err := s.conn.barrier(ctx, nc, life); err != nil {
		return fmt.Errorf("nats %s: answer requesters: %w", s.conn.servers, explain(err))
	}
	if count, denied := s.conn.violations(); count != mark && !s.warned {
		s.warned = true
		s.env.Logger.Warn().Err(denied).Msg("requesters cannot be answered")
	}
	return nil
}

func handleOf(b *connectors.Batch) *coreHandle {
	if h, ok := b.Handle.(*coreHandle); ok {
		return h
	}
	return &coreHandle{}
}

// Close implements connectors.Source. What the server has sent and nobody has fetched is lost, and counted.
func (s *coreSource) Close(ctx context.Context) error {
	s.stop()
	s.drain(ctx)
	s.conn.close(ctx)
	s.done.Wait()
	if n := s.buffer.len(); n > 0 {
		s.lost.Add(int64(n))
		s.report("the daemon ended before they were fetched")
	}
	return nil
}

// Describe implements connectors.Describer.
func (s *coreSource) Describe() connectors.Facts { return coreSourceFacts(&s.cfg) }
