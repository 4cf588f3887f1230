package bridge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sluice-bridge/sluice/connectors"
)

// resumePoint computes where a source is to go on in a partition by what the sink was seen to hold of it:
// before the first message that the sink does not hold.
type resumePoint struct {
	source connectors.Log
	at     connectors.Range
	held   *seenAtOrigin
	open   int64 // as sinkView.open
	// passed reports whether a message of the source is not written to the sink by the route's nature.
	passed func(*connectors.Message) bool
}

// compute returns the position. note says what a person should know of it.
func (p *resumePoint) compute(ctx context.Context) (next int64, note string, err error) {
	last := p.held.last
	switch {
	case last < 0:
		return p.at.First, "the sink holds nothing of it", nil
	case last >= p.at.End:
		return 0, "", fmt.Errorf("%s ends at %d and the sink holds its messages up to %d: it was deleted and created anew, or truncated; choose where to begin, such as --to earliest",
			p.at.Partition, p.at.End, last)
	}
	from := p.held.settled
	if from < 0 {
		if from, err = p.openFrom(ctx); err != nil {
			return 0, "", err
		}
	}
	next, err = p.compare(ctx, from)
	if err == nil && next <= last {
		note = fmt.Sprintf("the sink holds messages up to %d, and not this one", last)
	}
	return next, note, err
}

// openFrom goes back at the source from the last message that the sink holds, by as many as can have been open.
func (p *resumePoint) openFrom(ctx context.Context) (from int64, err error) {
	from = p.held.last + 1
	oldest := max(p.at.First, from-tailLimit)
	var messages int64
	for back := p.open; messages < p.open && from > oldest; back *= 2 {
		before := max(oldest, from-back)
		err := p.source.Read(ctx, p.at.Partition, before, from, func(*connectors.Message) error { messages++; return nil })
		if err != nil {
			return 0, err
		}
		from = before
	}
	return from, nil
}

// errFound ends a Read.
var errFound = errors.New("found")

// compare returns the first offset of the source, beginning at from, that the sink does not hold. It refuses a
// source whose message is not the one that the sink holds under its offset.
func (p *resumePoint) compare(ctx context.Context, from int64) (missing int64, err error) {
	last := p.held.last
	missing = last + 1
	another := false
	err = p.source.Read(ctx, p.at.Partition, from, last+1, func(m *connectors.Message) error {
		if m.Offset == last && !bytes.Equal(m.Value, p.held.value) {
			another = true
			return errFound
		}
		if missing > last && !p.passed(m) {
			if _, held := slices.BinarySearch(p.held.offsets, m.Offset); !held {
				missing = m.Offset
			}
		}
		return nil
	})
	switch {
	case another:
		return 0, fmt.Errorf("%s offset %d is another message than the one that the sink holds of it: it was deleted and created anew; choose where to begin, such as --to earliest",
			p.at.Partition, last)
	case err != nil:
		return 0, err
	}
	return missing, nil
}
