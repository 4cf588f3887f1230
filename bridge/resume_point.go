package bridge

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/sluice-bridge/sluice/connectors"
)

// resumePoint computes from a sink where its source is to go on in a partition: before the first message that
// the sink does not hold. What the sink holds ends raggedly, for the messages in flight when a route ended need
// not have been taken in order of the source. So from the highest message that the sink holds as many are
// compared, by their offsets, as can have been in flight; all before those was acknowledged.
type resumePoint struct {
	source, sink connectors.Log
	at           connectors.Range
	inFlight     int64 // messages
	chunk        int64 // as tail.chunk
	// passed reports whether a message of the source is not written to the sink by the route's nature.
	passed func(*connectors.Message) bool

	last     int64  // the highest offset that the sink holds
	value    []byte // of that message
	from     int64  // the first offset to be compared
	seen     []uint64
	complete bool // all that the sink holds from there on was looked at
}

// errNothingHeld says that the sink holds nothing of the partition, as far as it was looked through.
var errNothingHeld = errors.New("the sink holds nothing of it")

// compute returns the position. note says what a person should know of it.
func (p *resumePoint) compute(ctx context.Context) (next int64, note string, err error) {
	if err := p.findLast(ctx); err != nil {
		return 0, "", err
	}
	if p.last >= p.at.End {
		return 0, "", fmt.Errorf("%s ends at %d and the sink holds its messages up to %d: it was deleted and created anew, or truncated; choose where to begin, such as --to earliest",
			p.at.Partition, p.at.End, p.last)
	}
	if err := p.findFrom(ctx); err != nil {
		return 0, "", err
	}
	if err := p.look(ctx); err != nil {
		return 0, "", err
	}
	if !p.complete {
		return max(p.at.First, p.from), "the sink was not looked through as far as needed: what may have been in flight is taken for missing", nil
	}
	missing, err := p.compare(ctx)
	if missing <= p.last {
		note = fmt.Sprintf("the sink holds messages up to %d, and not this one", p.last)
	}
	return missing, note, err
}

// findLast finds the highest message of the partition in the sink.
func (p *resumePoint) findLast(ctx context.Context) error {
	t := tail{chunk: p.chunk}
	if err := t.begin(ctx, p.sink); err != nil {
		return err
	}
	p.last = -1
	for p.last < 0 && t.left() > 0 {
		err := t.back(ctx, p.sink, func(int) bool { return true }, func(_ int, m *connectors.Message) {
			if o, ok := originOf(m); ok && string(o.Partition) == p.at.Origin && o.Offset > p.last {
				p.last, p.value = o.Offset, bytes.Clone(m.Value)
			}
		})
		if err != nil {
			return err
		}
	}
	if p.last < 0 {
		return errNothingHeld
	}
	return nil
}

// findFrom goes back at the source until it has as many messages as can have been in flight.
func (p *resumePoint) findFrom(ctx context.Context) error {
	end := p.last + 1
	p.from = end
	var messages int64
	for back := p.inFlight; messages < p.inFlight && p.from > p.at.First && end-p.from < tailLimit; back *= 2 {
		from := max(p.at.First, end-tailLimit, p.from-back)
		err := p.source.Read(ctx, p.at.Partition, from, p.from, func(*connectors.Message) error { messages++; return nil })
		if err != nil {
			return err
		}
		p.from = from
	}
	p.from = max(p.from, p.at.First)
	return nil
}

// look notes which offsets from p.from on the sink holds. Each partition of the sink is looked through until
// a message from before them comes, or it ends; so a higher one may yet be found than findLast did.
func (p *resumePoint) look(ctx context.Context) error {
	limit := min(p.at.End, p.last+tailLimit)
	t := tail{chunk: p.chunk}
	if err := t.begin(ctx, p.sink); err != nil {
		return err
	}
	done := make([]bool, len(t.parts))
	for !p.complete && t.left() > 0 {
		err := t.back(ctx, p.sink, func(part int) bool { return !done[part] }, func(part int, m *connectors.Message) {
			o, ok := originOf(m)
			switch {
			case !ok || string(o.Partition) != p.at.Origin:
			case o.Offset < p.from:
				done[part] = true
			case o.Offset < limit:
				p.note(o.Offset)
				if o.Offset > p.last {
					p.last, p.value = o.Offset, bytes.Clone(m.Value)
				}
			}
		})
		if err != nil {
			return err
		}
		p.complete = true
		for i := range t.parts {
			p.complete = p.complete && (done[i] || t.parts[i].end == t.parts[i].first)
		}
	}
	p.complete = p.complete || len(t.parts) == 0
	return nil
}

func (p *resumePoint) note(offset int64) {
	i := offset - p.from
	if grow := int(i/64) + 1 - len(p.seen); grow > 0 {
		p.seen = append(p.seen, make([]uint64, grow)...)
	}
	p.seen[i/64] |= 1 << (i % 64)
}

func (p *resumePoint) noted(offset int64) bool {
	i := offset - p.from
	return i/64 < int64(len(p.seen)) && p.seen[i/64]&(1<<(i%64)) != 0
}

// errFound ends a Read.
var errFound = errors.New("found")

// compare returns the first offset of the source that the sink does not hold. It refuses a source whose
// message is not the one that the sink holds under its offset.
func (p *resumePoint) compare(ctx context.Context) (missing int64, err error) {
	missing = p.last + 1
	var another bool
	err = p.source.Read(ctx, p.at.Partition, p.from, p.last+1, func(m *connectors.Message) error {
		if m.Offset == p.last && !bytes.Equal(m.Value, p.value) {
			another = true
			return errFound
		}
		if missing > p.last && !p.noted(m.Offset) && !p.passed(m) {
			missing = m.Offset
		}
		return nil
	})
	switch {
	case another:
		return 0, fmt.Errorf("%s offset %d is another message than the one that the sink holds of it: it was deleted and created anew; choose where to begin, such as --to earliest",
			p.at.Partition, p.last)
	case err != nil:
		return 0, err
	}
	return missing, nil
}
