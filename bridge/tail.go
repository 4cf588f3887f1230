package bridge

import (
	"context"

	"github.com/sluice-bridge/sluice/connectors"
)

const (
	// tailFirst is how far the first look goes back, in positions of each of a log's partitions; each further
	// one goes tailGrowth times as far, up to tailMost.
	tailFirst  = 1024
	tailGrowth = 4
	tailMost   = 64 << 10
	// tailLimit is how far back a log is looked through at most, in positions over all its partitions. Who
	// writes so much beside a route between two starts of it hides what it has written.
	tailLimit = 2_000_000
)

// tail looks through a log backwards from its end.
type tail struct {
	parts  []tailPart // nil: not looked yet
	looked int64      // positions
	chunk  int64      // how far the next look goes back; 0: tailFirst
}

// tailPart is what is left to look through of a partition: positions [first, end).
type tailPart struct {
	name       string
	first, end int64
}

// begin finds out where the log ends, if it has not yet.
func (t *tail) begin(ctx context.Context, log connectors.Log) error {
	if t.parts != nil {
		return nil
	}
	all, err := log.Ranges(ctx)
	if err != nil {
		return err
	}
	t.parts, t.looked = make([]tailPart, 0, len(all)), 0
	if t.chunk == 0 {
		t.chunk = tailFirst
	}
	for _, one := range all {
		t.parts = append(t.parts, tailPart{one.Partition, one.First, one.End})
	}
	return nil
}

// left returns how many positions may still be looked through.
func (t *tail) left() (n int64) {
	for i := range t.parts {
		n += t.parts[i].end - t.parts[i].first
	}
	return max(0, min(n, tailLimit-t.looked))
}

// back gives the messages of the next chunk of each partition to visit, which is told the partition's number.
func (t *tail) back(ctx context.Context, log connectors.Log, visit func(part int, m *connectors.Message)) error {
	for i := range t.parts {
		p := &t.parts[i]
		from := max(p.first, p.end-t.chunk)
		if from >= p.end {
			continue
		}
		err := log.Read(ctx, p.name, from, p.end, func(m *connectors.Message) error { visit(i, m); return nil })
		if err != nil {
			return err
		}
		t.looked += p.end - from
		p.end = from
	}
	t.chunk = min(tailGrowth*t.chunk, tailMost)
	return nil
}

// originOf returns where a message of a sink was read, false where it does not say.
func originOf(m *connectors.Message) (connectors.Origin, bool) {
	return connectors.ParseOrigin(connectors.FindOrigin(m.Headers))
}
