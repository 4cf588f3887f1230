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
	}
}

type topicSink struct{ topic *Topic }

func (s topicSink) Write(ctx context.Context, batches []*connectors.Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, b := range batches {
		s.topic.write(b.Partition, b.Messages)
	}
	return nil
}

func (topicSink) Close(context.Context) error { return nil }

func (t *Topic) write(name string, messages []connectors.Message) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.find(name)
	if p == nil {
		p = &partition{name: name}
		t.partitions = append(t.partitions, p)
	}
	p.written += int64(len(messages))
	if !t.discard {
		for i := range messages {
			p.log = append(p.log, clone(&messages[i]))
		}
		p.end = int64(len(p.log))
	}
	t.notify()
}
