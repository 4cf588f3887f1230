package verify

import (
	"context"
	"fmt"

	"github.com/sluice-bridge/sluice/connectors"
)

// claim returns the source position that a message of the sink names. p is nil where that is none of the
// source's partitions; kin tells whether it is one that the source's topic would have.
func (c *comparison) claim(m *connectors.Message) (p *partition, offset int64, kin bool) {
	origin, ok := connectors.ParseOrigin(connectors.FindOrigin(m.Headers))
	if !ok {
		return nil, 0, false
	}
	if p := c.byOrigin[string(origin.Partition)]; p != nil {
		return p, origin.Offset, true
	}
	for base := range c.kin {
		if len(origin.Partition) > len(base) && string(origin.Partition[:len(base)]) == base {
			return nil, origin.Offset, true
		}
	}
	return nil, 0, false
}

// readSink reads the sink once.
func (c *comparison) readSink(ctx context.Context) error {
	for at, s := range c.sinks {
		err := c.ends.Sink.Read(ctx, s.Partition, s.start, s.End, func(m *connectors.Message) error {
			c.report.SinkMessages++
			p, offset, kin := c.claim(m)
			switch {
			case p == nil && !kin:
				c.report.Foreign++
			case p == nil, offset >= p.End:
				c.add(nil, Finding{
					Kind: Phantom, Sink: Place{s.Partition, m.Offset},
					Detail: fmt.Sprintf("it claims to be from %.200q", connectors.FindOrigin(m.Headers)),
				})
			case offset < p.First:
				p.gone++
			case p.covers(offset):
				c.seeAtSink(p, offset, at, m)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("sink: %w", err)
		}
	}
	for _, p := range c.sources {
		if p.to != unknown {
			continue
		}
		p.to = p.from
		for _, l := range p.lanes {
			if l.any {
				p.to = max(p.to, l.newest+1)
			}
		}
	}
	return nil
}

// seeAtSink takes a message in that stands in the sink's partition number at.
func (c *comparison) seeAtSink(p *partition, offset int64, at int, m *connectors.Message) {
	b := p.blockOf(offset, c.block)
	b.sink += c.hasher.sum(c.hasher.prints(m), offset)
	b.extend(at, m.Offset)
	if l := &p.lanes[at]; l.behind(offset, m.Offset) {
		// Whoever looks again has to see the later message too.
		b.extend(at, l.position)
		b.disordered = true
	}
}

// readSource reads the source once.
func (c *comparison) readSource(ctx context.Context) error {
	for _, p := range c.sources {
		absent, err := c.readSourceRange(ctx, p, p.from, p.to, func(offset int64, of *prints) {
			if of == nil {
				return
			}
			c.report.SourceMessages++
			b := p.blockOf(offset, c.block)
			b.messages++
			b.source += c.hasher.sum(*of, offset)
		})
		if err != nil {
			return err
		}
		p.returned, p.filtered = absent.returned, absent.filtered
	}
	return nil
}

// returns tells whether a message of the source is from the sink, to which it is not sent back.
func (c *comparison) returns(m *connectors.Message) bool {
	if len(c.places) == 0 {
		return false
	}
	origin, ok := connectors.ParseOrigin(connectors.FindOrigin(m.Headers))
	return ok && c.places[string(origin.Partition)]
}

// absent is how many messages of the source are not at the sink, because of what the route is.
type absent struct{ returned, filtered int64 }

// readSourceRange gives prints of what the sink should hold, nil of what the filter does not let pass, and counts what
// the sink should not hold.
func (c *comparison) readSourceRange(ctx context.Context, p *partition, from, to int64, visit func(int64, *prints)) (n absent, err error) {
	of := &connectors.Batch{Partition: p.Partition, Origin: p.Origin}
	err = c.ends.Source.Read(ctx, p.Partition, from, to, func(m *connectors.Message) error {
		if c.returns(m) {
			n.returned++
			return nil
		}
		passes, fault := c.shape.Passes(of, m)
		if fault == nil && !passes {
			n.filtered++
			visit(m.Offset, nil)
			return nil
		}
		expected := &c.expected
		*expected = *m
		if fault == nil { // else it was refused, and is not at the sink
			if mapped, err := c.shape.Map(of, m); err == nil {
				*expected = mapped
			}
		}
		if c.expect != nil {
			c.expect(of, expected)
		}
		of := c.hasher.prints(expected)
		visit(m.Offset, &of)
		c.shape.Reset()
		return nil
	})
	if err != nil {
		return n, fmt.Errorf("source: %w", err)
	}
	return n, nil
}
