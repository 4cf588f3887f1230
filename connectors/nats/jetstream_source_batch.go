package nats

import (
	"bytes"
	"errors"
	"sync"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
)

// payload is the memory of a batch's messages, until Recycle.
type payload struct {
	messages []connectors.Message
	headers  headerArena
	blocks   []*block
}

// hold keeps a block as long as the payload. Consecutive messages are mostly of one.
func (l *payload) hold(b *block) {
	if n := len(l.blocks); b == nil || n > 0 && l.blocks[n-1] == b {
		return
	}
	b.hold()
	l.blocks = append(l.blocks, b)
}

// payloads are used again.
type payloads struct{ pool sync.Pool }

func (p *payloads) get() *payload {
	l, _ := p.pool.Get().(*payload)
	if l == nil {
		l = &payload{}
	}
	return l
}

// leastMessages is the room for messages that a payload has whatever it was used for.
const leastMessages = 16

// put takes a payload back that nobody uses any more. One that was far larger than what it was used for
// does not stay so: a window full of small batches would take many times what they claim.
func (p *payloads) put(l *payload) {
	for _, b := range l.blocks {
		b.release()
	}
	clear(l.blocks)
	clear(l.messages)
	if cap(l.messages) > 4*max(len(l.messages), leastMessages) {
		l.messages = nil
	}
	l.headers.clear()
	l.messages, l.blocks = l.messages[:0], l.blocks[:0]
	p.pool.Put(l)
}

// Recycle implements connectors.Recycler.
func (s *jetStreamSource) Recycle(b *connectors.Batch) {
	sp, ok := b.Handle.(*span)
	if !ok || sp.payload == nil {
		return
	}
	s.payloads.put(sp.payload)
	sp.payload = nil
}

// errHeaders rejects a message whose headers nobody can read.
var errHeaders = errors.New("the headers cannot be read; they are left out of what is kept of the message")

// collect makes a batch of e and what has come behind it. At a gap that halts the route it ends before it.
func (s *jetStreamSource) collect(p *pullSession, e entry, room connectors.Room) (*connectors.Batch, error) {
	l := s.payloads.get()
	b := &connectors.Batch{Partition: s.cfg.Stream}
	sp, stamp := &span{payload: l}, int64(0)
	for more := true; more; {
		list, sound := parseBlock(l.headers.room(bytes.Count(e.head, []byte{'\n'})), e.head)
		sound = sound || len(e.head) == 0
		if !sound && len(l.messages) > 0 {
			p.putBack(e)
			break
		}
		if err := s.gaps.see(e.Stream); err != nil {
			p.putBack(e)
			p.end(err)
			if len(l.messages) == 0 {
				s.payloads.put(l)
				return nil, err
			}
			break
		}
		l.hold(e.block)
		e.drop()
		m := connectors.Message{Subject: e.subject, Value: e.data, Time: time.Unix(0, e.time), Offset: int64(e.Stream)}
		l.headers.keep(len(list))
		restoreList(&m, list[:len(list):len(list)])
		l.messages = append(l.messages, m)
		b.Memory += e.memory
		sp.at, stamp = e.sequences, e.time
		s.lag.Store(int64(e.pending))
		if !sound {
			b.Reject = errHeaders
			break
		}
		if len(l.messages) >= min(maxBatch, room.Messages) {
			break
		}
		e, more = s.ready(p, room.Bytes-b.Memory)
	}
	s.finish(p, b, sp, stamp)
	return b, nil
}

// finish makes the batch one in flight, whose last message was stored at stamp.
func (s *jetStreamSource) finish(p *pullSession, b *connectors.Batch, sp *span, stamp int64) {
	b.Messages = sp.payload.messages
	sp.seqs = make([]uint64, len(b.Messages))
	for i := range b.Messages {
		sp.seqs[i] = uint64(b.Messages[i].Offset)
	}
	b.Next, b.Handle = int64(sp.last())+1, sp
	s.mu.Lock()
	b.Origin = s.origin
	s.mu.Unlock()
	p.taken.Store(p.last.Consumer)
	if p.ordered {
		s.position.Store(int64(sp.last()))
		s.stamp.Store(stamp)
	}
	s.flights.add(sp)
}
