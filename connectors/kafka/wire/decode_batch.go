package wire

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// batch is a record batch's header.
type batch struct {
	raw        []byte
	base, end  int64 // first and last offset
	attributes int16
	first, max int64 // timestamps
	producer   int64
	count      int
}

const (
	headerSize = 61
	frameSize  = 12 // base offset and length

	codecMask     = 0x07
	logAppendTime = 0x08
	transactional = 0x10
	control       = 0x20
)

//nolint:gochecknoglobals // a constant table
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// parse checks the batch at the start of rest. ok is false where rest ends first.
func (r *Reader) parse() (_ batch, ok bool, err error) {
	b, next := r.rest, r.next
	if len(b) < frameSize {
		return batch{}, false, nil
	}
	base, length := int64(binary.BigEndian.Uint64(b)), int(int32(binary.BigEndian.Uint32(b[8:])))
	// Where the length is nonsense the next batch cannot be found: the rest of the section is the fault.
	if length < 5 {
		return batch{}, false, corrupt(b, next, max(next, base)+1, "its length is %d", length)
	}
	if len(b) < frameSize+length {
		return batch{}, false, nil
	}
	raw := b[: frameSize+length : frameSize+length]
	if magic := raw[16]; magic != 2 {
		return batch{}, false, corrupt(raw, next, max(next, base)+1,
			"it has message format v%d, only v2 (Kafka 0.11 and later) is supported; copy the topic with a current client", magic)
	}
	if len(raw) < headerSize {
		return batch{}, false, corrupt(raw, next, max(next, base)+1, "its length is %d", length)
	}
	h := batch{
		raw: raw, base: base,
		end:        base + int64(int32(binary.BigEndian.Uint32(raw[23:]))),
		attributes: int16(binary.BigEndian.Uint16(raw[21:])),
		first:      int64(binary.BigEndian.Uint64(raw[27:])),
		max:        int64(binary.BigEndian.Uint64(raw[35:])),
		producer:   int64(binary.BigEndian.Uint64(raw[43:])),
		count:      int(int32(binary.BigEndian.Uint32(raw[57:]))),
	}
	after := r.behind(&h, b[len(raw):])
	if sum := binary.BigEndian.Uint32(raw[17:]); sum != crc32.Checksum(raw[21:], castagnoli) {
		return h, false, corrupt(raw, next, after, "its checksum is wrong")
	}
	if base < 0 || h.end < base || h.count < 0 || int64(h.count) > h.end-base+1 {
		return h, false, corrupt(raw, next, after, "it claims %d messages at offsets %d to %d", h.count, base, h.end)
	}
	return h, true, nil
}

// behind returns where to go on behind a batch that is not to be trusted: where the next one begins, or
// behind what it says is its last offset if such an offset exists, else one further, so that nothing
// behind it is skipped. rest is what follows it in the section.
func (r *Reader) behind(h *batch, rest []byte) int64 {
	limit := r.Limit
	if limit <= 0 {
		limit = h.base + int64(h.count)
	}
	if len(rest) >= 8 {
		if base := int64(binary.BigEndian.Uint64(rest)); base >= r.next && base > h.base && base <= max(limit, h.base+int64(h.count)) {
			return base
		}
	}
	if h.end >= r.next && h.end < limit {
		return h.end + 1
	}
	return max(r.next, h.base) + 1
}

// CorruptError says that a record batch could not be decoded. It has been stepped over.
type CorruptError struct {
	Offset int64  // the offset wanted from it
	Next   int64  // the offset behind it
	Raw    []byte // the batch as the broker sent it
	Err    error
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("record batch at offset %d: %v", e.Offset, e.Err)
}

// Unwrap returns what is wrong with the batch.
func (e *CorruptError) Unwrap() error { return e.Err }

func corrupt(raw []byte, offset, next int64, format string, args ...any) *CorruptError {
	return &CorruptError{Offset: offset, Next: next, Raw: raw, Err: fmt.Errorf(format, args...)}
}
