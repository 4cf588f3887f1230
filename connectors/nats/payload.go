package nats

import (
	"bytes"
	"unsafe"

	"github.com/sluice-bridge/sluice/connectors"
)

const (
	// messageSize is what a message takes beside its headers and data: its Message and its stream sequence.
	messageSize = int64(unsafe.Sizeof(connectors.Message{})) + 8
	headerSize  = int64(unsafe.Sizeof(connectors.Header{}))
	// batchSize is what a batch takes beside its messages.
	batchSize = 768
	// maxData bounds what is copied of a batch, so that room comes back in portions.
	maxData = 1 << 20
)

// payload is the memory of a batch's messages, until Recycle. It is the batch's own: a block is shared with
// others and would be kept whole by the last of them, which may be of one message that waits for hours.
type payload struct {
	messages []connectors.Message
	headers  []connectors.Header
	data     []byte // the subject, the headers and the data of each message but those that have their own
}

// payloads makes payloads of slabs and takes them back.
type payloads struct {
	messages slabs[connectors.Message]
	headers  slabs[connectors.Header]
	data     slabs[byte]
}

func (p *payloads) get(x *extent) *payload {
	return &payload{messages: p.messages.get(x.messages), headers: p.headers.get(x.headers), data: p.data.get(x.data)}
}

// put takes a payload back that nobody uses any more.
func (p *payloads) put(l *payload) {
	clear(l.messages)
	clear(l.headers)
	p.messages.put(l.messages)
	p.headers.put(l.headers)
	p.data.put(l.data)
}

// fits reports whether the payload has room for a message.
func (l *payload) fits(e *entry) bool {
	return len(l.messages) < cap(l.messages) && (ownMemory(&e.frame, e.block) || e.lasting() <= cap(l.data)-len(l.data))
}

// copy returns the frame of e without its reply, in memory of the payload.
func (l *payload) copy(e *entry) frame {
	if ownMemory(&e.frame, e.block) {
		return e.frame
	}
	start, middle := len(l.data), len(l.data)+len(e.subject)
	l.data = append(append(l.data, e.subject...), e.body...)
	return frame{subject: textOf(l.data[start:middle]), body: l.data[middle:len(l.data):len(l.data)], headed: e.headed}
}

// next returns the next message, which is empty.
func (l *payload) next() *connectors.Message {
	l.messages = l.messages[:len(l.messages)+1]
	return &l.messages[len(l.messages)-1]
}

// parse reads the headers of a frame that copy returned, and reports whether they can be read.
func (l *payload) parse(head []byte) (list []connectors.Header, sound bool) {
	if len(head) == 0 {
		return nil, true
	}
	return parseBlock(l.headers[len(l.headers):], head)
}

// keep takes the headers that parse returned into use.
func (l *payload) keep(list []connectors.Header) {
	if n := len(l.headers) + len(list); n <= cap(l.headers) {
		l.headers = l.headers[:n]
	}
}

// lasting is how many bytes of a frame are copied.
func (f *frame) lasting() int { return len(f.subject) + len(f.body) }

// ownMemory reports whether nothing else is of the memory of a message, which then need not be copied. A block
// that is read into again is never one message's, however much of it the message fills.
func ownMemory(f *frame, b *block) bool {
	n := f.lasting()
	return n > largeFrame && (b == nil || b.pool == nil && len(b.bytes) < 2*n)
}

// extent is what some messages take.
type extent struct {
	messages, headers, data int
	own                     int // bytes of those that are not copied
}

func (x *extent) add(f *frame, b *block) {
	x.messages++
	if ownMemory(f, b) {
		x.own += f.size()
	} else {
		x.data += f.lasting()
	}
	if f.headed > 0 {
		x.headers += bytes.Count(f.head(), []byte{'\n'})
	}
}

// memory is the heap that a batch of these messages keeps alive.
func (x *extent) memory() int64 {
	messages, _ := slabSize(x.messages)
	headers, _ := slabSize(x.headers)
	data, _ := slabSize(x.data)
	return batchSize + grown(int64(messages)*messageSize+int64(headers)*headerSize+int64(data+x.own))
}

// measure returns the extent of what can be in one batch: e and what has come behind it, as far as there is
// room.
func (p *pullSession) measure(e *entry, room connectors.Room) extent {
	var x extent
	x.add(&e.frame, e.block)
	for i := range p.carry {
		if !x.extend(&p.carry[i].frame, p.carry[i].block, room) {
			return x
		}
	}
	p.refill()
	for _, a := range p.queue[p.at:] {
		for i := a.next; i < len(a.frames); i++ {
			if !x.extend(&a.frames[i], a.block, room) {
				return x
			}
		}
	}
	return x
}

// extend adds a message if there is room for it.
func (x *extent) extend(f *frame, b *block, room connectors.Room) bool {
	more := *x
	more.add(f, b)
	if more.messages > min(maxBatch, room.Messages) || more.data > maxData || more.memory() > room.Bytes {
		return false
	}
	*x = more
	return true
}

// memory is the heap that a batch of the message alone keeps alive.
func (e *entry) memory() int64 {
	var x extent
	x.add(&e.frame, e.block)
	return x.memory()
}
