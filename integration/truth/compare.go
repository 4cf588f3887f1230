package truth

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluice-bridge/sluice/cmd/verify"
	"github.com/sluice-bridge/sluice/connectors"
)

// Report says how a sink's log differs from its source's; see package verify.
type Report struct {
	Source, Sink int   // messages
	Lost         int64 // in the source, not in the sink
	Doubled      int64 // copies beyond the first
	Phantom      int64 // in the sink, not in the source
	// Reordered counts first appearances that stand behind a later message of the same source
	// partition in the same sink partition.
	Reordered int64
	Altered   int64    // at least one of the compared fields differs, in any copy
	Findings  []string // the first few, for people
}

// Clean tells whether the sink holds exactly the source.
func (r *Report) Clean() bool {
	return r.Whole() && r.Doubled == 0
}

// Whole is Clean but for doubled messages.
func (r *Report) Whole() bool {
	return r.Lost == 0 && r.Phantom == 0 && r.Reordered == 0 && r.Altered == 0
}

func (r *Report) String() string {
	s := fmt.Sprintf("source %d, sink %d: lost %d, doubled %d, phantom %d, reordered %d, altered %d",
		r.Source, r.Sink, r.Lost, r.Doubled, r.Phantom, r.Reordered, r.Altered)
	if len(r.Findings) > 0 {
		s += "\n  " + strings.Join(r.Findings, "\n  ")
	}
	return s
}

// Compare compares the logs, each in the order of its offsets within a partition, in the given fields.
// A message is known by its id, whatever the bridge says of where it is from. The error says that the
// source itself is unfit: an id twice or none.
func Compare(source, sink []Entry, fields ...Field) (*Report, error) {
	byID := make(map[int64]*Entry, len(source))
	for i := range source {
		e := &source[i]
		if e.ID < 0 {
			return nil, fmt.Errorf("source %d@%d: no %s of this run", e.Partition, e.Offset, IDHeader)
		}
		if byID[e.ID] != nil {
			return nil, fmt.Errorf("source %d@%d: %s %d stands twice: the load doubled it", e.Partition, e.Offset, IDHeader, e.ID)
		}
		byID[e.ID] = e
	}
	here, there := newEntries(source, nil, fields), newEntries(sink, byID, fields)
	compared, err := verify.Compare(context.Background(), verify.Ends{Source: here, Sink: there}, verify.Options{Whole: true})
	if err != nil {
		return nil, err
	}
	n := compared.Counts
	r := &Report{
		Source: len(source), Sink: len(sink), Lost: n[verify.Lost], Doubled: n[verify.Doubled], Phantom: n[verify.Phantom],
		Reordered: n[verify.Reordered], Altered: n[verify.Altered],
	}
	for i := range compared.Findings {
		r.Findings = append(r.Findings, there.describe(&compared.Findings[i]))
	}
	return r, nil
}

// entries are a log made of entries: it holds their prints, and for a sink the place in the source of the
// message with the same id as Sluice-Origin. The positions of a sink's are counted, so that they ascend
// whatever stands there.
type entries struct {
	parts  map[int32][]*Entry
	byID   map[int64]*Entry // nil: a source's
	fields []Field
}

func newEntries(all []Entry, byID map[int64]*Entry, fields []Field) *entries {
	l := &entries{parts: map[int32][]*Entry{}, byID: byID, fields: fields}
	for i := range all {
		l.parts[all[i].Partition] = append(l.parts[all[i].Partition], &all[i])
	}
	if len(all) == 0 && byID == nil {
		l.parts[0] = nil // for what a sink holds of nothing
	}
	return l
}

func (l *entries) name(partition int32) string {
	if l.byID == nil {
		return fmt.Sprint("source ", partition)
	}
	return fmt.Sprint(partition)
}

// Ranges implements connectors.Log.
func (l *entries) Ranges(context.Context) (all []connectors.Range, err error) {
	for n, part := range l.parts {
		r := connectors.Range{Partition: l.name(n), Origin: "truth:" + l.name(n), End: int64(len(part))}
		if l.byID == nil && len(part) > 0 {
			r.First, r.End = part[0].Offset, part[len(part)-1].Offset+1
		}
		all = append(all, r)
	}
	return all, nil
}

// Find implements connectors.Log. Nobody asks.
func (*entries) Find(context.Context, string, time.Time) (int64, error) {
	return 0, fmt.Errorf("entries have no times of their own")
}

// Close implements connectors.Log.
func (*entries) Close(context.Context) error { return nil }

// Read implements connectors.Log.
func (l *entries) Read(_ context.Context, partition string, from, to int64, visit func(*connectors.Message) error) error {
	part := l.part(partition)
	first := int(from)
	if l.byID == nil {
		first, _ = slices.BinarySearchFunc(part, from, func(e *Entry, at int64) int { return int(e.Offset - at) })
	}
	for i := first; i < len(part); i++ {
		m := l.message(part[i])
		if l.byID != nil {
			m.Offset = int64(i)
		}
		if m.Offset >= to {
			return nil
		}
		if err := visit(&m); err != nil {
			return err
		}
	}
	return nil
}

func (l *entries) part(name string) []*Entry {
	for n := range l.parts {
		if l.name(n) == name {
			return l.parts[n]
		}
	}
	return nil
}

// message returns an entry as a message: a print for each field that is compared.
func (l *entries) message(e *Entry) connectors.Message {
	m := connectors.Message{Key: []byte{}, Value: []byte{}, Offset: e.Offset}
	for _, f := range l.fields {
		text := binary.BigEndian.AppendUint64(nil, e.Prints[f])
		switch f {
		case Key:
			m.Key = text
		case Value:
			m.Value = text
		case Time:
			m.Time = time.UnixMilli(int64(e.Prints[f]))
		default:
			m.Headers = append(m.Headers, connectors.Header{Key: f.String(), Value: text})
		}
	}
	if l.byID == nil {
		return m
	}
	origin := "truth:source 0/999999999999999999" // of no message
	if from := l.byID[e.ID]; from != nil {
		origin = fmt.Sprintf("truth:source %d/%d", from.Partition, from.Offset)
	}
	m.Headers = append(m.Headers, connectors.Header{Key: connectors.OriginHeader, Value: []byte(origin)})
	return m
}

// describe tells a finding with the places that the entries have.
func (l *entries) describe(f *verify.Finding) string {
	if f.Sink != (verify.Place{}) {
		f.Sink.Position = l.part(f.Sink.Partition)[f.Sink.Position].Offset
	}
	if f.First != nil {
		f.First.Position = l.part(f.First.Partition)[f.First.Position].Offset
	}
	if f.Kind == verify.Phantom {
		f.Detail = "it is of no source message"
	}
	return f.String()
}
