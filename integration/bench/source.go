package main

import (
	"context"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-bridge/sluice/integration/bench/load"
	"github.com/sluice-bridge/sluice/integration/truth"
)

// fill makes the topic and the stream that the settings read from. All runs of a size share them.
func (b *bench) fill(ctx context.Context, all []*setting) error {
	for _, s := range all {
		name := sourceTopic(s)
		if s.toKafka {
			name = sourceStream(s)
		}
		if b.filled[name] {
			continue
		}
		b.filled[name] = true
		b.say("%d messages of %d B into %s", s.messages, s.size, name)
		write := b.fillTopic
		if s.toKafka {
			write = b.fillStream
		}
		if err := write(ctx, name, s); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) fillTopic(ctx context.Context, name string, s *setting) error {
	if err := (truth.Topic{Addr: b.kafka.Addr, Name: name}).Create(ctx, s.lanes, nil); err != nil {
		return err
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(b.kafka.Addr), kgo.DefaultProduceTopic(name), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.MaxBufferedRecords(20_000))
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	messages := load.New(s.size)
	for n := range s.messages {
		r := &kgo.Record{
			Key: load.Key(nil, n), Value: messages.Value(n), Partition: load.Partition(n, s.lanes),
			Headers: []kgo.RecordHeader{{Key: load.Header, Value: load.ID(nil, n)}},
		}
		if s.traced {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: "traceparent", Value: load.Parent(nil, n)})
		}
		client.Produce(ctx, r, func(_ *kgo.Record, err error) {
			if err != nil {
				cancel(err)
			}
		})
	}
	if err := client.Flush(ctx); err != nil {
		return context.Cause(ctx)
	}
	return nil
}

func (b *bench) fillStream(ctx context.Context, name string, s *setting) error {
	prefix := sourceTopic(s)
	if _, err := b.js.CreateStream(ctx, jetstream.StreamConfig{
		Name: name, Subjects: []string{prefix + ".*"}, Storage: jetstream.FileStorage,
	}); err != nil {
		return err
	}
	js, err := jetstream.New(b.conn, jetstream.WithPublishAsyncMaxPending(4096))
	if err != nil {
		return err
	}
	messages := load.New(s.size)
	var futures []jetstream.PubAckFuture
	for n := range s.messages {
		f, err := js.PublishMsgAsync(&nats.Msg{
			Subject: load.Subject(prefix, n), Data: messages.Value(n), Header: nats.Header{load.Header: {string(load.ID(nil, n))}},
		}, jetstream.WithStallWait(patience))
		if err != nil {
			return err
		}
		if futures = append(futures, f); len(futures) < 4096 && n < s.messages-1 {
			continue
		}
		for _, f := range futures {
			select {
			case <-f.Ok():
			case err := <-f.Err():
				return err
			}
		}
		futures = futures[:0]
	}
	return nil
}
