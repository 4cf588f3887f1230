package kafka

import (
	"errors"
	"fmt"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/kafka/wire"
)

// maxBatch is the most messages that one Fetch returns: enough for a Write whose wait for the
// acknowledgement costs nothing, few enough that partitions take turns.
const maxBatch = 1024

// handle is what a batch of ours carries: the partition as it was assigned, and the memory of the
// messages until Recycle.
type handle struct {
	feed     *feed
	out      *wire.Out
	messages int64
}

// take returns the next batch of a partition that holds data, or nil if nothing of it was for us.
func (s *source) take(f *feed, room connectors.Room) (*connectors.Batch, error) {
	if room.Messages < 1 {
		return nil, fmt.Errorf("kafka: fetch %s: no room for a single message", f.name)
	}
	out := s.outs.Get().(*wire.Out)
	limited := room
	limited.Messages = min(room.Messages, maxBatch)
	before := f.reader.Next()
	more, err := f.reader.Read(out, &s.inflater, limited)

	corrupt, isCorrupt := errors.AsType[*wire.CorruptError](err)
	if isCorrupt {
		err = nil
		out.HoldRaw(f.topic, corrupt)
	}
	more = f.trim(out) && more
	if s.taken(f, out.Messages, before, more, err != nil) || len(out.Messages) == 0 {
		out.Release()
		s.outs.Put(out)
		return nil, err
	}
	s.noteAge(out.Messages[0].Time)
	b := &connectors.Batch{
		Partition: f.name, Origin: f.origin, Messages: out.Messages, Next: f.next, Memory: out.Memory,
		Handle: &handle{feed: f, out: out, messages: int64(len(out.Messages))},
	}
	if isCorrupt {
		b.Reject = fmt.Errorf("kafka: %s: %w", f.name, corrupt)
	}
	return b, nil
}

// taken keeps the position after a read and puts the partition in line again. It reports whether the
// partition was revoked meanwhile.
func (s *source) taken(f *feed, messages []connectors.Message, before int64, more, failed bool) (gone bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.noteRead(messages)
	f.next = f.reader.Next()
	if f.ended() {
		f.next = f.until
	}
	switch {
	case f.gone || !more:
		if f.next == before && !f.gone {
			s.cutShort(f)
		} else {
			f.cut = 0
		}
		f.batch = max(f.batch/2, f.reader.Cut())
		f.reader.Close()
		f.reader = nil
		s.look = true
	case failed: // it is its turn still
		s.ready = append(s.ready, nil)
		copy(s.ready[1:], s.ready)
		s.ready[0] = f
	default:
		s.ready = append(s.ready, f)
	}
	return f.gone
}

// noteAge lets Describe tell how old the oldest message of a first start is.
func (s *source) noteAge(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.backlog.age(t) {
		f := *s.facts.Load()
		f.Backlog = s.backlog.String()
		s.facts.Store(&f)
	}
}

// cutShort handles an answer that brought only a part of a batch. A broker sends the first batch of the
// first partition whole, and every partition is the first in turn: so it only goes on like that if the
// broker, or what is between, is broken. s.mu is held.
func (s *source) cutShort(f *feed) {
	f.cut++
	if f.cut <= 2*len(s.feeds) {
		return
	}
	f.notBefore = time.Now().Add(s.backoff(f.cut))
	s.trouble = fmt.Errorf("kafka: fetch %s: %d answers in a row held no whole batch at offset %d", f.name, f.cut, f.next)
}

// Recycle implements connectors.Recycler.
func (s *source) Recycle(b *connectors.Batch) {
	h, ok := b.Handle.(*handle)
	if !ok || h.out == nil {
		return
	}
	h.out.Release()
	s.outs.Put(h.out)
	h.out = nil
}
