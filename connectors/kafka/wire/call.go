package wire

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/segmentio/kafka-go/protocol"
)

// AnyBroker is the Node of a call that every broker can answer.
const AnyBroker int32 = -1

// Call is one request that writes and reads its own frame. It travels over a kafka-go Transport, which
// gives it a connection (dialled, authenticated, pooled) and nothing else: so any API and version is
// possible, the library's own codecs are not involved, and nothing is registered process-wide.
//
// A call that was cancelled may still be reading into Buffer: it is left to the garbage collector.
type Call struct {
	Key      int16
	Version  int16
	Flexible bool   // the version has tagged fields in its headers (KIP-482)
	Node     int32  // the broker to ask, or AnyBroker; the caller sends it there
	ClientID string // as the broker's logs and quotas know us
	Body     []byte // the request behind its header

	// Buffer is where the answer is read to if it is large enough; else a new one is made.
	Buffer []byte
	// Limit bounds the answer, in bytes; 0 means DefaultLimit.
	Limit int
	// Read, if set, reads the answer's body of size bytes itself instead of Buffer. It is called on
	// another goroutine, at most once. What it leaves unread breaks the connection, as does its error.
	Read func(r io.Reader, size int) error

	// Begun is set when the request begins to be written. A call that failed before reached no broker.
	Begun atomic.Bool
}

// DefaultLimit bounds the answer to a call that does not say.
const DefaultLimit = 64 << 20

// Answer is what a broker answered: the body behind the header. Body is nil where Call.Read took it.
type Answer struct {
	Key  int16
	Body []byte
}

// ApiKey implements protocol.Message.
func (a *Answer) ApiKey() protocol.ApiKey { return protocol.ApiKey(a.Key) } //nolint:revive,staticcheck // kafka-go's name

// ApiKey implements protocol.Message.
func (c *Call) ApiKey() protocol.ApiKey { return protocol.ApiKey(c.Key) } //nolint:revive,staticcheck // kafka-go's name

// Broker implements protocol.BrokerMessage: the Transport knows each broker as a cluster of its own.
func (c *Call) Broker(protocol.Cluster) (protocol.Broker, error) {
	return protocol.Broker{ID: AnyBroker}, nil
}

// Required implements protocol.RawExchanger.
func (c *Call) Required(map[protocol.ApiKey]int16) bool { return true }

// correlation is the id of every call: a connection carries one request at a time and is closed when
// one fails, so there is nothing to tell apart.
const correlation = 0x51c3

// RawExchange implements protocol.RawExchanger.
func (c *Call) RawExchange(rw io.ReadWriter) (protocol.Message, error) {
	c.Begun.Store(true)
	if err := c.write(rw); err != nil {
		return nil, err
	}
	return c.read(rw)
}

func (c *Call) write(w io.Writer) error {
	head := make([]byte, 4, 32+len(c.ClientID))
	head = binary.BigEndian.AppendUint16(head, uint16(c.Key))
	head = binary.BigEndian.AppendUint16(head, uint16(c.Version))
	head = binary.BigEndian.AppendUint32(head, correlation)
	head = binary.BigEndian.AppendUint16(head, uint16(len(c.ClientID)))
	head = append(head, c.ClientID...)
	if c.Flexible {
		head = append(head, 0)
	}
	binary.BigEndian.PutUint32(head, uint32(len(head)-4+len(c.Body)))
	if _, err := w.Write(head); err != nil {
		return err
	}
	_, err := w.Write(c.Body)
	return err
}

func (c *Call) read(r io.Reader) (protocol.Message, error) {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	size := int(int32(binary.BigEndian.Uint32(head[:4]))) - 4
	if id := binary.BigEndian.Uint32(head[4:]); id != correlation {
		return nil, fmt.Errorf("answer to another request (correlation id %d)", id)
	}
	limit := c.Limit
	if limit == 0 {
		limit = DefaultLimit
	}
	if size < 0 || size > limit {
		return nil, fmt.Errorf("answer of %d bytes, at most %d are accepted; is this a Kafka broker?", size, limit)
	}
	if c.Flexible && c.Key != apiVersionsKey {
		n, err := skipTags(r)
		if err != nil {
			return nil, err
		}
		size -= n
	}
	answer := &Answer{Key: c.Key}
	if c.Read != nil {
		body := io.LimitedReader{R: r, N: int64(size)}
		if err := c.Read(&body, size); err != nil {
			return nil, err
		}
		if body.N != 0 {
			return nil, fmt.Errorf("%d bytes of the answer were not understood", body.N)
		}
		return answer, nil
	}
	answer.Body = c.Buffer
	if cap(answer.Body) < size {
		answer.Body = make([]byte, size)
	}
	answer.Body = answer.Body[:size]
	_, err := io.ReadFull(r, answer.Body)
	return answer, err
}

const apiVersionsKey = 18 // its response header never has tagged fields (KIP-511)

// skipTags reads the tagged fields of a response header and returns how many bytes they took. No
// version of any API that we speak defines one.
func skipTags(r io.Reader) (int, error) {
	var b [1]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return 0, err
	}
	if b[0] != 0 {
		return 0, fmt.Errorf("answer with %d unknown header fields", b[0])
	}
	return 1, nil
}
