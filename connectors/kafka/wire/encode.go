package wire

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/sluice-bridge/sluice/connectors"
)

// Record is one message to be encoded. Key, Value and header values may be nil, which differs from empty.
type Record struct {
	Key, Value []byte
	Headers    []connectors.Header
	// Last, if it has a name, is written behind Headers and takes the place of those of that name.
	Last connectors.Header
	Time int64 // milliseconds since 1970
}

// Producer is the identity under which batches get sequence numbers (KIP-98).
type Producer struct {
	ID    int64
	Epoch int16
}

// Encoder makes record batches of format v2: Begin, Append for each message, End. It is reused, then
// nothing allocates. One user at a time.
type Encoder struct {
	codec   Codec
	packer  packer
	dst     []byte
	start   int    // of the batch in dst
	records []byte // scratch of a compressed batch
	first   int64  // time of the first record
	max     int64
	count   int32
}

// NewEncoder returns an encoder that compresses with codec.
func NewEncoder(codec Codec) *Encoder { return &Encoder{codec: codec} }

// Begin starts a batch that End will append to dst.
func (e *Encoder) Begin(dst []byte) {
	e.dst, e.start = dst, len(dst)
	e.first, e.max, e.count = 0, math.MinInt64, 0
	e.records = e.records[:0]
	e.dst = append(e.dst, make([]byte, headerSize)...)
}

// Append adds a record. The first record's time is the batch's base.
func (e *Encoder) Append(r *Record) {
	if e.count == 0 {
		e.first = r.Time
	}
	e.max = max(e.max, r.Time)
	if e.codec == None {
		e.dst = appendRecord(e.dst, r, r.Time-e.first, e.count)
	} else {
		e.records = appendRecord(e.records, r, r.Time-e.first, e.count)
	}
	e.count++
}

// End completes the batch and returns dst with it. sequence is that of the first record. A batch without
// records must not be sent: brokers close the connection.
func (e *Encoder) End(p Producer, sequence int32) ([]byte, error) {
	dst := e.dst
	e.dst = nil
	if e.codec != None {
		var err error
		if dst, err = e.packer.pack(dst, e.records, e.codec); err != nil {
			return nil, err
		}
	}
	b := dst[e.start:]
	if len(b) > math.MaxInt32 {
		return nil, fmt.Errorf("record batch of %d bytes", len(b))
	}
	binary.BigEndian.PutUint64(b[0:], 0) // base offset: the broker's
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-frameSize))
	binary.BigEndian.PutUint32(b[12:], math.MaxUint32) // leader epoch: the broker's
	b[16] = 2
	binary.BigEndian.PutUint16(b[21:], uint16(e.codec))
	binary.BigEndian.PutUint32(b[23:], uint32(e.count-1))
	binary.BigEndian.PutUint64(b[27:], uint64(e.first))
	binary.BigEndian.PutUint64(b[35:], uint64(e.max))
	binary.BigEndian.PutUint64(b[43:], uint64(p.ID))
	binary.BigEndian.PutUint16(b[51:], uint16(p.Epoch))
	binary.BigEndian.PutUint32(b[53:], uint32(sequence))
	binary.BigEndian.PutUint32(b[57:], uint32(e.count))
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], castagnoli))
	return dst, nil
}

// BatchOverhead is what a batch takes beside its records, in bytes.
const BatchOverhead = headerSize

// Size returns how many bytes a record takes before compression, at most.
func (r *Record) Size() int {
	// Length, attributes, time and offset: at most 5 + 1 + 10 + 5 bytes.
	return 21 + r.tail()
}

// tail returns the size of what follows the offset.
func (r *Record) tail() int {
	n := bytesSize(r.Key) + bytesSize(r.Value)
	count := 0
	for i := range r.Headers {
		h := &r.Headers[i]
		if r.replaces(h) {
			continue
		}
		count++
		n += VarintSize(int64(len(h.Key))) + len(h.Key) + bytesSize(h.Value)
	}
	if r.Last.Key != "" {
		count++
		n += VarintSize(int64(len(r.Last.Key))) + len(r.Last.Key) + bytesSize(r.Last.Value)
	}
	return n + VarintSize(int64(count))
}

func (r *Record) replaces(h *connectors.Header) bool { return r.Last.Key != "" && h.Key == r.Last.Key }

func bytesSize(b []byte) int {
	if b == nil {
		return 1
	}
	return VarintSize(int64(len(b))) + len(b)
}

func appendRecord(dst []byte, r *Record, delta int64, offset int32) []byte {
	size := 1 + VarintSize(delta) + VarintSize(int64(offset)) + r.tail()
	dst = AppendVarint(dst, int64(size))
	dst = append(dst, 0) // attributes: none are defined
	dst = AppendVarint(dst, delta)
	dst = AppendVarint(dst, int64(offset))
	dst = appendNullableBytes(dst, r.Key)
	dst = appendNullableBytes(dst, r.Value)
	count := len(r.Headers)
	if r.Last.Key != "" {
		count++
		for i := range r.Headers {
			if r.replaces(&r.Headers[i]) {
				count--
			}
		}
	}
	dst = AppendVarint(dst, int64(count))
	for i := range r.Headers {
		if h := &r.Headers[i]; !r.replaces(h) {
			dst = appendHeader(dst, h)
		}
	}
	if r.Last.Key != "" {
		dst = appendHeader(dst, &r.Last)
	}
	return dst
}

func appendHeader(dst []byte, h *connectors.Header) []byte {
	dst = AppendVarint(dst, int64(len(h.Key)))
	dst = append(dst, h.Key...)
	return appendNullableBytes(dst, h.Value)
}

func appendNullableBytes(dst, b []byte) []byte {
	if b == nil {
		return append(dst, 1) // -1
	}
	dst = AppendVarint(dst, int64(len(b)))
	return append(dst, b...)
}
