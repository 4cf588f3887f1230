package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/errgroup"

	"github.com/sluice-bridge/sluice/integration/bench/load"
)

// produceBytes is when a batch is full: a topic takes 1 MiB by default.
const produceBytes = 900_000

// produce writes to all partitions of a topic at once, one idempotent batch a partition in flight. Rate
// and time are measured at the topic.
func produce(ctx context.Context, j *job) (Result, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(j.kafka))
	if err != nil {
		return Result{}, err
	}
	defer client.Close()
	topics, err := kadm.NewClient(client).ListTopics(ctx, j.topic)
	if err != nil {
		return Result{}, err
	}
	group, ctx := errgroup.WithContext(ctx)
	for p := range load.Partitions {
		id, err := kmsg.NewPtrInitProducerIDRequest().RequestWith(ctx, client)
		if err != nil {
			return Result{}, err
		}
		w := &writer{
			job: j, broker: client.Broker(int(topics[j.topic].Partitions[int32(p)].Leader)), partition: int32(p),
			topic: topics[j.topic].ID, load: load.New(j.size), id: id.ProducerID, epoch: id.ProducerEpoch,
		}
		group.Go(func() error { return w.run(ctx) })
	}
	err = group.Wait()
	return Result{Messages: j.messages, CPU: used()}, err
}

// writer writes one partition's share of the load.
type writer struct {
	*job
	broker    *kgo.Broker
	partition int32
	topic     [16]byte
	load      *load.Load
	id        int64
	epoch     int16
	sequence  int32
	batch     []byte
	record    []byte
}

func (w *writer) run(ctx context.Context) error {
	most := max(1, min(1000, produceBytes/(w.size+120)))
	for n := int64(w.partition); n < w.messages; {
		w.batch = w.batch[:0]
		count := 0
		for ; n < w.messages && count < most; n += load.Partitions {
			w.add(n, count)
			count++
		}
		if err := w.send(ctx, count); err != nil {
			return err
		}
	}
	return nil
}

// add appends message n as record i of the batch.
func (w *writer) add(n int64, i int) {
	r := append(w.record[:0], 0, 0) // attributes, delta of time
	r = binary.AppendVarint(r, int64(i))
	subject := load.Subject("load", n)
	r = append(binary.AppendVarint(r, int64(len(subject))), subject...)
	value := w.load.Value(n)
	r = append(binary.AppendVarint(r, int64(len(value))), value...)
	r = binary.AppendVarint(r, 2)
	r = append(binary.AppendVarint(r, int64(len(load.Header))), load.Header...)
	r = load.ID(binary.AppendVarint(r, 8), n)
	const name = "Sluice-Origin"
	r = append(binary.AppendVarint(r, int64(len(name))), name...)
	origin := strconv.AppendInt(make([]byte, 0, 40), n+1, 10)
	r = binary.AppendVarint(r, int64(len("nats:sluice-tests/LOAD/")+len(origin)+len(";hops=1")))
	r = append(append(append(r, "nats:sluice-tests/LOAD/"...), origin...), ";hops=1"...)
	w.batch = append(binary.AppendVarint(w.batch, int64(len(r))), r...)
	w.record = r
}

func (w *writer) send(ctx context.Context, count int) error {
	now := time.Now().UnixMilli()
	const head, afterCRC = 61, 21
	batch := kmsg.RecordBatch{
		Length: int32(head - 12 + len(w.batch)), PartitionLeaderEpoch: -1, Magic: 2, LastOffsetDelta: int32(count - 1),
		FirstTimestamp: now, MaxTimestamp: now, ProducerID: w.id, ProducerEpoch: w.epoch, FirstSequence: w.sequence,
		NumRecords: int32(count), Records: w.batch,
	}
	raw := batch.AppendTo(make([]byte, 0, head+len(w.batch)))
	binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[afterCRC:], crc32.MakeTable(crc32.Castagnoli)))
	r := kmsg.NewPtrProduceRequest()
	r.Acks, r.TimeoutMillis = -1, 10_000
	t := kmsg.NewProduceRequestTopic()
	t.Topic, t.TopicID = w.job.topic, w.topic
	p := kmsg.NewProduceRequestTopicPartition()
	p.Partition, p.Records = w.partition, raw
	t.Partitions = []kmsg.ProduceRequestTopicPartition{p}
	r.Topics = []kmsg.ProduceRequestTopic{t}
	answer, err := w.broker.Request(ctx, r)
	if err != nil {
		return err
	}
	if code := answer.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode; code != 0 {
		return fmt.Errorf("produce %s/%d: error %d", w.job.topic, w.partition, code)
	}
	w.sequence += int32(count)
	return nil
}
