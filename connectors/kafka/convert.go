package kafka

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/kafka/wire"
)

// mapper makes Kafka's form of messages. It is read-only once made.
type mapper struct {
	topic   string               // for all messages, or
	topics  *connectors.Template // for each
	key     *connectors.Template // nil: see keyOf
	number  *connectors.Template // of the partition; nil: see partitioner
	headers bool                 // add Sluice-Origin
	maxHops int                  // as Env.MaxHops
}

func newMapper(c *SinkConfig, env *connectors.Env) *mapper {
	return &mapper{
		topic: c.Topic, topics: env.Map.Topic, key: env.Map.Key, number: env.Map.Partition,
		headers: env.Headers, maxHops: env.MaxHops,
	}
}

// hops returns how many bridges the message will have passed, 0 where nothing is added, and refuses one
// that goes in circles.
func (c *mapper) hops(b *connectors.Batch, m *connectors.Message) (int, error) {
	if !c.headers {
		return 0, nil
	}
	return connectors.NextHops(b, connectors.FindOrigin(m.Headers), c.maxHops)
}

// keyOf returns the key of a message; what it has to build is appended to arena.
func (c *mapper) keyOf(b *connectors.Batch, m *connectors.Message, arena []byte) (key, grown []byte) {
	start := len(arena)
	switch {
	case c.key != nil:
		if arena = c.key.Append(arena, b, m, verbatim); arena == nil {
			arena = []byte{} // a mapping that makes nothing of a message makes an empty key, not a null
		}
	case m.Key != nil || m.Subject == "" || !native(b, m):
		return m.Key, arena
	default:
		arena = append(arena, m.Subject...)
	}
	return arena[start:len(arena):len(arena)], arena
}

// native reports whether a message was published to NATS by another than us, so that it never had a key:
// what came through us from Kafka without a key keeps none.
func native(b *connectors.Batch, m *connectors.Message) bool {
	if b.Origin != "" && !strings.HasPrefix(b.Origin, "nats:") {
		return false
	}
	return connectors.FindOrigin(m.Headers) == nil
}

// topicOf appends the topic of a message to dst. What the mapping makes must be a topic's name that
// begins with the literal text the mapping begins with.
func (c *mapper) topicOf(b *connectors.Batch, m *connectors.Message, dst []byte) ([]byte, error) {
	start := len(dst)
	dst = c.topics.Append(dst, b, m, verbatim)
	name := dst[start:]
	if len(name) == 0 || len(name) > 249 || !legalTopic(name) || string(name) == "." || string(name) == ".." {
		return dst, connectors.Permanent(fmt.Errorf(
			"map.topic %q makes %.260q of it, which is not a topic name (1 to 249 letters, digits, dots, underscores, hyphens)",
			c.topics.String(), name))
	}
	if bytes.HasPrefix(name, []byte("__")) && !strings.HasPrefix(c.topics.Prefix(), "__") {
		return dst, connectors.Permanent(fmt.Errorf("map.topic %q makes %.260q of it, the name of a topic that is Kafka's own",
			c.topics.String(), name))
	}
	return dst, nil
}

// partitionOf returns the partition that map.partition makes of a message, of count that topic has. scrap is used, and
// returned as it has grown.
func (c *mapper) partitionOf(b *connectors.Batch, m *connectors.Message, topic string, count int, scrap []byte) (int, []byte, error) {
	scrap = c.number.Append(scrap[:0], b, m, verbatim)
	n, ok := tailNumber(scrap)
	if !ok || bytes.IndexByte(scrap, '/') >= 0 || n >= int64(count) {
		return 0, scrap, connectors.Permanent(fmt.Errorf("map.partition %q makes %.100q of it: topic %s has the partitions 0 to %d",
			c.number.String(), scrap, topic, count-1))
	}
	return int(n), scrap, nil
}

func verbatim(dst []byte, _ string, value []byte) []byte { return append(dst, value...) }

// record fills r for a message. origin is scratch for the header's value, valid as long as r is; it is
// returned as it has grown.
func (c *mapper) record(r *wire.Record, it *item, now int64, origin []byte) []byte {
	m := it.message
	*r = wire.Record{Key: it.key, Value: m.Value, Headers: m.Headers, Time: now}
	if !m.Time.IsZero() {
		r.Time = m.Time.UnixMilli()
	}
	if it.hops > 0 {
		origin = connectors.AppendOrigin(origin[:0], it.batch, m, connectors.FindOrigin(m.Headers), int(it.hops))
		r.Last = connectors.Header{Key: connectors.OriginHeader, Value: origin}
	}
	return origin
}
