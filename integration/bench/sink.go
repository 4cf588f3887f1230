package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/sluice-bridge/sluice/integration/bench/load"
	"github.com/sluice-bridge/sluice/integration/truth"
)

// sink is the far end of one run, seen by other clients than the contender's.
type sink interface {
	create(ctx context.Context) error
	count(ctx context.Context) (int64, error)
	read(ctx context.Context, into *tally) error
	remove(ctx context.Context) error
}

// streamSink is a stream that is written to.
type streamSink struct {
	js      jetstream.JetStream
	url     string
	name    string
	subject string
	batched bool
	stream  jetstream.Stream
}

func (s *streamSink) create(ctx context.Context) (err error) {
	s.stream, err = s.js.CreateStream(ctx, jetstream.StreamConfig{
		Name: s.name, Subjects: []string{s.subject}, Storage: jetstream.FileStorage, AllowBatchPublish: s.batched,
	})
	return err
}

func (s *streamSink) count(ctx context.Context) (int64, error) {
	info, err := s.stream.Info(ctx)
	if err != nil {
		return 0, err
	}
	return int64(info.State.Msgs), nil
}

func (s *streamSink) read(ctx context.Context, into *tally) error {
	return truth.Stream{URL: s.url, Name: s.name}.Read(ctx, func(m jetstream.Msg, meta *jetstream.MsgMetadata) {
		into.add(m.Headers().Get(load.Header), 0, meta.Timestamp)
	})
}

func (s *streamSink) remove(ctx context.Context) error { return s.js.DeleteStream(ctx, s.name) }

// topicSink is a topic that is written to.
type topicSink struct {
	truth.Topic
	admin *kadm.Client
}

func (s *topicSink) create(ctx context.Context) error {
	return s.Create(ctx, load.Partitions, map[string]string{"message.timestamp.type": "LogAppendTime"})
}

func (s *topicSink) count(ctx context.Context) (int64, error) {
	ends, err := s.admin.ListEndOffsets(ctx, s.Name)
	if err != nil {
		return 0, err
	}
	var total int64
	ends.Each(func(o kadm.ListedOffset) { total += max(0, o.Offset) })
	return total, ends.Error()
}

func (s *topicSink) read(ctx context.Context, into *tally) error {
	return s.Read(ctx, func(m *truth.Message, partition int32, _ int64) {
		id := ""
		for _, h := range m.Headers {
			if h.Name == load.Header {
				id = string(h.Value)
			}
		}
		into.add(id, partition, m.Time)
	})
}

func (s *topicSink) remove(ctx context.Context) error { return s.Delete(ctx) }

// await returns how many messages the sink holds once that is at least want. It looks every interval and
// gives up when nothing has come for patience.
func await(ctx context.Context, s sink, want int64, interval, patience time.Duration, over <-chan struct{}) (int64, error) {
	last, since := int64(-1), time.Now()
	for {
		// It may fail for a moment: a new topic's leader is known to the broker at once and to its clients later.
		n, err := s.count(ctx)
		switch {
		case err == nil && n >= want:
			return n, nil
		case err == nil && n != last:
			last, since = n, time.Now()
		case time.Since(since) > patience:
			return n, errors.Join(fmt.Errorf("%d of %d messages arrived, and none for %v", last, want, patience), err)
		}
		select {
		case <-ctx.Done():
			return n, ctx.Err()
		case <-over:
			return n, fmt.Errorf("%d of %d messages arrived when the process ended", n, want)
		case <-time.After(interval):
		}
	}
}
