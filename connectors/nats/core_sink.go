package nats

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/sluice-bridge/sluice/connectors"
)

// coreSink publishes without a stream. A message counts as acknowledged once the server has parsed it,
// which a PING behind it shows; who subscribes at that moment gets it, and nobody else ever does.
type coreSink struct {
	cfg      CoreSinkConfig
	env      connectors.Env
	conn     *conn
	subjects *subjects
	sender   *sender
	framers  sync.Pool
	stop     context.CancelFunc
	done     sync.WaitGroup

	mu   sync.Mutex
	link *coreLink
}

// coreLink is one life of the connection.
type coreLink struct {
	nc         *nats.Conn
	frames     link
	socket     *socket
	life       <-chan struct{}
	maxPayload int64
}

func coreSinkSpec(c CoreSinkConfig, about connectors.About) (*connectors.SinkSpec, error) {
	subjects, err := sinkSubjects(about.Map.Subject, c.Subject)
	if err != nil {
		return nil, err
	}
	return &connectors.SinkSpec{
		Open: func(_ context.Context, env connectors.Env) (connectors.Sink, error) {
			return openCoreSink(&c, subjects, &env), nil
		},
		Facts:  coreSinkFacts(defaultMaxPayload),
		Remote: true,
		Maps:   []string{"subject"},
		Places: subjectPlaces(c.Servers, string(subjects.constant)),
		Examine: func(env connectors.Env, topics []string) (*connectors.Examination, error) {
			patterns := subjects.patterns(topics)
			return examineCore(&c.Connection, env, "publishing to "+strings.Join(patterns, " "), &needs{publish: patterns})
		},
	}, nil
}

func coreSinkFacts(maxPayload int64) connectors.Facts {
	return connectors.Facts{
		Guarantee: "at least once to the NATS server, at most once from there: who does not subscribe at that moment never gets a message; after a lost connection, what was not confirmed is sent again",
		Order:     "of the partition or key",
		Memory:    2 * (frameBuffer + 5*maxPayload/4), MemoryFor: "two encoded pieces of 256 KiB and one message more",
	}
}

func openCoreSink(cfg *CoreSinkConfig, subjects *subjects, env *connectors.Env) *coreSink {
	ctx, stop := context.WithCancel(context.Background())
	s := &coreSink{cfg: *cfg, env: *env, conn: dial(&cfg.Connection, env, false), subjects: subjects, sender: newSender(), stop: stop}
	s.done.Go(func() { s.sender.run(ctx) })
	return s
}

// Close implements connectors.Sink.
func (s *coreSink) Close(ctx context.Context) error {
	s.stop()
	s.conn.close(ctx)
	s.done.Wait()
	return nil
}

// Describe implements connectors.Describer.
func (s *coreSink) Describe() connectors.Facts {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.link == nil {
		return coreSinkFacts(defaultMaxPayload)
	}
	return coreSinkFacts(s.link.maxPayload)
}

// connected returns the life of the connection there is, or waits for one, for a while.
func (s *coreSink) connected(ctx context.Context) (*coreLink, error) {
	wctx, cancel := context.WithTimeout(ctx, connectPatience)
	defer cancel()
	nc, life, err := s.conn.await(wctx)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, s.conn.cause()
	}
	s.mu.Lock()
	have := s.link
	s.mu.Unlock()
	if have != nil && have.life == life {
		return have, nil
	}
	frames, socket, err := s.conn.link(nc)
	if err != nil {
		return nil, err
	}
	link := &coreLink{nc: nc, frames: frames, socket: socket, life: life, maxPayload: nc.MaxPayload()}
	s.mu.Lock()
	s.link = link
	s.mu.Unlock()
	return link, nil
}

// Write implements connectors.Sink.
func (s *coreSink) Write(ctx context.Context, batches []*connectors.Batch) error {
	w := newOutgoing(batches)
	for w.cursor.index < w.total {
		link, err := s.connected(ctx)
		if err != nil {
			return w.fail(err)
		}
		if err := s.publish(ctx, w, link); err != nil {
			return w.fail(err)
		}
	}
	return w.end()
}

// publish sends up to a window of messages and waits until the server confirms them. What the user
// may not publish is refused for good.
func (s *coreSink) publish(ctx context.Context, w *outgoing, link *coreLink) error {
	mark, _ := s.conn.violations()
	sent, refused, err := s.send(ctx, w, link)
	if err != nil {
		return err
	}
	if sent > 0 {
		if err := s.conn.barrier(ctx, link.nc, link.life); err != nil {
			return err
		}
		if s.conn.sockets.newest() != link.socket {
			return errLost // the answer may have come over the connection after this one
		}
	}
	denials, _ := s.conn.violations()
	var subject []byte
	for range sent {
		if denials != mark {
			subject, _ = s.subjects.append(subject[:0], w.cursor.batch(), w.cursor.message()) // it was made before
			if d := s.conn.deniedSince(mark, string(subject)); d != nil {
				w.refuse(connectors.Permanent(d))
				continue
			}
		}
		w.cursor.skip(1)
	}
	if refused != nil {
		w.refuse(refused)
	}
	return nil
}

// send encodes and sends messages and returns when they are in the socket. refused says why the
// message behind them cannot go.
func (s *coreSink) send(ctx context.Context, w *outgoing, link *coreLink) (sent int, refused, err error) {
	e, _ := s.framers.Get().(*framer)
	if e == nil {
		e = &framer{}
	}
	defer s.framers.Put(e)
	e.headers.add, e.headers.hops = s.env.Headers, s.env.MaxHops
	at := w.cursor
	_, weight := measure(w, s.cfg.FlushWindow)
	written := make(chan error, 1)
	for sent < s.cfg.FlushWindow && at.index < w.total && refused == nil {
		buf, err := s.sender.buffer(ctx, link.life, weight)
		if err != nil {
			return sent, nil, err
		}
		for sent < s.cfg.FlushWindow && at.index < w.total && len(buf) < frameBuffer {
			if refused = e.encode(s.subjects, link.maxPayload, at.batch(), at.message()); refused != nil {
				break
			}
			buf = appendFrame(buf, e.subject, nil, e.block, at.message().Value)
			at.skip(1)
			sent++
		}
		s.sender.out <- chunk{link: link.frames, frames: buf, written: written}
		select {
		case err := <-written:
			if err != nil {
				return sent, nil, fmt.Errorf("nats %s: %w", s.conn.servers, err)
			}
		case <-link.life:
			return sent, nil, errLost
		case <-ctx.Done():
			return sent, nil, ctx.Err()
		}
	}
	return sent, refused, nil
}
