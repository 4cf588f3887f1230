package connectortest

import "github.com/sluice-bridge/sluice/connectors"

// readBack returns a source of copies of what the ranges hold, which ends. Its position is kept under name.
func (t *Topic) readBack(name string, held []connectors.Range) (*connectors.SourceSpec, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	copied := t.copies[name]
	if copied == nil {
		copied = NewTopic(t.name, 0, WithBatch(t.batch))
		if t.copies == nil {
			t.copies = map[string]*Topic{}
		}
		t.copies[name] = copied
	}
	copied.mu.Lock()
	defer copied.mu.Unlock()
	copied.ended = true
	for _, r := range held {
		from := t.find(r.Partition)
		to := copied.find(r.Partition)
		if to == nil {
			to = newPartition(r.Partition)
			copied.partitions = append(copied.partitions, to)
		}
		for at := to.end; at < r.End; at++ {
			m := clone(from.at(at))
			m.Offset = at
			to.log, to.origins = append(to.log, m), append(to.origins, "")
		}
		to.end = int64(len(to.log))
	}
	return copied.SourceSpec(), nil
}
