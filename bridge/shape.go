package bridge

import (
	"time"

	"github.com/sluice-bridge/sluice/bridge/transform"
	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/flowcontrol"
)

const (
	// shapeFor is how long messages are filtered and mapped before those that are ready are written: room comes back
	// with a Write, and without any for a second a slow mapping would look like a sink that has stopped.
	shapeFor = 100 * time.Millisecond
	// shapeBytes is how much may be made of messages before they are written.
	shapeBytes = 256 << 10
	// shapeLook is after how many messages the time is looked at, and after each of the first so many: they may be slow.
	shapeLook = 16
)

// shapeMemory is what the mapped copy of a message in flight takes, with what is made of it.
const shapeMemory = 1 << 10

// shaper filters and maps what a lane is about to write. Batches and flights are parallel, as in a writer; what is
// left begins at message number in of batch number at.
type shaper struct {
	eval     *transform.Evaluator
	flights  []*flight
	batches  []*connectors.Batch
	at, in   int
	messages []connectors.Message // those that are ready
	shaped   int                  // how many have been looked at for this Write
	most     int                  // messages of a Write
}

// writeShaped filters, maps and writes what is in batches until it is done. What it makes of messages it holds no
// longer: lanes share the memory. What the route does not write anyway is taken out before: nothing that the mapping
// misses in it is a reason to refuse it.
func (w *writer) writeShaped() error {
	if len(w.batches) == 0 {
		return nil // the operator gave up the only message
	}
	w.p.oldest.Store(oldestOf(w.flights[0], &w.batches[0].Messages[0]))
	if err := w.sift(time.Now()); err != nil {
		return err
	}
	s, _ := w.shapers.Get().(*shaper)
	if s == nil {
		s = &shaper{eval: w.route.cfg.Transform.Evaluator()}
	}
	w.shaper = s
	defer func() {
		w.shaper = nil
		s.forget()
		w.shapers.Put(s)
	}()
	for s.take(w); s.left(); {
		if err := w.shape(); err != nil {
			return err
		}
		if err := w.writeReady(); err != nil {
			return err
		}
	}
	return nil
}

// take takes over what a writer was to write.
func (s *shaper) take(w *writer) {
	s.flights, s.batches, s.at, s.in = append(s.flights[:0], w.flights...), append(s.batches[:0], w.batches...), 0, 0
}

// forget lets go of all messages.
func (s *shaper) forget() {
	s.eval.Reset()
	clear(s.messages)
	clear(s.batches)
	clear(s.flights)
}

func (s *shaper) left() bool { return s.at < len(s.batches) }

// shape makes the next messages of the lane ready to be written: those that do not pass the filter are done with, and
// what fails of a message is a reason to refuse it. Its error halts the route, unless the lane's context has ended.
func (w *writer) shape() error {
	s := w.shaper
	s.eval.Reset()
	clear(s.messages)
	s.messages, s.shaped, s.most = s.messages[:0], 0, w.size.limit(w.window.Limit().Messages)
	w.flights, w.batches = w.flights[:0], w.batches[:0]
	w.p.enter(flowcontrol.BlockerTransform)
	defer w.p.enter(flowcontrol.BlockerNone)
	until := time.Now().Add(shapeFor)
	for s.left() && w.p.ctx.Err() == nil {
		full, err := w.shapeBatch(s.batches[s.at], s.flights[s.at], until)
		if err != nil {
			return err
		}
		if full {
			break
		}
	}
	return w.p.ctx.Err()
}

// shapeBatch does so with what is left of a batch, and reports whether enough is ready before its end.
func (w *writer) shapeBatch(b *connectors.Batch, f *flight, until time.Time) (full bool, err error) {
	s := w.shaper
	first, refused, filtered := len(s.messages), 0, 0
	if first == 0 { // else those that are ready are older
		w.p.oldest.Store(oldestOf(f, &b.Messages[s.in]))
	}
	for s.in < len(b.Messages) && !full {
		m := &b.Messages[s.in]
		var mapped connectors.Message
		passes, err := s.eval.Passes(b, m)
		if err == nil && passes {
			mapped, err = s.eval.Map(b, m)
		}
		switch {
		case err != nil:
			if err := w.reject(b, s.in, err); err != nil {
				return false, err
			}
			w.p.enter(flowcontrol.BlockerTransform) // a dead letter may have been written
			refused++
		case passes:
			s.messages = append(s.messages, mapped)
		default:
			filtered++
		}
		s.in++
		s.shaped++
		look := s.shaped <= shapeLook || s.shaped%shapeLook == 0
		full = len(s.messages) >= s.most || s.eval.Made() >= shapeBytes || look && !time.Now().Before(until)
	}
	if s.in == len(b.Messages) {
		s.at, s.in = s.at+1, 0
	}
	if len(s.messages) > first {
		view := *b
		view.Messages = s.messages[first:len(s.messages):len(s.messages)]
		w.batches, w.flights = append(w.batches, &view), append(w.flights, f)
		w.route.tap(StageMapped, &view, view.Messages, nil)
	}
	if done := refused + filtered; done > 0 {
		w.passed(time.Now())
		w.route.counts.filtered.Add(uint64(filtered))
		w.acknowledged(f, done)
	}
	return full, nil
}

// original returns a message as its source has returned it.
func original(m *connectors.Message) *connectors.Message {
	if m.Mapped != nil {
		return m.Mapped.Original
	}
	return m
}
