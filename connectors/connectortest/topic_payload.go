package connectortest

import (
	"unsafe"

	"github.com/sluice-bridge/sluice/connectors"
)

const (
	messageSize = int64(unsafe.Sizeof(connectors.Message{}))
	headerSize  = int64(unsafe.Sizeof(connectors.Header{}))
	// scribble is what given-back payloads are overwritten with.
	scribble = 0xDB
)

// loan is a batch that the bridge has. It is not reused: a Commit whose answer was lost is called
// again with a batch that the source believes to be done with.
type loan struct {
	batch      connectors.Batch
	payload    *payload // nil once given back
	partition  int
	generation int
}

// payload is the memory of a batch, which is reused.
type payload struct {
	messages []connectors.Message
	headers  []connectors.Header
	buffer   []byte
}

// fit returns how many messages from next on fit the room and their size; none: the first one's size.
func fit(p *partition, next int64, room connectors.Room, most int) (count int, size int64) {
	for limit := min(room.Messages, most); count < limit && next+int64(count) < p.end; count++ {
		s := memory(p.at(next + int64(count)))
		if size+s > room.Bytes && (count > 0 || !room.Alone) {
			if count == 0 {
				size = s
			}
			break
		}
		size += s
	}
	return count, size
}

func (p *partition) at(offset int64) *connectors.Message {
	return &p.log[offset%int64(len(p.log))]
}

// memory is what a message is charged.
func memory(m *connectors.Message) int64 {
	n := messageSize + int64(len(m.Key)+len(m.Value))
	for i := range m.Headers {
		n += headerSize + int64(len(m.Headers[i].Value))
	}
	return n
}

// fill copies messages into the payload.
func (l *payload) fill(p *partition, next int64, count int, size int64) {
	l.messages, l.headers, l.buffer = l.messages[:0], l.headers[:0], l.buffer[:0]
	if int64(cap(l.buffer)) < size {
		l.buffer = make([]byte, 0, size) // more than the payload: size counts the structs too
	}
	headers := 0
	for i := range int64(count) {
		headers += len(p.at(next + i).Headers)
	}
	if cap(l.headers) < headers {
		l.headers = make([]connectors.Header, 0, headers)
	}
	for i := range int64(count) {
		m := *p.at(next + i)
		m.Offset = next + i
		m.Key, m.Value = l.keep(m.Key), l.keep(m.Value)
		first := len(l.headers)
		for _, h := range m.Headers {
			l.headers = append(l.headers, connectors.Header{Key: h.Key, Value: l.keep(h.Value)})
		}
		m.Headers = l.headers[first:len(l.headers):len(l.headers)]
		if first == len(l.headers) {
			m.Headers = nil
		}
		l.messages = append(l.messages, m)
	}
}

func (l *payload) keep(b []byte) []byte {
	if b == nil {
		return nil
	}
	from := len(l.buffer)
	l.buffer = append(l.buffer, b...)
	return l.buffer[from:len(l.buffer):len(l.buffer)]
}
