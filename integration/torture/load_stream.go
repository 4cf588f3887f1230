package main

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/sluice-bridge/sluice/integration/truth"
)

// streamLoad writes to a stream, to subjects below prefix, until its context ends.
type streamLoad struct {
	stream truth.Stream
	prefix string
	maker  *maker
	ledger *ledger
	pacer  pacer
}

// sent is a message that is under way.
type sent struct {
	n      int64
	future jetstream.PubAckFuture
}

const subjects = 64

// mute keeps a client from writing to stderr that its connection is lost, which is done on purpose.
func mute() nats.Option {
	return nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})
}

// run publishes. A message whose outcome is open is never sent again, neither here nor by the client.
func (l *streamLoad) run(ctx context.Context) error {
	conn, err := nats.Connect(l.stream.URL, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond), nats.ReconnectBufSize(-1), mute())
	if err != nil {
		return err
	}
	defer conn.Close()
	js, err := jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(4096), jetstream.WithPublishAsyncTimeout(5*time.Second))
	if err != nil {
		return err
	}
	under := make(chan sent, 4096)
	collected := make(chan struct{})
	go func() {
		defer close(collected)
		for s := range under {
			l.collect(s)
		}
	}()
	for l.pacer.wait(ctx) == nil {
		n := l.ledger.next()
		future, err := js.PublishMsgAsync(l.message(n), jetstream.WithRetryAttempts(0), jetstream.WithStallWait(5*time.Second))
		if err != nil {
			_ = pause(ctx, 10*time.Millisecond) // it is away
			continue
		}
		under <- sent{n, future}
	}
	close(under)
	<-collected
	return nil
}

func (l *streamLoad) collect(s sent) {
	select {
	case <-s.future.Ok():
		l.ledger.note(s.n, stored)
	case <-s.future.Err():
		l.ledger.note(s.n, unknown)
	}
}

func (l *streamLoad) message(n int64) *nats.Msg {
	m := l.maker.message(n)
	msg := &nats.Msg{Subject: fmt.Sprintf("%s.%d", l.prefix, n%subjects), Data: m.Value, Header: nats.Header{}}
	for _, h := range m.Headers {
		msg.Header[h.Name] = append(msg.Header[h.Name], string(h.Value))
	}
	return msg
}
