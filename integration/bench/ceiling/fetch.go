package main

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	fetchBytes     = 4 << 20
	partitionBytes = 1 << 20
)

// fetch reads a topic with raw requests, one after the other for all its partitions, and looks at nothing
// but the heads of batches.
func fetch(ctx context.Context, j *job) (Result, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(j.kafka))
	if err != nil {
		return Result{}, err
	}
	defer client.Close()
	topics, err := kadm.NewClient(client).ListTopics(ctx, j.topic)
	if err != nil {
		return Result{}, err
	}
	topic := topics[j.topic]
	next := make([]int64, len(topic.Partitions))
	var watch stopwatch
	for got := int64(0); got < j.messages; watch.lap(got) {
		r := kmsg.NewPtrFetchRequest()
		r.MaxWaitMillis, r.MinBytes, r.MaxBytes = 500, 1, fetchBytes
		t := kmsg.NewFetchRequestTopic()
		t.Topic, t.TopicID = j.topic, topic.ID
		for p := range next {
			part := kmsg.NewFetchRequestTopicPartition()
			part.Partition, part.FetchOffset, part.PartitionMaxBytes = int32(p), next[p], partitionBytes
			t.Partitions = append(t.Partitions, part)
		}
		r.Topics = []kmsg.FetchRequestTopic{t}
		answer, err := client.Broker(int(topic.Partitions[0].Leader)).Request(ctx, r)
		if err != nil {
			return Result{}, err
		}
		for _, t := range answer.(*kmsg.FetchResponse).Topics {
			for _, p := range t.Partitions {
				if p.ErrorCode != 0 {
					return Result{}, fmt.Errorf("fetch %s/%d: error %d", j.topic, p.Partition, p.ErrorCode)
				}
				got += count(p.RecordBatches, &next[p.Partition])
			}
		}
	}
	return watch.result(j.messages), nil
}

// count counts the messages of whole batches from next on, and moves next behind them.
func count(batches []byte, next *int64) (messages int64) {
	const head, length, lastDelta, records = 61, 8, 23, 57
	for len(batches) >= head {
		size := 12 + int(binary.BigEndian.Uint32(batches[length:]))
		if size > len(batches) {
			break
		}
		base := int64(binary.BigEndian.Uint64(batches))
		end := base + int64(binary.BigEndian.Uint32(batches[lastDelta:])) + 1
		// The first batch may begin before what was asked for.
		messages += int64(binary.BigEndian.Uint32(batches[records:])) - max(0, *next-base)
		*next = end
		batches = batches[size:]
	}
	return messages
}
