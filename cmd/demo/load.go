package demo

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"
)

const (
	noteHeader = "Demo-Note"
	// step is how often the load sends what its rate has made due.
	step = 20 * time.Millisecond
	// keys is how many customers and sensors there are.
	keys = 40
)

// load is the traffic of the demo: orders into Kafka, telemetry into JetStream.
type load struct {
	rate              int // messages a second, each way
	orders, telemetry atomic.Int64
}

// run sends until ctx ends, at most for d. It returns when all that was sent is acknowledged.
func (l *load) run(ctx context.Context, b *brokers, d time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return l.intoKafka(ctx, b) })
	group.Go(func() error { return l.intoJetStream(ctx, b) })
	return group.Wait()
}

// due calls send with the number of messages that the rate has made due, until ctx ends.
func (l *load) due(ctx context.Context, send func(n int64) error) error {
	ticker := time.NewTicker(step)
	defer ticker.Stop()
	begin, sent := time.Now(), int64(0)
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-ticker.C:
			n := int64(now.Sub(begin).Seconds()*float64(l.rate)) - sent
			if err := send(n); err != nil && ctx.Err() == nil {
				return err
			}
			sent += n
		}
	}
}

func (l *load) intoKafka(ctx context.Context, b *brokers) error {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(b.kafkaAddresses()...), kgo.ClientID(loadClient), kgo.DefaultProduceTopic(ordersTopic),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	var failed atomic.Pointer[error]
	err = l.due(ctx, func(n int64) error {
		for range n {
			i := l.orders.Load()
			// What was handed over is finished even when the load ends meanwhile.
			client.Produce(context.WithoutCancel(ctx), order(i), func(_ *kgo.Record, err error) {
				if err != nil {
					failed.Store(&err)
				}
			})
			l.orders.Add(1)
		}
		return nil
	})
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	err = errors.Join(err, client.Flush(last))
	if f := failed.Load(); f != nil {
		err = errors.Join(err, *f)
	}
	return err
}

// order is the i-th message for Kafka: with a key, repeated header names, and now and then no value.
func order(i int64) *kgo.Record {
	r := &kgo.Record{
		Key:   fmt.Appendf(nil, "customer-%02d", i%keys),
		Value: fmt.Appendf(nil, `{"order":%d,"items":%d,"total":"%d.%02d"}`, i, 1+i%7, i%300, i%100),
		Headers: []kgo.RecordHeader{
			{Key: noteHeader, Value: []byte("first")}, {Key: noteHeader, Value: fmt.Appendf(nil, "second %d", i%3)},
		},
	}
	if i%500 == 499 {
		r.Value = nil // a tombstone
	}
	return r
}

func (l *load) intoJetStream(ctx context.Context, b *brokers) error {
	nc, err := nats.Connect(b.natsURL())
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(4*keys*keys))
	if err != nil {
		return err
	}
	var futures []jetstream.PubAckFuture
	err = l.due(ctx, func(n int64) error {
		for range n {
			f, err := js.PublishMsgAsync(measurement(l.telemetry.Load()))
			if err != nil {
				return err
			}
			futures = append(futures, f)
			l.telemetry.Add(1)
		}
		return nil
	})
	last := time.NewTimer(patience)
	defer last.Stop()
	for _, f := range futures {
		select {
		case <-f.Ok():
		case fault := <-f.Err():
			return errors.Join(err, fault)
		case <-last.C:
			return errors.Join(err, errors.New("the nats-server did not acknowledge the demo's own load"))
		}
	}
	return err
}

// measurement is the i-th message for JetStream.
func measurement(i int64) *nats.Msg {
	m := nats.NewMsg(fmt.Sprintf("telemetry.sensor-%02d", i%keys))
	m.Data = fmt.Appendf(nil, `{"measurement":%d,"celsius":%d.%d}`, i, 15+i%10, i%10)
	m.Header[noteHeader] = []string{"one", "two"}
	return m
}
