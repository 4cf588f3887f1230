package proxy

import (
	"encoding/binary"
	"sync"
)

// The API keys that tests ask about.
const (
	Produce      = 0
	Fetch        = 1
	OffsetCommit = 8
	JoinGroup    = 11

	maxAPIKey = 128
)

// calls follows the frames of one Kafka connection: a request's frame begins with its API key, version
// and correlation id, an answer's with the correlation id. Of another protocol it counts nonsense.
type calls struct {
	requests, answers frames

	mu   sync.Mutex
	keys map[uint32]int16 // by correlation id, of the requests without an answer
}

func newCalls() *calls {
	return &calls{requests: frames{want: 8}, answers: frames{want: 4}, keys: map[uint32]int16{}}
}

// request follows bytes from the client.
func (c *calls) request(b []byte) {
	c.requests.follow(b, func(head []byte) {
		key := int16(binary.BigEndian.Uint16(head))
		c.mu.Lock()
		defer c.mu.Unlock()
		if key >= 0 && key < maxAPIKey && len(c.keys) < 1<<16 {
			c.keys[binary.BigEndian.Uint32(head[4:])] = key
		}
	})
}

// answer follows bytes from the broker and tells count the API key of each answer that begins in them.
func (c *calls) answer(b []byte, count func(key int16)) {
	c.answers.follow(b, func(head []byte) {
		id := binary.BigEndian.Uint32(head)
		c.mu.Lock()
		key, ok := c.keys[id]
		delete(c.keys, id)
		c.mu.Unlock()
		if ok {
			count(key)
		}
	})
}

// frames finds the first want bytes of each length-prefixed frame in a stream that comes in pieces.
type frames struct {
	want int
	head []byte // the length and the first bytes of the frame, as far as they have come
	skip int64  // bytes of the frame still to pass
}

func (f *frames) follow(b []byte, begin func(head []byte)) {
	for len(b) > 0 {
		if f.skip > 0 {
			n := min(f.skip, int64(len(b)))
			f.skip -= n
			b = b[n:]
			continue
		}
		n := min(4+f.want-len(f.head), len(b))
		f.head = append(f.head, b[:n]...)
		b = b[n:]
		if len(f.head) == 4+f.want {
			f.skip = max(0, int64(binary.BigEndian.Uint32(f.head))-int64(f.want))
			begin(f.head[4:])
			f.head = f.head[:0]
		}
	}
}
