package main

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-bridge/sluice/integration/bench/load"
)

// ends are clients at both ends of a bridge: one hands messages to the source, one takes them from the
// sink as they come.
type ends struct {
	*trial
	conn     *nats.Conn
	js       jetstream.JetStream
	client   *kgo.Client
	messages *load.Load
	consumed jetstream.ConsumeContext
}

// openEnds makes the stream of a run, whose topic exists.
func (b *bench) openEnds(ctx context.Context, s *setting, r *trial) (*ends, error) {
	e := &ends{trial: r, js: b.js, conn: b.conn, messages: load.New(s.size)}
	subject := r.topic
	if s.toKafka {
		subject += ".*"
	}
	_, err := b.js.CreateStream(ctx, jetstream.StreamConfig{
		Name: r.stream, Subjects: []string{subject}, Storage: jetstream.FileStorage, AllowBatchPublish: s.batched,
	})
	if err != nil {
		return nil, err
	}
	options := []kgo.Opt{kgo.SeedBrokers(b.kafka.Addr)}
	if s.toKafka {
		parts := map[int32]kgo.Offset{}
		for p := range int32(load.Partitions) {
			parts[p] = kgo.NewOffset().AtStart()
		}
		options = append(options, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{r.topic: parts}))
	} else {
		options = append(options, kgo.DefaultProduceTopic(r.topic), kgo.RecordPartitioner(kgo.ManualPartitioner()),
			kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerLinger(0), kgo.MaxBufferedRecords(100_000))
	}
	e.client, err = kgo.NewClient(options...)
	return e, err
}

func (e *ends) close() {
	if e.consumed != nil {
		e.consumed.Stop()
	}
	e.client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_ = e.js.DeleteStream(ctx, e.stream)
}

// send hands message n to the source; with wait it returns when the source has it.
func (e *ends) send(ctx context.Context, n int64, wait bool) error {
	if e.toKafka {
		m := &nats.Msg{
			Subject: load.Subject(e.topic, n), Data: e.messages.Value(n), Header: nats.Header{load.Header: {string(load.ID(nil, n))}},
		}
		if wait {
			_, err := e.js.PublishMsg(ctx, m)
			return err
		}
		return e.conn.PublishMsg(m)
	}
	r := &kgo.Record{
		Key: load.Key(nil, n), Value: e.messages.Value(n), Partition: load.Partition(n, e.lanes),
		Headers: []kgo.RecordHeader{{Key: load.Header, Value: load.ID(nil, n)}},
	}
	if wait {
		return e.client.ProduceSync(ctx, r).FirstErr()
	}
	e.client.Produce(ctx, r, nil)
	return nil
}

// observe calls arrived for each message of the sink until the ends are closed.
func (e *ends) observe(ctx context.Context, arrived func(n int64)) (err error) {
	if !e.toKafka {
		consumer, err := e.js.OrderedConsumer(ctx, e.stream, jetstream.OrderedConsumerConfig{})
		if err != nil {
			return err
		}
		e.consumed, err = consumer.Consume(func(m jetstream.Msg) {
			arrived(load.ParseID(m.Headers().Get(load.Header)))
		}, jetstream.PullMaxMessages(5000))
		return err
	}
	go func() {
		for {
			fetches := e.client.PollFetches(ctx)
			if fetches.IsClientClosed() || errors.Is(fetches.Err0(), context.Canceled) {
				return
			}
			fetches.EachRecord(func(r *kgo.Record) {
				for _, h := range r.Headers {
					if h.Key == load.Header {
						arrived(load.ParseID(string(h.Value)))
					}
				}
			})
		}
	}()
	return nil
}
