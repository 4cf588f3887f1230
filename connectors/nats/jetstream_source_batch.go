package nats

import (
	"errors"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
)

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
	x := p.measure(&e, room)
	l := s.payloads.get(&x)
	b := &connectors.Batch{Partition: s.cfg.Stream, Memory: x.memory()}
	sp := &span{payload: l}
	last, err := s.fill(b, p, l, e, x.messages)
	if len(l.messages) == 0 {
		s.payloads.put(l)
		return nil, err
	}
	sp.at = last.sequences
	s.lag.Store(int64(last.pending))
	s.finish(p, b, sp, last.time)
	return b, nil
}

// fill puts e and what has come behind it into a batch, most messages at most, and returns the last that is in
// it. At a gap that halts the route it ends before it, with the error for the case that nothing is in it.
func (s *jetStreamSource) fill(b *connectors.Batch, p *pullSession, l *payload, e entry, most int) (last delivery, err error) {
	s.gaps.mu.Lock()
	defer s.gaps.mu.Unlock()
	for {
		if !l.fits(&e) {
			p.putBack(e)
			return last, nil
		}
		f := l.copy(&e)
		list, sound := l.parse(f.head())
		if !sound && len(l.messages) > 0 {
			p.putBack(e)
			return last, nil
		}
		if err := s.gaps.see(e.Stream); err != nil {
			p.putBack(e)
			p.end(err)
			return last, err
		}
		e.drop()
		l.keep(list)
		m := l.next()
		m.Subject, m.Value, m.Time, m.Offset = f.subject, f.data(), time.Unix(0, e.time), int64(e.Stream)
		restoreList(m, list[:len(list):len(list)])
		b.Memory += beside(m, list)
		last = e.delivery
		if !sound {
			b.Reject = errHeaders
			return last, nil
		}
		if len(l.messages) == most {
			return last, nil
		}
		var more bool
		if e, more = s.ready(p); !more {
			return last, nil
		}
	}
}

// beside is what the headers of a message take that were restored from one of list.
func beside(m *connectors.Message, list []connectors.Header) (n int64) {
	if len(m.Headers) == 0 || len(list) > 0 && &m.Headers[0] == &list[0] {
		return 0
	}
	for i := range m.Headers {
		n += headerSize + int64(len(m.Headers[i].Key)+len(m.Headers[i].Value))
	}
	return 2 * n // what was decoded and what grew
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
