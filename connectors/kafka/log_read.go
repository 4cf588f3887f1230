package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-bridge/sluice/connectors"
)

const (
	logFetchBytes = 4 << 20                // of one answer, or one batch that is larger
	logFetchWait  = 500 * time.Millisecond // for an answer that has nothing
	// logAttempts is how often a read that gets nowhere is tried: 10 s while a leader is elected.
	logAttempts = 40
	logPause    = 250 * time.Millisecond
)

// Read implements connectors.Log. Control batches, aborted transactions and what was compacted away are
// stepped over; it ends early at the end of the partition. A batch that cannot be decoded is one message
// with the batch's bytes, as a source has it.
func (l *topicLog) Read(ctx context.Context, partition string, from, to int64, visit func(*connectors.Message) error) error {
	topic, n, err := cutPartition(partition)
	if err != nil {
		return err
	}
	failed := 0
	for next := max(0, from); next < to; {
		answer, after, err := l.fetch(ctx, topic, n, next)
		switch {
		case errors.Is(err, kerr.OffsetOutOfRange):
			if after, err = l.restart(ctx, topic, n, next); err != nil || after <= next {
				return err
			}
		case err != nil:
			if failed++; failed == logAttempts || ctx.Err() != nil || !passing(err) {
				return fmt.Errorf("read %s offset %d: %w", partition, next, l.explain(err))
			}
			pause(ctx, logPause)
			continue
		}
		if done, err := l.visit(answer.Records, to, visit); done || err != nil {
			return err
		}
		end := answer.LastStableOffset
		if l.isolation == kgo.ReadUncommitted() {
			end = answer.HighWatermark
		}
		switch {
		case after > next:
			failed = 0
		case next >= end:
			return nil
		default:
			if failed++; failed == logAttempts {
				return fmt.Errorf("read %s: %d answers in a row held no whole batch at offset %d", partition, failed, next)
			}
		}
		next = after
	}
	return nil
}

// visit gives records to visit until one is at to.
func (l *topicLog) visit(records []*kgo.Record, to int64, visit func(*connectors.Message) error) (done bool, err error) {
	var m connectors.Message
	for _, r := range records {
		if r.Offset >= to {
			return true, nil
		}
		m = connectors.Message{Subject: r.Topic, Key: r.Key, Value: r.Value, Headers: m.Headers[:0], Time: r.Timestamp, Offset: r.Offset}
		// A time that the broker gave a message is not the one it was written with.
		if r.Timestamp.UnixMilli() < 0 || l.sink != nil && r.Attrs.TimestampType() == 1 {
			m.Time = time.Time{}
		}
		for _, h := range r.Headers {
			m.Headers = append(m.Headers, connectors.Header{Key: h.Key, Value: h.Value})
		}
		if err := visit(&m); err != nil {
			return true, err
		}
	}
	return false, nil
}

// restart returns where a partition begins whose next position does not exist.
func (l *topicLog) restart(ctx context.Context, topic string, n int32, next int64) (int64, error) {
	starts, ends, err := l.bounds(ctx, topic)
	if err != nil {
		return 0, err
	}
	end, err := offsetOf(ends, topic, n)
	if err != nil || next >= end {
		return next, err
	}
	return offsetOf(starts, topic, n)
}

// passing tells whether an error is one of a moment: a leader moves, a broker restarts.
func passing(err error) bool { return kerr.IsRetriable(err) || !errors.As(err, new(*kerr.Error)) }

// fetch reads one answer from the partition's leader. after is where to go on.
func (l *topicLog) fetch(ctx context.Context, topic string, n int32, at int64) (answer kgo.FetchPartition, after int64, err error) {
	if _, known := l.leaders[topic].Partitions[n]; !known {
		if l.leaders, err = l.admin.ListTopics(ctx, topic); err != nil {
			return answer, at, err
		}
	}
	detail := l.leaders[topic]
	part, known := detail.Partitions[n]
	switch {
	case detail.Err != nil:
		err = detail.Err
	case !known:
		err = kerr.UnknownTopicOrPartition
	case part.Leader < 0:
		err = kerr.LeaderNotAvailable
	default:
		answer, after, err = l.ask(ctx, int(part.Leader), detail.ID, topic, n, at)
	}
	if err != nil {
		l.leaders = nil
		return answer, at, err
	}
	return answer, after, nil
}

// ask sends one fetch request.
func (l *topicLog) ask(ctx context.Context, broker int, id [16]byte, topic string, n int32, at int64) (answer kgo.FetchPartition, after int64, err error) {
	part := kmsg.NewFetchRequestTopicPartition()
	part.Partition, part.FetchOffset, part.PartitionMaxBytes = n, at, logFetchBytes
	of := kmsg.NewFetchRequestTopic()
	of.Topic, of.TopicID, of.Partitions = topic, id, append(of.Partitions, part)
	request := kmsg.NewPtrFetchRequest()
	request.MaxWaitMillis, request.MinBytes, request.MaxBytes = int32(logFetchWait.Milliseconds()), 1, logFetchBytes
	if l.isolation == kgo.ReadCommitted() {
		request.IsolationLevel = 1
	}
	request.Topics = append(request.Topics, of)
	got, err := request.RequestWith(ctx, l.client.Broker(broker))
	switch {
	case err != nil:
		return answer, at, err
	case got.ErrorCode != 0:
		return answer, at, kerr.ErrorForCode(got.ErrorCode)
	case len(got.Topics) != 1 || len(got.Topics[0].Partitions) != 1:
		return answer, at, errors.New("the broker answered about other partitions than the one that was asked for")
	}
	raw := &got.Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(raw.ErrorCode); err != nil {
		return answer, at, err
	}
	answer, after = kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		Offset: at, IsolationLevel: l.isolation, Topic: topic, Partition: n,
	}, raw, l.unpack, nil)
	if answer.Err != nil && after == at {
		var r *kgo.Record
		r, after = undecoded(raw.RecordBatches, at)
		r.Topic = topic
		answer.Records = append(answer.Records, r)
	}
	return answer, after, nil
}

// undecoded returns a batch that cannot be decoded as a record of its bytes, and where to go on behind it:
// behind the last offset it claims, if that makes sense.
func undecoded(raw []byte, at int64) (r *kgo.Record, after int64) {
	const frame, upToDelta, most = 12, 27, 1 << 24 // of a batch: offset and length; all up to its last offset; offsets it may have
	after = at + 1
	if len(raw) >= upToDelta {
		length := int64(int32(binary.BigEndian.Uint32(raw[8:])))
		if length > 0 && frame+length <= int64(len(raw)) {
			raw = raw[:frame+length]
		}
		last := int64(binary.BigEndian.Uint64(raw)) + int64(int32(binary.BigEndian.Uint32(raw[23:])))
		if last >= at && last-at < most {
			after = last + 1
		}
	}
	return &kgo.Record{Value: raw, Offset: at, Timestamp: time.UnixMilli(-1)}, after
}
