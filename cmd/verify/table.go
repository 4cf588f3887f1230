package verify

import "github.com/sluice-bridge/sluice/connectors"

// table holds what a block is at the source, message by message, and what the sink has shown of it.
type table struct {
	from    int64
	entries []entry
}

// entry is one position of the source.
type entry struct {
	prints
	exists, seen bool
	filtered     bool // it exists, and does not pass
	at           int  // where it was seen first: the partition of the sink
	position     int64
}

// process takes a message of the sink in. late is set for those that stand before where the first pass
// began: they count only for what was not seen since.
func (c *comparison) process(m *connectors.Message, at int, lanes [][]lane, late bool) {
	p, offset, _ := c.claim(m)
	if p == nil || offset < p.First || offset >= p.End || !p.covers(offset) {
		return
	}
	b := p.blockOf(offset, c.block)
	// All that claims to be of p takes a place in the order, as in the first pass.
	newest := lanes[p.index][at]
	behind := lanes[p.index][at].behind(offset, m.Offset)
	if b.table == nil {
		return
	}
	e := &b.table.entries[offset-b.table.from]
	here, there := Place{c.sinks[at].Partition, m.Offset}, Place{p.Partition, offset}
	switch {
	case e.filtered:
		c.add(b, Finding{Kind: Phantom, Source: there, Sink: here, Detail: "the filter does not let it pass"})
		return
	case !e.exists && (p.Sparse || offset < p.now):
		p.gone++
		return
	case !e.exists:
		c.add(b, Finding{Kind: Phantom, Source: there, Sink: here, Detail: "the source has no message there"})
		return
	}
	if fields := e.differ(c.hasher.prints(m)); len(fields) > 0 {
		c.add(b, Finding{Kind: Altered, Source: there, Sink: here, Fields: fields})
	}
	if e.seen {
		c.add(b, Finding{Kind: Doubled, Source: there, Sink: here, First: &Place{c.sinks[e.at].Partition, e.position}})
		return
	}
	e.seen, e.at, e.position = true, at, m.Offset
	if behind && !late && !c.options.Unordered && !p.dead(offset) {
		c.add(b, Finding{
			Kind: Reordered, Source: there, Sink: here,
			First: &Place{here.Partition, newest.position}, Behind: newest.newest,
		})
	}
}

// miss goes through what was not seen.
func (c *comparison) miss(p *partition, b *block) {
	for i := range b.table.entries {
		e := &b.table.entries[i]
		offset := b.table.from + int64(i)
		switch {
		case !e.exists || e.seen || p.dead(offset):
		case c.mayHaveLeft(p, offset):
			p.left++
		default:
			c.add(b, Finding{Kind: Lost, Source: Place{p.Partition, offset}})
		}
	}
}

// mayHaveLeft tells whether a message may have been at the sink, which has dropped it since.
func (c *comparison) mayHaveLeft(p *partition, offset int64) bool {
	shown := false
	for _, l := range p.lanes {
		shown = shown || l.any
	}
	for at, s := range c.sinks {
		l := p.lanes[at]
		switch {
		case s.Sparse && (l.any || !shown):
			return true
		case s.First > 1 && (l.any && offset < l.first || !shown):
			return true
		}
	}
	return false
}
