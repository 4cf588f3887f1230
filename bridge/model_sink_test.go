package bridge

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
)

// modelSink takes, refuses, fails, answers late, and loses answers of what it has taken.
type modelSink struct {
	w    *world
	dead atomic.Bool
}

func (s *modelSink) Close(context.Context) error { return nil }

func (s *modelSink) Write(ctx context.Context, batches []*connectors.Batch) error {
	p, ms, attempt := s.begin(batches)
	defer s.end(p)
	fault := 99
	if s.w.faulty() {
		fault = s.w.roll(20, "write", p.name, ms[0].Offset, attempt)
	}
	delay := time.Duration(s.w.roll(200, "delay", p.name, ms[0].Offset, attempt)) * time.Millisecond
	switch fault {
	case 0:
		return errModel // not applied
	case 1:
		delay = 40 * time.Second // a stall
	}
	if !sleep(ctx, delay) || s.dead.Load() {
		time.Sleep(time.Second) // giving up takes a moment, in which nobody else may write
		return context.Canceled
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if fault == 2 { // applied, and the answer is lost
		s.apply(p, ms, len(ms))
		for _, m := range ms {
			if !s.w.refusedForGood(p.name, m.Offset) {
				p.allowed[m.Offset]++
			}
		}
		return errModel
	}
	upTo := len(ms)
	if fault == 3 {
		upTo = s.w.roll(len(ms), "part", p.name, ms[0].Offset, attempt)
	}
	s.apply(p, ms, upTo)
	return s.answer(p, ms, upTo)
}

// begin checks what I4 and the order within a lane demand.
func (s *modelSink) begin(batches []*connectors.Batch) (*modelPartition, []connectors.Message, int) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	p := s.w.find(batches[0].Partition)
	if p.writing {
		s.w.breach("I4: two writes at once in %s", p.name)
	}
	p.writing = true
	var ms []connectors.Message
	for _, b := range batches {
		if b.Partition != p.name {
			s.w.breach("a Write holds batches of %s and %s", p.name, b.Partition)
		}
		if b.Reject != nil {
			s.w.breach("%s: the sink was given a batch that could not be decoded", p.name)
		}
		ms = append(ms, b.Messages...)
	}
	if !slices.IsSortedFunc(ms, func(a, b connectors.Message) int { return int(a.Offset - b.Offset) }) {
		s.w.breach("%s: a Write is out of order", p.name)
	}
	p.attempts[ms[0].Offset]++
	return p, ms, p.attempts[ms[0].Offset]
}

func (s *modelSink) end(p *modelPartition) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	p.writing = false
}

// apply stores the messages before upTo that the sink does not refuse.
func (s *modelSink) apply(p *modelPartition, ms []connectors.Message, upTo int) {
	for _, m := range ms[:upTo] {
		if s.w.refusedForGood(p.name, m.Offset) {
			continue
		}
		if got, want := string(m.Value), payload(p.name, m.Offset); got != want {
			s.w.breach("I5: %s offset %d arrived as %q", p.name, m.Offset, got)
		}
		p.sink = append(p.sink, m.Offset)
		p.have[m.Offset]++
		p.taken[m.Offset] = true
	}
}

// answer acknowledges what was applied.
func (s *modelSink) answer(p *modelPartition, ms []connectors.Message, upTo int) error {
	var failed []connectors.Failure
	for i, m := range ms {
		switch {
		case s.w.refusedForGood(p.name, m.Offset):
			failed = append(failed, connectors.Failure{Index: i, Err: connectors.Permanent(errors.New("model: never"))})
		case i >= upTo:
			failed = append(failed, connectors.Failure{Index: i, Err: errModel})
		default:
			delete(p.inFlight, m.Offset)
		}
	}
	if failed == nil {
		return nil
	}
	return &connectors.BatchError{Failed: failed}
}

// modelLetters is the dead-letter sink. It refuses nothing, and fails now and then.
type modelLetters struct{ w *world }

func (s *modelLetters) Close(context.Context) error { return nil }

func (s *modelLetters) Write(_ context.Context, batches []*connectors.Batch) error {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	p, m := s.w.find(batches[0].Partition), batches[0].Messages[0]
	p.attempts[-1-m.Offset]++
	if s.w.faults && s.w.roll(3, "letter", p.name, m.Offset, p.attempts[-1-m.Offset]) == 0 {
		return errModel
	}
	if !s.w.refusedForGood(p.name, m.Offset) && !s.w.undecodable(p.name, m.Offset) {
		s.w.breach("I8: %s offset %d was dead-lettered for no reason", p.name, m.Offset)
	}
	if !hasHeader(m, letterReason) || !hasHeader(m, letterPosition) {
		s.w.breach("%s offset %d: a dead letter without its reason or position", p.name, m.Offset)
	}
	p.letters[m.Offset]++
	p.taken[m.Offset] = true
	delete(p.inFlight, m.Offset)
	return nil
}

func hasHeader(m connectors.Message, key string) bool {
	return slices.ContainsFunc(m.Headers, func(h connectors.Header) bool { return h.Key == key && len(h.Value) > 0 })
}
