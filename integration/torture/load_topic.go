package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-bridge/sluice/integration/truth"
)

// topicLoad writes to a topic until its context ends.
type topicLoad struct {
	topic  truth.Topic
	maker  *maker
	ledger *ledger
	pacer  pacer
}

func (l *topicLoad) client(options ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append(options, kgo.SeedBrokers(strings.Split(l.topic.Addr, ",")...), kgo.DefaultProduceTopic(l.topic.Name),
		kgo.MetadataMinAge(100*time.Millisecond), kgo.ProducerBatchMaxBytes(1_900_000), kgo.ProduceRequestTimeout(5*time.Second),
		kgo.ProducerLinger(time.Millisecond), kgo.RetryBackoffFn(func(int) time.Duration { return 50 * time.Millisecond }))...)
}

// plain writes without transactions. A message whose outcome is open is never sent again.
func (l *topicLoad) plain(ctx context.Context) error {
	client, err := l.client(kgo.DisableIdempotentWrite(), kgo.RecordRetries(0), kgo.MaxBufferedRecords(20_000))
	if err != nil {
		return err
	}
	defer client.Close()
	for l.pacer.wait(ctx) == nil {
		n := l.ledger.next()
		client.Produce(ctx, l.message(n), func(_ *kgo.Record, err error) {
			if err == nil {
				l.ledger.note(n, stored)
			} else {
				l.ledger.note(n, unknown)
			}
		})
	}
	flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	return client.Flush(flush)
}

func (l *topicLoad) message(n int64) *kgo.Record {
	m := l.maker.message(n)
	r := &kgo.Record{Key: m.Key, Value: m.Value, Timestamp: m.Time}
	for _, h := range m.Headers {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Name, Value: h.Value})
	}
	return r
}

// transactions writes in transactions of up to 40 messages, of which one in five is given up. After a
// failure the producer begins anew, which fences what may still be under way.
func (l *topicLoad) transactions(ctx context.Context, random *rand.Rand) error {
	for ctx.Err() == nil {
		client, err := l.client(kgo.TransactionalID(l.topic.Name), kgo.TransactionTimeout(4*time.Second))
		if err != nil {
			return err
		}
		for err == nil && ctx.Err() == nil {
			err = l.transaction(ctx, client, random)
		}
		client.Close()
		_ = pause(ctx, 200*time.Millisecond)
	}
	return nil
}

func (l *topicLoad) transaction(ctx context.Context, client *kgo.Client, random *rand.Rand) error {
	if err := client.BeginTransaction(); err != nil {
		return err
	}
	var numbers []int64
	var lost atomic.Bool
	for range 1 + random.IntN(40) {
		if l.pacer.wait(ctx) != nil {
			break
		}
		n := l.ledger.next()
		numbers = append(numbers, n)
		client.Produce(ctx, l.message(n), func(_ *kgo.Record, err error) {
			if err != nil {
				lost.Store(true)
			}
		})
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	failed := client.Flush(ending)
	give := kgo.TryCommit
	if failed != nil || lost.Load() || random.IntN(5) == 0 {
		give = kgo.TryAbort
	}
	ended := client.EndTransaction(ending, give)
	for _, n := range numbers {
		switch {
		case ended != nil:
			l.ledger.note(n, unknown)
		case give == kgo.TryCommit:
			l.ledger.note(n, stored)
		default:
			l.ledger.note(n, aborted)
		}
	}
	return errors.Join(failed, ended)
}
