package kafka

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/sluice-bridge/sluice/connectors"
)

// partitioner chooses the partition of a message by its key.
type partitioner uint8

const (
	byMurmur2 partitioner = iota // as the Java client
	byFNV1a                      // as Sarama and kafka-go
	bySource                     // the number of the Kafka partition it came from
)

func parsePartitioner(name string) (partitioner, error) {
	switch name {
	case "murmur2":
		return byMurmur2, nil
	case "fnv1a":
		return byFNV1a, nil
	case "source":
		return bySource, nil
	}
	return 0, fmt.Errorf("is %q, want murmur2, fnv1a or source", name)
}

// choose returns a partition below count. Messages without a key keep the order they came in: all of one
// source partition go to one partition, where other clients would spread them.
func (p partitioner) choose(b *connectors.Batch, m *connectors.Message, key []byte, count int) int {
	if p == bySource || key == nil {
		if n, ok := originPartition(b, m); ok {
			return int(n % int64(count))
		}
	}
	switch {
	case key == nil:
		return int(positive(murmur2(b.Partition))) % count
	case p == byFNV1a:
		n := int32(fnv1a(key)) % int32(count)
		return int(max(n, -n))
	default:
		return int(positive(murmur2(key))) % count
	}
}

// originPartition returns the number of the Kafka partition that a message was read from last, be it
// directly or, through NATS, by its Sluice-Origin.
func originPartition(b *connectors.Batch, m *connectors.Message) (int64, bool) {
	if strings.HasPrefix(b.Origin, "kafka:") {
		return tailNumber(b.Partition)
	}
	origin, ok := connectors.ParseOrigin(connectors.FindOrigin(m.Headers))
	if !ok || !bytes.HasPrefix(origin.Partition, []byte("kafka:")) {
		return 0, false
	}
	return tailNumber(origin.Partition)
}

// tailNumber reads the number behind the last slash.
func tailNumber[T string | []byte](text T) (n int64, ok bool) {
	start := len(text)
	for start > 0 && text[start-1] != '/' {
		start--
	}
	for _, c := range []byte(text[start:]) {
		if c < '0' || c > '9' || n > 1<<31 {
			return 0, false
		}
		n, ok = n*10+int64(c-'0'), true
	}
	return n, ok
}

func positive(h uint32) uint32 { return h & 0x7fffffff }

func fnv1a(b []byte) uint32 {
	h := uint32(2166136261)
	for _, c := range b {
		h = (h ^ uint32(c)) * 16777619
	}
	return h
}

// murmur2 is org.apache.kafka.common.utils.Utils.murmur2.
func murmur2[T string | []byte](b T) uint32 {
	const m, r = 0x5bd1e995, 24
	h := uint32(0x9747b28c) ^ uint32(len(b))
	for ; len(b) >= 4; b = b[4:] {
		k := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
		k *= m
		k ^= k >> r
		h = h*m ^ k*m
	}
	switch len(b) {
	case 3:
		h ^= uint32(b[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(b[1]) << 8
		fallthrough
	case 1:
		h = (h ^ uint32(b[0])) * m
	}
	h = (h ^ h>>13) * m
	return h ^ h>>15
}
