package nats

import (
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/sluice-bridge/sluice/connectors"
)

// coreEntry is a message that waits to be fetched.
type coreEntry struct {
	m       *nats.Msg
	subject int // index of the subscription
	memory  int64
}

// coreBuffer holds messages in the order they came, up to a number and a size. Its ring grows with
// what it holds.
type coreBuffer struct {
	maxMessages int
	maxBytes    int64

	mu    sync.Mutex
	slots []coreEntry // a ring
	first int         // the oldest
	count int
	bytes int64
	wake  chan struct{} // closed and replaced when a message comes into an empty buffer, or by ring
}

func newCoreBuffer(maxMessages int, maxBytes int64) *coreBuffer {
	return &coreBuffer{maxMessages: maxMessages, maxBytes: maxBytes, wake: make(chan struct{})}
}

// put adds a message and reports whether there was room. A message larger than the whole buffer fits
// an empty one.
func (b *coreBuffer) put(e coreEntry) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.count >= b.maxMessages || b.count > 0 && b.bytes+e.memory > b.maxBytes {
		return false
	}
	if b.count == len(b.slots) {
		b.grow()
	}
	b.slots[(b.first+b.count)%len(b.slots)] = e
	b.count++
	b.bytes += e.memory
	if b.count == 1 {
		b.ringLocked()
	}
	return true
}

func (b *coreBuffer) grow() {
	slots := make([]coreEntry, min(max(64, 2*len(b.slots)), b.maxMessages))
	n := copy(slots, b.slots[b.first:])
	copy(slots[n:], b.slots[:b.first])
	b.slots, b.first = slots, 0
}

// take removes the oldest messages that are of one subscription and fit room. need is what the oldest
// takes if it does not fit.
func (b *coreBuffer) take(room connectors.Room) (entries []coreEntry, need int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.count == 0 || room.Messages <= 0 {
		return nil, 0
	}
	if oldest := b.slots[b.first].memory; oldest > room.Bytes && !room.Alone {
		return nil, oldest
	}
	var bytes int64
	subject := b.slots[b.first].subject
	for b.count > 0 && len(entries) < room.Messages {
		e := &b.slots[b.first]
		if e.subject != subject || len(entries) > 0 && bytes+e.memory > room.Bytes {
			break
		}
		bytes += e.memory
		entries = append(entries, *e)
		*e = coreEntry{}
		b.first = (b.first + 1) % len(b.slots)
		b.count--
	}
	b.bytes -= bytes
	return entries, 0
}

// changed returns a channel that is closed when there may be something new.
func (b *coreBuffer) changed() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.wake
}

func (b *coreBuffer) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ringLocked()
}

func (b *coreBuffer) ringLocked() {
	close(b.wake)
	b.wake = make(chan struct{})
}

func (b *coreBuffer) len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.count
}

// memoryOfMsg estimates the heap that a message of nats.go keeps alive.
func memoryOfMsg(m *nats.Msg) int64 {
	n := grown(int64(m.Size())) + plainOverhead
	for _, values := range m.Header {
		n += int64(len(values)) * plainHeader
	}
	return n
}
