package connectortest

import (
	"context"

	"github.com/sluice-bridge/sluice/connectors"
)

// SinkSpec returns a sink that appends to the topic, ready to be opened. Messages go to the partition
// whose name their batch has, which is added where it is missing.
func (t *Topic) SinkSpec() *connectors.SinkSpec {
	return &connectors.SinkSpec{
		Open: func(context.Context, connectors.Env) (connectors.Sink, error) {
			return topicSink{t}, nil
		},
		Facts: connectors.Facts{Guarantee: "acknowledged once it is in memory", Order: "per partition"},
		Log:   t.Log, ReadBack: t.readBack,
	}
}

type topicSink struct{ topic *Topic }

func (s topicSink) Write(ctx context.Context, batches []*connectors.Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, b := range batches {
		s.topic.write(b)
	}
	return nil
}

func (topicSink) Close(context.Context) error { return nil }

func (t *Topic) write(b *connectors.Batch) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.find(b.Partition)
	if p == nil {
		p = newPartition(b.Partition)
		t.partitions = append(t.partitions, p)
	}
	p.written += int64(len(b.Messages))
	if !t.discard {
		for i := range b.Messages {
			p.log, p.origins = append(p.log, clone(&b.Messages[i])), append(p.origins, b.Origin)
		}
		p.end = int64(len(p.log))
	}
	t.notify()
}
