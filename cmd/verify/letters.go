package verify

import (
	"context"
	"fmt"
	"slices"

	"github.com/sluice-bridge/sluice/bridge"
	"github.com/sluice-bridge/sluice/connectors"
)

// maxLetters bounds how many dead letters are remembered: 32 MiB.
const maxLetters = 4 << 20

// readLetters notes which source positions have a dead letter.
func (c *comparison) readLetters(ctx context.Context) error {
	if c.ends.Letters == nil {
		return nil
	}
	there, err := c.ends.Letters.Ranges(ctx)
	if err != nil {
		return fmt.Errorf("dead letters: %w", err)
	}
	n := 0
	for _, r := range there {
		if err := c.ends.Letters.Read(ctx, r.Partition, r.First, r.End, func(m *connectors.Message) error {
			p, offset := c.letterOf(m)
			if p == nil || !p.covers(offset) {
				return nil
			}
			if n++; n > maxLetters {
				return fmt.Errorf("there are more than %d; compare less with --since", maxLetters)
			}
			p.letters = append(p.letters, offset)
			return nil
		}); err != nil {
			return fmt.Errorf("dead letters: %w", err)
		}
	}
	for _, p := range c.sources {
		slices.Sort(p.letters)
		p.letters = slices.Compact(p.letters)
	}
	return nil
}

// letterOf returns the source position of a dead letter of this route, nil if it is none.
func (c *comparison) letterOf(m *connectors.Message) (*partition, int64) {
	l, ok := bridge.ReadLetter(m)
	if !ok || l.Route != c.options.Route {
		return nil, 0
	}
	p := c.byOrigin[l.Origin]
	if p == nil || p.Partition != l.Partition {
		return nil, 0
	}
	return p, l.Message.Offset
}

// dead tells whether a position has a dead letter.
func (p *partition) dead(offset int64) bool {
	_, found := slices.BinarySearch(p.letters, offset)
	return found
}
