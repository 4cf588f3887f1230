package connectortest

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
)

// Log opens the topic to be read again. What a sink wrote has the Sluice-Origin that says where it is from.
func (t *Topic) Log(context.Context, connectors.Env) (connectors.Log, error) { return topicLog{t}, nil }

type topicLog struct{ topic *Topic }

func (topicLog) Close(context.Context) error { return nil }

func (l topicLog) Ranges(context.Context) (all []connectors.Range, err error) {
	l.topic.mu.Lock()
	defer l.topic.mu.Unlock()
	for _, p := range l.topic.partitions {
		all = append(all, connectors.Range{Partition: p.name, Origin: p.origin, End: p.end})
	}
	return all, nil
}

// Find goes by the times that messages have, which have to ascend.
func (l topicLog) Find(_ context.Context, partition string, at time.Time) (int64, error) {
	l.topic.mu.Lock()
	defer l.topic.mu.Unlock()
	p := l.topic.find(partition)
	if p == nil {
		return 0, fmt.Errorf("there is no partition %q", partition)
	}
	return int64(sort.Search(int(p.end), func(i int) bool { return !p.at(int64(i)).Time.Before(at) })), nil
}

func (l topicLog) Read(ctx context.Context, partition string, from, to int64, visit func(*connectors.Message) error) error {
	for at := max(0, from); at < to; at++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		m, ok, err := l.message(partition, at)
		if err != nil || !ok {
			return err
		}
		if err := visit(&m); err != nil {
			return err
		}
	}
	return nil
}

func (l topicLog) message(partition string, at int64) (m connectors.Message, ok bool, err error) {
	l.topic.mu.Lock()
	defer l.topic.mu.Unlock()
	p := l.topic.find(partition)
	if p == nil {
		return m, false, fmt.Errorf("there is no partition %q", partition)
	}
	if at >= p.end {
		return m, false, nil
	}
	m = clone(p.at(at))
	if b := (&connectors.Batch{Origin: p.origins[at%int64(len(p.log))]}); b.Origin != "" {
		brought := connectors.FindOrigin(m.Headers)
		hops, _ := connectors.NextHops(b, brought, connectors.MostHops) // memory lets loops be
		m.Headers = slices.DeleteFunc(m.Headers, func(h connectors.Header) bool { return h.Key == connectors.OriginHeader })
		m.Headers = append(m.Headers, connectors.Header{
			Key: connectors.OriginHeader, Value: connectors.AppendOrigin(nil, b, &m, brought, hops),
		})
	}
	m.Offset = at
	return m, true, nil
}
