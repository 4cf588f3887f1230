package wire

import (
	"encoding/binary"
	"time"
)

// The API key and version of a produce request. Version 8 is of Kafka 2.4 and brokers up to 4.x accept it.
const (
	ProduceKey     = 0
	ProduceVersion = 8
)

// ProduceBody makes the body of a produce request in one buffer, into which the batches are encoded
// straight. Partitions of one topic are adjacent; a partition stands once, with one batch (brokers refuse
// a second one).
type ProduceBody struct {
	B      []byte
	topics int // where the number of topics stands
	parts  int // where the current topic's number of partitions stands
	batch  int // where the current batch's length stands
	topic  string
	count  int
}

// Reset begins a body in buffer. All in-sync replicas have to acknowledge within timeout.
func (p *ProduceBody) Reset(buffer []byte, timeout time.Duration) {
	b := AppendNullable(buffer[:0], "") // no transaction
	b = AppendInt16(b, -1)              // all in-sync replicas
	b = AppendInt32(b, clampInt32(int(timeout.Milliseconds())))
	*p = ProduceBody{B: AppendInt32(b, 0), topics: len(b)}
}

// Begin opens a partition: the batch is then appended to B, and Done called.
func (p *ProduceBody) Begin(topic string, partition int32) {
	if p.count == 0 || topic != p.topic {
		p.topic = topic
		increment(p.B[p.topics:])
		p.B = AppendString(p.B, topic)
		p.parts = len(p.B)
		p.B = AppendInt32(p.B, 0)
	}
	p.count++
	increment(p.B[p.parts:])
	p.B = AppendInt32(p.B, partition)
	p.batch = len(p.B)
	p.B = AppendInt32(p.B, 0)
}

// Done closes the partition.
func (p *ProduceBody) Done() {
	binary.BigEndian.PutUint32(p.B[p.batch:], uint32(len(p.B)-p.batch-4))
}

func increment(b []byte) { binary.BigEndian.PutUint32(b, binary.BigEndian.Uint32(b)+1) }

// Produced is the answer to a produce request.
type Produced struct {
	Throttle time.Duration // how long the broker delayed the answer for a quota
	Parts    []ProducedPart
}

// ProducedPart is the outcome for one partition. Their order need not be that of the request.
type ProducedPart struct {
	Topic      string
	Partition  int32
	Code       int16
	BaseOffset int64  // of the batch's first message, -1 if there is none
	Detail     string // the broker's own words about an error
}

// ReadProduced reads the answer's body. The list of messages to blame (KIP-467) is skipped: brokers cut
// it short.
func ReadProduced(body []byte) (*Produced, error) {
	f := Fields{B: body}
	out := &Produced{}
	for range f.Count(6) {
		topic := f.String()
		for range f.Count(30) {
			part := ProducedPart{Topic: topic, Partition: f.Int32(), Code: f.Int16(), BaseOffset: f.Int64()}
			f.Int64() // append time
			f.Int64() // log start
			for range f.Count(6) {
				f.Int32()
				if text := f.String(); part.Detail == "" {
					part.Detail = text
				}
			}
			if text := f.String(); text != "" {
				part.Detail = text
			}
			out.Parts = append(out.Parts, part)
		}
	}
	out.Throttle = time.Duration(f.Int32()) * time.Millisecond
	return out, f.Err
}
