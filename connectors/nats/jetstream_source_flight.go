package nats

import (
	"slices"
	"sync"

	"github.com/sluice-bridge/sluice/connectors"
)

// span is a batch between Fetch and Commit: what is in flight, by stream sequence, and how it is
// acknowledged in the session that is live.
type span struct {
	generation uint64
	seqs       []uint64 // stream sequences, ascending where the durable is owned
	payload    *payload // nil once recycled
	// at acknowledges everything up to the last message in the live session; zero: there is nothing
	// left to acknowledge, for the messages are gone from the stream or behind the floor.
	at sequences
}

func (sp *span) first() uint64 { return sp.seqs[0] }
func (sp *span) last() uint64  { return sp.seqs[len(sp.seqs)-1] }

// flights are the spans in flight, in the order they were fetched. Touched once a batch.
type flights struct {
	mu         sync.Mutex
	generation uint64 // of the ownership; spans of an earlier one are not acknowledged any more
	spans      []*span
	// twins finds a message in flight by its stream sequence; only kept without ownership, where
	// redeliveries come at any time.
	twins map[uint64]*span
}

// keepTwins has messages in flight found by their stream sequence from now on.
func (f *flights) keepTwins() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.twins != nil {
		return
	}
	f.twins = map[uint64]*span{}
	for _, sp := range f.spans {
		for _, seq := range sp.seqs {
			f.twins[seq] = sp
		}
	}
}

// renew begins a new generation: what is in flight belongs to whoever owned the durable meanwhile.
func (f *flights) renew() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.generation++
	f.spans = nil
	clear(f.twins)
}

// add registers a batch that is about to be returned.
func (f *flights) add(sp *span) {
	f.mu.Lock()
	defer f.mu.Unlock()
	sp.generation = f.generation
	f.spans = append(f.spans, sp)
	if f.twins != nil {
		for _, seq := range sp.seqs {
			f.twins[seq] = sp
		}
	}
}

// twin reports whether the message is in flight.
func (f *flights) twin(stream uint64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.twins[stream] != nil
}

// latest returns the span that a Commit of done acknowledges up to, or nil if none of done is of this
// generation.
func (f *flights) latest(done []*connectors.Batch) *span {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := len(done) - 1; i >= 0; i-- {
		if sp, ok := done[i].Handle.(*span); ok && sp.generation == f.generation {
			return sp
		}
	}
	return nil
}

// current reports whether sp may still be acknowledged.
func (f *flights) current(sp *span) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return sp.generation == f.generation
}

// remove forgets the spans of done.
func (f *flights) remove(done []*connectors.Batch) {
	f.mu.Lock()
	defer f.mu.Unlock()
	gone := make(map[*span]bool, len(done))
	for _, b := range done {
		if sp, ok := b.Handle.(*span); ok && sp.generation == f.generation {
			gone[sp] = true
		}
	}
	kept := f.spans[:0]
	for _, sp := range f.spans {
		if !gone[sp] {
			kept = append(kept, sp)
			continue
		}
		for _, seq := range sp.seqs {
			if f.twins[seq] == sp {
				delete(f.twins, seq)
			}
		}
	}
	clear(f.spans[len(kept):])
	f.spans = kept
}

// firstAfter returns the first stream sequence of the first span behind stream, or 0.
func (f *flights) firstAfter(stream uint64) uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, sp := range f.spans {
		if sp.last() > stream {
			return max(sp.first(), stream+1)
		}
	}
	return 0
}

// matcher gives what is in flight its new deliveries after a reset.
type matcher struct {
	spans []*span
	prev  sequences // the last delivery seen
	next  int       // in the first of spans, the first message that was not seen
	done  uint64    // everything up to this stream sequence was committed
}

// match begins: until they are seen again, the spans have nothing to acknowledge.
func (f *flights) match(done uint64) *matcher {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, sp := range f.spans {
		sp.at = sequences{}
	}
	return &matcher{spans: slices.Clone(f.spans), done: done}
}

// seen takes one redelivery and reports whether it is in flight. They come in stream order; messages
// in flight that do not come are gone from the stream. Committed ones may come: a server that is killed
// forgets the last acknowledgements. Any other that is not in flight, although later ones are, was read
// by somebody else between them.
func (m *matcher) seen(at sequences) bool {
	if at.Stream <= m.done {
		m.prev = at
		return true
	}
	for len(m.spans) > 0 {
		sp := m.spans[0]
		for m.next < len(sp.seqs) && sp.seqs[m.next] < at.Stream {
			m.next++
		}
		if m.next == len(sp.seqs) {
			m.skip()
			continue
		}
		if sp.seqs[m.next] != at.Stream {
			return false
		}
		m.prev = at
		if m.next++; m.next == len(sp.seqs) {
			m.skip()
		}
		return true
	}
	return false
}

// skip finishes the first span: it is acknowledged by the last delivery that is not behind it.
func (m *matcher) skip() {
	m.spans[0].at = m.prev
	m.spans, m.next = m.spans[1:], 0
}

// end finishes the spans that are left.
func (m *matcher) end() {
	for len(m.spans) > 0 {
		m.skip()
	}
}
