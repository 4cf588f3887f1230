package verify

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/sluice-bridge/sluice/connectors"
)

// maxEntries bounds how many source positions are looked at message by message at a time: about 20 MiB.
const maxEntries = 1 << 18

// suspect is a block to look at again.
type suspect struct {
	p     *partition
	b     *block
	begin int64
}

// readAgain goes through the blocks that are not equal, as many at a time as memory allows.
func (c *comparison) readAgain(ctx context.Context) error {
	var group []suspect
	for _, p := range c.sources {
		for i := range p.blocks {
			b, begin := &p.blocks[i], p.from+int64(i)*c.block
			if begin >= p.to || b.source == b.sink && !b.disordered {
				continue
			}
			group = append(group, suspect{p, b, begin})
			if int64(len(group)+1)*c.block > maxEntries {
				if err := c.examine(ctx, group); err != nil {
					return err
				}
				group = group[:0]
			}
		}
	}
	return c.examine(ctx, group)
}

// examine goes through some blocks.
func (c *comparison) examine(ctx context.Context, group []suspect) error {
	if len(group) == 0 {
		return nil
	}
	for _, s := range group {
		end := min(s.begin+c.block, s.p.to)
		s.b.table = &table{from: s.begin, entries: make([]entry, end-s.begin)}
		if _, err := c.readSourceRange(ctx, s.p, s.begin, end, func(offset int64, of *prints) {
			e := &s.b.table.entries[offset-s.begin]
			if e.filtered = of == nil; !e.filtered {
				e.prints, e.exists = *of, true
			}
		}); err != nil {
			return err
		}
	}
	if err := c.lookForGaps(ctx); err != nil {
		return err
	}
	lanes := make([][]lane, len(c.sources))
	for i := range lanes {
		lanes[i] = make([]lane, len(c.sinks))
	}
	for at := range c.sinks {
		for _, s := range spansOf(group, at) {
			if err := c.readSinkRange(ctx, at, s.from, s.to, func(m *connectors.Message) { c.process(m, at, lanes, false) }); err != nil {
				return err
			}
		}
	}
	if err := c.readEarlier(ctx, group, lanes); err != nil {
		return err
	}
	for _, s := range group {
		c.miss(s.p, s.b)
		s.b.table = nil
	}
	return nil
}

// lookForGaps notes where the source begins by now: what expired meanwhile is no phantom.
func (c *comparison) lookForGaps(ctx context.Context) error {
	there, err := c.ends.Source.Ranges(ctx)
	if err != nil {
		return fmt.Errorf("source: %w", err)
	}
	for _, r := range there {
		if p := c.byOrigin[r.Origin]; p != nil {
			p.now = max(p.now, r.First)
		}
	}
	return nil
}

// readEarlier looks for what was not seen before where the first pass began: a clock may go wrong, and a
// message is called lost only if it is nowhere.
func (c *comparison) readEarlier(ctx context.Context, group []suspect, lanes [][]lane) error {
	missing := slices.ContainsFunc(group, func(s suspect) bool {
		return slices.ContainsFunc(s.b.table.entries, func(e entry) bool { return e.exists && !e.seen })
	})
	if !missing {
		return nil
	}
	for at, s := range c.sinks {
		if s.start <= s.First {
			continue
		}
		if err := c.readSinkRange(ctx, at, s.First, s.start, func(m *connectors.Message) {
			if p, offset, _ := c.claim(m); p != nil {
				p.lanes[at].behind(offset, m.Offset)
			}
			c.process(m, at, lanes, true)
		}); err != nil {
			return err
		}
	}
	return nil
}

func (c *comparison) readSinkRange(ctx context.Context, at int, from, to int64, visit func(*connectors.Message)) error {
	err := c.ends.Sink.Read(ctx, c.sinks[at].Partition, from, to, func(m *connectors.Message) error {
		visit(m)
		return nil
	})
	if err != nil {
		return fmt.Errorf("sink: %w", err)
	}
	return nil
}

// spansOf returns where a partition of the sink holds blocks of the group, sorted and joined.
func spansOf(group []suspect, at int) (joined []span) {
	var all []span
	for _, s := range group {
		for _, one := range s.b.spans {
			if one.at == at {
				all = append(all, one)
			}
		}
	}
	slices.SortFunc(all, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	for _, s := range all {
		if last := len(joined) - 1; last >= 0 && s.from <= joined[last].to {
			joined[last].to = max(joined[last].to, s.to)
			continue
		}
		joined = append(joined, s)
	}
	return joined
}
