package wire

import (
	"encoding/binary"
	"errors"
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
