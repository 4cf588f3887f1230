package verify

import (
	"strings"

	"github.com/sluice-bridge/sluice/connectors"
)

// unknown is where a partition ends that is compared up to what the sink holds, before that is known.
const unknown = -1

// partition is a partition of the source, of which [from, to) is compared.
type partition struct {
	connectors.Range
	from, to int64
	now      int64 // where it begins by now: its messages may expire while they are compared
	blocks   []block
	lanes    []lane // by partition of the sink
	letters  []int64
	index    int // in comparison.sources

	gone, left, returned, filtered int64 // as in PartitionReport
}

// bound is the first position that is not compared, as far as that is known.
func (p *partition) bound() int64 {
	if p.to == unknown {
		return p.End
	}
	return p.to
}

// covers tells whether a position is compared.
func (p *partition) covers(offset int64) bool { return offset >= p.from && offset < p.bound() }

// blockOf returns the block of a position that is covered.
func (p *partition) blockOf(offset, size int64) *block { return &p.blocks[(offset-p.from)/size] }

// block is a run of consecutive positions of a source partition.
type block struct {
	source, sink uint64 // sums over the prints of its messages at either end
	messages     int64  // at the source
	findings     int64
	disordered   bool // a message came behind a later one
	spans        []span
	table        *table // while it is looked at
}

// span is where in a partition of the sink messages of a block stand: positions [from, to).
type span struct {
	at       int
	from, to int64
}

func (b *block) extend(at int, position int64) {
	for i := range b.spans {
		if s := &b.spans[i]; s.at == at {
			s.from, s.to = min(s.from, position), max(s.to, position+1)
			return
		}
	}
	b.spans = append(b.spans, span{at, position, position + 1})
}

// lane is what one partition of the sink has shown of one of the source.
type lane struct {
	any              bool
	first            int64 // the smallest offset
	newest, position int64 // the largest offset, and where it stands
}

// behind takes an offset in and tells whether a later one was there already.
func (l *lane) behind(offset, position int64) bool {
	if l.any && offset <= l.newest {
		l.first = min(l.first, offset)
		return true
	}
	if !l.any {
		l.any, l.first = true, offset
	}
	l.newest, l.position = offset, position
	return false
}

// kinOf returns what the origins of all partitions of r's topic begin with, such as "kafka:c/orders/"; ok
// is false where a partition has no kin, as a stream.
func kinOf(r connectors.Range) (base string, ok bool) {
	i := strings.LastIndexByte(r.Partition, '/')
	if i < 0 || !strings.HasSuffix(r.Origin, r.Partition[i:]) {
		return "", false
	}
	return r.Origin[:len(r.Origin)-len(r.Partition)+i+1], true
}
