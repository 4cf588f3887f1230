package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/sluice-bridge/sluice/connectors"
)

// Reader walks the record batches of one partition's section of a fetch answer, in the format that
// Kafka has written since 0.11 (v2, KIP-98). It checks every CRC; steps over control batches, batches
// of aborted transactions, batches that compaction has emptied, messages below the wanted offset, and a
// tail that was cut; and decodes one batch at a time, so that compressed data never opens up faster
// than there is room. No count or length in the data is believed before it was checked against the
// bytes that are there.
//
// A Reader has one user at a time.
type Reader struct {
	// Limit is the offset behind the partition's last message, if known: what a corrupt batch says of
	// itself is compared with it.
	Limit int64

	topic   string
	section *Buffer
	whole   int    // bytes of the section's whole batches
	cut     int    // size of the batch that the section's end cut, 0: none
	rest    []byte // batches not yet walked
	next    int64  // the offset wanted
	aborted []Aborted
	open    []int64 // producers inside an aborted transaction

	batch   batch
	pending bool    // batch has messages that were not read
	data    *Buffer // what records is cut from; nil until batch is inflated
	records []byte  // records of batch not yet read
	left    int     // how many
	last    int64   // offset of the last record that was read
}

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

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// NewReader returns a reader of section, whose holder it becomes, from offset next on. aborted is what
// the broker sent along; it is sorted in place.
func NewReader(topic string, section *Buffer, next int64, aborted []Aborted) *Reader {
	slices.SortFunc(aborted, func(a, b Aborted) int { return int(min(1, max(-1, a.First-b.First))) })
	r := &Reader{topic: topic, section: section, rest: section.B, next: next, aborted: aborted}
	for b := section.B; len(b) >= frameSize; {
		size := frameSize + int(int32(binary.BigEndian.Uint32(b[8:])))
		if size <= frameSize {
			break
		}
		if size > len(b) {
			r.cut = size
			break
		}
		r.whole += size
		b = b[size:]
	}
	return r
}

// Cut returns the size of the batch that the section's end cut, or 0: so much has to be asked for.
func (r *Reader) Cut() int { return r.cut }

// used returns how much of the current buffer is data.
func (r *Reader) used() int {
	if r.data == r.section {
		return r.whole
	}
	return len(r.data.B)
}

// Next returns the offset behind everything that was read or stepped over.
func (r *Reader) Next() int64 { return r.next }

// Held returns the bytes of heap that the reader keeps alive.
func (r *Reader) Held() int64 {
	n := int64(cap(r.section.B))
	if r.data != nil && r.data != r.section {
		n += int64(cap(r.data.B))
	}
	return n
}

// Close releases what the reader holds. What was read stays valid for who holds it.
func (r *Reader) Close() {
	r.finish()
	r.section.Release()
	r.rest = nil
}

// Read appends messages to out until the section ends or room is used up. It reports whether there may
// be more. The errors are *connectors.NoRoomError, if not even one message fits, and *CorruptError for a
// batch that cannot be decoded, which has then been stepped over; with either, out is unchanged but for
// what the error says.
func (r *Reader) Read(out *Out, x *Inflater, room connectors.Room) (more bool, err error) {
	for {
		if err := r.advance(); err != nil {
			return r.fail(out, err)
		}
		if !r.pending {
			return false, nil
		}
		if len(out.Messages) >= room.Messages {
			return true, nil
		}
		if r.data == nil {
			if err := r.inflate(out, x, room); err != nil {
				return r.fail(out, err)
			}
		}
		full, err := r.messages(out, room)
		if err != nil {
			return r.fail(out, err)
		}
		if full {
			return true, nil
		}
	}
}

// fail returns err, or hides it while out has messages that come before the fault.
func (r *Reader) fail(out *Out, err error) (bool, error) {
	if len(out.Messages) > 0 {
		return true, nil
	}
	var corrupt *CorruptError
	if errors.As(err, &corrupt) {
		out.hold(r.section)
		r.skip(corrupt)
	}
	return true, err
}

// skip steps over a corrupt batch.
func (r *Reader) skip(c *CorruptError) {
	r.finish()
	if cut := len(r.rest) - len(c.Raw); cut >= 0 && len(c.Raw) > 0 && &r.rest[0] == &c.Raw[0] {
		r.rest = r.rest[len(c.Raw):]
	}
	r.next = c.Next
}

// finish forgets the current batch.
func (r *Reader) finish() {
	if r.data != nil && r.data != r.section {
		r.data.Release()
	}
	r.data, r.records, r.pending = nil, nil, false
}

// advance goes to the next batch that has messages for us, unless the current one has.
func (r *Reader) advance() error {
	for !r.pending {
		b, ok, err := r.parse()
		if err != nil || !ok {
			return err
		}
		wanted := r.wanted(&b)
		r.rest = r.rest[len(b.raw):]
		if wanted {
			r.batch, r.pending = b, true
			r.left, r.last = b.count, b.base-1
			return nil
		}
		r.next = max(r.next, b.end+1)
	}
	return nil
}

// wanted reports whether a batch has messages for us, and keeps the account of aborted transactions.
func (r *Reader) wanted(b *batch) bool {
	for len(r.aborted) > 0 && r.aborted[0].First <= b.end {
		r.open = append(r.open, r.aborted[0].Producer)
		r.aborted = r.aborted[1:]
	}
	if b.attributes&control != 0 {
		if i := slices.Index(r.open, b.producer); i >= 0 && isAbort(b.raw[headerSize:]) {
			r.open = slices.Delete(r.open, i, i+1)
		}
		return false
	}
	if b.attributes&transactional != 0 && slices.Contains(r.open, b.producer) {
		return false
	}
	return b.count > 0 && b.end >= r.next
}

// isAbort reads the one record of a control batch: its key is a version and a type, 0 for an abort.
func isAbort(records []byte) bool {
	c := cursor{b: records}
	c.varint() // length
	c.skip(1)  // attributes
	c.varint() // timestamp
	c.varint() // offset
	key := c.bytes()
	return c.ok() && len(key) >= 4 && binary.BigEndian.Uint16(key[2:]) == 0
}

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
			"it has message format v%d, only v2 is supported (brokers of Kafka 4.0 convert when a topic is rewritten)", magic)
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
