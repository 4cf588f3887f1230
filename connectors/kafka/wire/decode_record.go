package wire

import (
	"time"
	"unsafe"

	"github.com/sluice-bridge/sluice/connectors"
)

// What a message and a header cost beside their bytes: their share of Messages and of the arena.
const (
	messageSize = int64(unsafe.Sizeof(connectors.Message{}))
	nameSize    = int64(unsafe.Sizeof(connectors.Header{}))
)

// maxHeaders bounds the headers of one record: in memory they take up to twenty times their bytes.
const maxHeaders = 1 << 14

// Out collects what was read: messages that are slices of held buffers, and the arena of their headers.
type Out struct {
	Messages []connectors.Message
	Memory   int64 // heap that Messages keep alive, shared buffers by share
	headers  []connectors.Header
	held     []*Buffer
}

func (o *Out) hold(b *Buffer) {
	if n := len(o.held); n > 0 && o.held[n-1] == b {
		return
	}
	b.Hold()
	o.held = append(o.held, b)
}

// HoldRaw adds raw bytes of a held buffer as a message; it is what becomes of a CorruptError.
func (o *Out) HoldRaw(topic string, e *CorruptError) {
	o.Messages = append(o.Messages, connectors.Message{Subject: topic, Value: e.Raw, Offset: e.Offset})
	o.Memory += int64(len(e.Raw)) + messageSize
}

// Release lets go of all buffers and forgets the messages, whose memory is reused.
func (o *Out) Release() {
	for i, b := range o.held {
		b.Release()
		o.held[i] = nil
	}
	clear(o.Messages)
	clear(o.headers)
	o.Messages, o.headers, o.held, o.Memory = o.Messages[:0], o.headers[:0], o.held[:0], 0
}

// messages reads records of the current batch. full says that room is used up before the batch is.
func (r *Reader) messages(out *Out, room connectors.Room) (full bool, err error) {
	b := &r.batch
	c := cursor{b: r.records}
	start := len(out.Messages)
	// What is charged is capacity: 8 bits of fraction are enough for a slack of at most a quarter.
	scale := int64(cap(r.data.B)) << 8 / int64(max(1, r.used()))
	for r.left > 0 {
		if len(out.Messages) >= room.Messages {
			full = true
			break
		}
		before, headers := c.i, len(out.headers)
		var m connectors.Message
		if !c.record(&m, b, out) || m.Offset <= r.last || m.Offset > b.end {
			out.headers = out.headers[:headers]
			err = corrupt(b.raw, r.next, r.behind(b, r.rest), "the record behind offset %d is malformed", r.last)
			break
		}
		cost := int64(c.i-before)*scale>>8 + messageSize + nameSize*int64(len(m.Headers))
		if m.Offset < r.next { // the batch begins before what was asked for
			r.last = m.Offset
			r.left--
			out.headers = out.headers[:headers]
			continue
		}
		if out.Memory+cost > room.Bytes && !(room.Alone && len(out.Messages) == 0) {
			out.headers = out.headers[:headers]
			c.i = before
			full = true
			if len(out.Messages) == 0 {
				err = &connectors.NoRoomError{Need: cost}
			}
			break
		}
		r.last, r.next = m.Offset, m.Offset+1
		r.left--
		m.Subject = r.topic
		out.Messages = append(out.Messages, m)
		out.Memory += cost
	}
	r.records = r.records[c.i:]
	if len(out.Messages) > start {
		out.hold(r.data)
	}
	if r.left == 0 && err == nil {
		r.next = max(r.next, b.end+1)
		r.finish()
	}
	return full, err
}

// cursor reads the fields of records. A field that does not fit sets bad, and i stays inside b.
type cursor struct {
	b   []byte
	i   int
	bad bool
}

func (c *cursor) ok() bool { return !c.bad }

func (c *cursor) varint() int64 {
	if c.i < len(c.b) && c.b[c.i] < 0x80 {
		u := c.b[c.i]
		c.i++
		return int64(u>>1) ^ -int64(u&1)
	}
	v, n := Varint(c.b[c.i:])
	if n == 0 {
		c.bad = true
	}
	c.i += n
	return v
}

func (c *cursor) skip(n int) {
	if n > len(c.b)-c.i {
		c.bad = true
		return
	}
	c.i += n
}

// bytes reads bytes behind their length; a length of -1 is nil, and 0 is empty.
func (c *cursor) bytes() []byte {
	n := c.varint()
	if n == -1 {
		return nil
	}
	if n < 0 || n > int64(len(c.b)-c.i) {
		c.bad = true
		return nil
	}
	b := c.b[c.i : c.i+int(n) : c.i+int(n)]
	c.i += int(n)
	return b
}

// record reads one record into m and its headers into the arena.
func (c *cursor) record(m *connectors.Message, b *batch, out *Out) bool {
	size := c.varint()
	if c.bad || size < 0 || size > int64(len(c.b)-c.i) {
		return false
	}
	end := c.i + int(size)
	c.skip(1) // attributes: none are defined
	stamp := c.varint()
	m.Offset = b.base + c.varint()
	m.Key = c.bytes()
	m.Value = c.bytes()
	count := c.varint()
	if c.bad || count < 0 || count > min(maxHeaders, int64(end-c.i)/2) {
		return false
	}
	if count > 0 {
		from := len(out.headers)
		for range count {
			name := c.bytes()
			out.headers = append(out.headers, connectors.Header{Key: text(name), Value: c.bytes()})
		}
		m.Headers = out.headers[from:len(out.headers):len(out.headers)]
	}
	switch {
	case b.attributes&logAppendTime != 0:
		m.Time = unixMilli(b.max)
	default:
		m.Time = unixMilli(b.first + stamp)
	}
	return !c.bad && c.i == end
}

// text returns b as a string that shares its bytes: a message is valid as long as its buffer is held,
// header names included.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// unixMilli returns the time of a Kafka timestamp, of which a negative one means none.
func unixMilli(ms int64) time.Time {
	if ms < 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}
