package kafka

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/kafka/wire"
)

// originHeader names where a message was read last and how many bridges it has passed, such as
// "kafka:<cluster id>/orders/3/1042;hops=1".
const originHeader = "Sluice-Origin"

// maxHops is how many bridges a message may pass: more is a loop.
const maxHops = 8

// findOrigin returns the value of the Sluice-Origin header, false if there is none.
func findOrigin(headers []connectors.Header) ([]byte, bool) {
	for i := range headers {
		if headers[i].Key == originHeader {
			return headers[i].Value, true
		}
	}
	return nil, false
}

// hopsOf reads how many bridges wrote into an origin header; one that cannot be read counts as one.
func hopsOf(origin []byte) int {
	_, text, found := bytes.Cut(origin, []byte(";hops="))
	if !found || len(text) == 0 || len(text) > 3 {
		return 1
	}
	n := 0
	for _, c := range text {
		if c < '0' || c > '9' {
			return 1
		}
		n = n*10 + int(c-'0')
	}
	return n
}

// appendOrigin appends the value of our own header. Where the source has no lasting positions the origin
// that the message brought stays, with one hop more.
func appendOrigin(dst []byte, b *connectors.Batch, m *connectors.Message, hops int) []byte {
	if b.Origin != "" {
		dst = append(dst, b.Origin...)
		dst = append(dst, '/')
		dst = strconv.AppendInt(dst, m.Offset, 10)
	} else {
		origin, _ := findOrigin(m.Headers)
		place, _, _ := bytes.Cut(origin, []byte(";hops="))
		dst = append(dst, place...)
	}
	dst = append(dst, ";hops="...)
	return strconv.AppendInt(dst, int64(hops), 10)
}

// mapper makes Kafka's form of messages. It is read-only once made.
type mapper struct {
	topic   string               // for all messages, or
	topics  *connectors.Template // for each
	key     *connectors.Template // nil: see keyOf
	headers bool                 // add Sluice-Origin
}

// hops returns how many bridges the message will have passed, 0 where nothing is added, and refuses one
// that goes in circles.
func (c *mapper) hops(b *connectors.Batch, m *connectors.Message) (int, error) {
	if !c.headers {
		return 0, nil
	}
	origin, found := findOrigin(m.Headers)
	if !found {
		if b.Origin == "" {
			return 0, nil
		}
		return 1, nil
	}
	hops := hopsOf(origin) + 1
	if hops > maxHops {
		return 0, connectors.Permanent(fmt.Errorf(
			"loop: the message has passed %d bridges (%s: %.100q); make sure that no route leads back", hops-1, originHeader, origin))
	}
	return hops, nil
}

// keyOf returns the key of a message; what it has to build is appended to arena.
func (c *mapper) keyOf(b *connectors.Batch, m *connectors.Message, arena []byte) (key, grown []byte) {
	start := len(arena)
	switch {
	case c.key != nil:
		arena = c.key.Append(arena, b, m, verbatim)
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
	_, ours := findOrigin(m.Headers)
	return !ours
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
		origin = appendOrigin(origin[:0], it.batch, m, int(it.hops))
		r.Last = connectors.Header{Key: originHeader, Value: origin}
	}
	return origin
}
