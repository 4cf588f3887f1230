package kafka

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/kafka/wire"
)

// request is one produce request and what it is made with. It is reused after an answer, and left to the
// garbage collector after a failure, for the connection may then still be writing it.
type request struct {
	parts   []*part
	size    int // of the batches before compression, at most
	body    wire.ProduceBody
	encoder *wire.Encoder
	record  wire.Record
	origin  []byte
	answer  []byte
	made    []int // per part: messages in its batch; 0: it is not in the request
}

func (r *request) reset() {
	clear(r.parts)
	r.parts, r.made, r.size = r.parts[:0], r.made[:0], 0
	r.record = wire.Record{}
}

// exchange sends a request and settles its parts by the outcome.
func (p *producer) exchange(l *lead, r *request) {
	defer p.wg.Done()
	produced, err := p.attempt(l, r)
	p.mu.Lock()
	defer p.mu.Unlock()
	l.busy--
	for i, part := range r.parts {
		p.settle(part, outcomeOf(part, r.made[i] > 0, produced, err, l.node, p.conn))
	}
	if err == nil {
		r.reset()
		p.request.Put(r)
	}
	p.pump()
}

// attempt encodes a request and sends it once. An error is for all parts that are in the request.
func (p *producer) attempt(l *lead, r *request) (*wire.Produced, error) {
	err := p.identifyTargets(r)
	if err == nil {
		err = p.encode(r)
	}
	p.release(r)
	if err != nil {
		return nil, &unsentError{err}
	}
	if !slices.ContainsFunc(r.made, func(n int) bool { return n > 0 }) {
		return &wire.Produced{}, nil
	}
	call := &wire.Call{
		Key: wire.ProduceKey, Version: wire.ProduceVersion, Node: l.node,
		Body: r.body.B, Buffer: r.answer, Limit: 16 << 20,
	}
	slow := time.AfterFunc(slowAnswer, p.refreshSoon)
	answer, err := p.conn.call(p.ctx, answerTimeout, call)
	slow.Stop()
	if err != nil {
		if !call.Begun.Load() {
			return nil, &unsentError{err}
		}
		return nil, err
	}
	r.answer = answer.Body
	produced, err := wire.ReadProduced(answer.Body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.conn.brokerName(l.node), err)
	}
	p.conn.connected()
	if produced.Throttle > 0 {
		p.conn.throttled.Store(time.Now().Add(produced.Throttle).UnixNano())
		p.conn.report(connectors.Event{Kind: connectors.Throttled, Wait: produced.Throttle})
	}
	return produced, nil
}

// unsentError is a failure before anything was sent: the outcome is that nothing was written.
type unsentError struct{ err error }

func (e *unsentError) Error() string { return e.err.Error() }
func (e *unsentError) Unwrap() error { return e.err }

// identifyTargets gives a producer id to those targets that have none. Only this request uses them.
func (p *producer) identifyTargets(r *request) error {
	for _, part := range r.parts {
		t := part.target
		p.mu.Lock()
		needs, atLeast := t.generation == 0, t.atLeast
		p.mu.Unlock()
		if !needs {
			continue
		}
		id, generation, err := p.identify(atLeast)
		if err != nil {
			return err
		}
		p.mu.Lock()
		t.producer, t.generation, t.sequence = id, generation, 0
		p.mu.Unlock()
	}
	return nil
}

// encode makes the body. Parts of one topic become adjacent, as the format has it.
func (p *producer) encode(r *request) error {
	slices.SortStableFunc(r.parts, func(a, b *part) int {
		if c := strings.Compare(a.target.topic, b.target.topic); c != 0 {
			return c
		}
		return int(a.target.number - b.target.number)
	})
	if p.codec == wire.None {
		r.body.B = slices.Grow(r.body.B[:0], r.size+r.size/64+256*len(r.parts)) // the names too
	}
	r.body.Reset(r.body.B, ackTimeout)
	for _, part := range r.parts {
		p.mu.Lock()
		gone, t := part.write.abandoned, part.target
		id, sequence := t.producer, t.sequence
		p.mu.Unlock()
		if gone {
			r.made = append(r.made, 0)
			continue
		}
		r.body.Begin(t.topic, t.number)
		r.encoder.Begin(r.body.B)
		for _, i := range part.order[part.done : part.done+part.sealed] {
			r.origin = p.mapper.record(&r.record, &part.write.items[i], part.write.now, r.origin)
			r.encoder.Append(&r.record)
		}
		body, err := r.encoder.End(id, sequence)
		if err != nil {
			return err
		}
		r.body.B = body
		r.body.Done()
		r.made = append(r.made, part.sealed)
	}
	return nil
}

// release says that the messages are not read any more.
func (p *producer) release(r *request) {
	for len(r.made) < len(r.parts) {
		r.made = append(r.made, 0)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, part := range r.parts {
		w := part.write
		if w.encoding--; w.encoding == 0 && w.released != nil {
			close(w.released)
			w.released = nil
		}
	}
}

// outcome is what became of a part's batch.
type outcome struct {
	code   code
	base   int64
	err    error // nil for codeNone
	unsent bool  // it never left
	open   bool  // it may have been written
}

// outcomeOf finds a part's outcome in the answer to its request.
func outcomeOf(part *part, made bool, produced *wire.Produced, err error, node int32, c *conn) outcome {
	t := part.target
	if _, unsent := err.(*unsentError); unsent || !made { //nolint:errorlint // never wrapped
		if err == nil {
			return outcome{unsent: true}
		}
		failed, _ := codeOf(err)
		return outcome{code: failed, err: err, unsent: true}
	}
	if err != nil {
		return outcome{code: codeNetworkException, err: fmt.Errorf("produce to %s/%d: %w", t.topic, t.number, err), open: true}
	}
	for i := range produced.Parts {
		part := &produced.Parts[i]
		if part.Partition != t.number || part.Topic != t.topic {
			continue
		}
		o := outcome{code: code(part.Code), base: part.BaseOffset}
		if o.code != codeNone {
			o.err = &brokerError{code: o.code, detail: part.Detail,
				doing: fmt.Sprintf("produce to %s/%d at %s", t.topic, t.number, c.brokerName(node))}
		}
		switch o.code {
		case codeRequestTimedOut, codeNetworkException, codeNotEnoughAfterAppend, -1:
			o.open = true
		}
		return o
	}
	return outcome{code: -1, open: true,
		err: fmt.Errorf("produce to %s/%d: %s did not answer for it", t.topic, t.number, c.brokerName(node))}
}
