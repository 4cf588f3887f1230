package nats

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/sluice-bridge/sluice/connectors"
)

const (
	// logFew is how many messages are read one by one rather than through a consumer.
	logFew = 32
	// logQuiet is how long a consumer may bring nothing.
	logQuiet = 2 * time.Second
	// logHeld is how many messages and bytes nats.go may hold. A larger message is read by itself.
	logHeld      = 4096
	logHeldBytes = 8 << 20
	// logLinger is how long a consumer stays that could not be deleted.
	logLinger = 30 * time.Second
)

// Read implements connectors.Log.
func (l *streamLog) Read(ctx context.Context, partition string, from, to int64, visit func(*connectors.Message) error) error {
	if partition != l.durable.stream {
		return l.foreign(partition)
	}
	through, err := l.mayConsume(ctx)
	if err != nil {
		return err
	}
	next := max(1, from)
	for next < to {
		if through && to-next > logFew {
			if next, err = l.consume(ctx, next, to, visit); err != nil {
				return forbidden(err)
			}
			if next >= to {
				return nil
			}
		}
		// Nothing is left, or the next message is one that the consumer does not bring: it is too large, or
		// nats.go takes it for a word of the server's, because its payload is empty and a header is called Status.
		got, err := l.get(ctx, next)
		if err != nil || got == nil || got.Sequence >= to {
			return forbidden(err)
		}
		if err := visit(got.message()); err != nil {
			return err
		}
		next = got.Sequence + 1
	}
	return nil
}

// mayConsume tells whether a consumer disturbs nobody: where messages leave a stream because they were
// consumed, one is refused, or keeps messages back.
func (l *streamLog) mayConsume(ctx context.Context) (bool, error) {
	if _, err := l.connection(ctx); err != nil {
		return false, err
	}
	info, err := l.durable.streamInfo(ctx)
	if err != nil {
		return false, err
	}
	return info.Config.Retention == "limits", nil
}

// visitError tells an error of visit from those of reading.
type visitError struct{ error }

// consume reads through an ordered consumer as far as that goes and returns where to go on. The error is
// visit's, ctx's or the server's refusal.
func (l *streamLog) consume(ctx context.Context, next, to int64, visit func(*connectors.Message) error) (int64, error) {
	nc, err := l.connection(ctx)
	if err != nil {
		return next, err
	}
	filters, err := l.subjects(ctx)
	if err != nil {
		return next, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return next, err
	}
	mark, _ := l.conn.violations()
	creating, stop := context.WithTimeout(ctx, requestTimeout)
	defer stop()
	consumer, err := js.OrderedConsumer(creating, l.durable.stream, jetstream.OrderedConsumerConfig{
		FilterSubjects: filters, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: uint64(next),
		InactiveThreshold: logLinger, MaxResetAttempts: 3,
	})
	if err != nil {
		if n, denied := l.conn.violations(); n > mark {
			err = denied // the library only waits for an answer that cannot come
		}
		return next, fmt.Errorf("nats %s: stream %s: %w", l.conn.servers, l.durable.stream, err)
	}
	defer func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
		defer cancel()
		_ = js.DeleteConsumer(ending, l.durable.stream, consumer.CachedInfo().Name) // it goes by itself soon
	}()
	if consumer.CachedInfo().NumPending == 0 {
		return next, nil
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessagesWithBytesLimit(logHeld, logHeldBytes))
	if err != nil {
		return next, fmt.Errorf("nats %s: stream %s: %w", l.conn.servers, l.durable.stream, err)
	}
	defer messages.Stop()
	next, err = take(ctx, messages, next, to, visit)
	var visited visitError
	switch {
	case errors.As(err, &visited):
		return next, visited.error
	case ctx.Err() != nil:
		return next, ctx.Err()
	}
	return next, nil // whatever it was, the stream itself is asked next
}

// take gives what the consumer brings to visit.
func take(ctx context.Context, messages jetstream.MessagesContext, next, to int64, visit func(*connectors.Message) error) (int64, error) {
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	quiet := time.AfterFunc(logQuiet, cancel)
	defer quiet.Stop()
	for next < to {
		quiet.Reset(logQuiet)
		msg, err := messages.Next(jetstream.NextContext(waiting))
		quiet.Stop() // visit may take its time
		if err != nil {
			return next, err
		}
		meta, err := msg.Metadata()
		if err != nil {
			return next, err
		}
		sequence := int64(meta.Sequence.Stream)
		if sequence >= to {
			return to, nil
		}
		m := connectors.Message{Subject: msg.Subject(), Value: msg.Data(), Time: meta.Timestamp, Offset: sequence}
		if m.Value == nil {
			m.Value = []byte{}
		}
		restore(&m, msg.Headers())
		if err := visit(&m); err != nil {
			return next, visitError{err}
		}
		if next = sequence + 1; meta.NumPending == 0 {
			return next, nil
		}
	}
	return next, nil
}
