package truth

import (
	"fmt"
	"strings"
)

// Report says how a sink's log differs from its source's.
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

const maxFindings = 20

func (r *Report) add(count *int64, format string, args ...any) {
	*count++
	if len(r.Findings) < maxFindings {
		r.Findings = append(r.Findings, fmt.Sprintf(format, args...))
	}
}

// Compare compares the logs, each in the order of its offsets within a partition, in the given fields.
// The error says that the source itself is unfit: an id twice or none.
func Compare(source, sink []Entry, fields ...Field) (*Report, error) {
	r := &Report{Source: len(source), Sink: len(sink)}
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
	seen := make(map[int64]bool, len(source))
	type lane struct{ source, sink int32 }
	last := map[lane]int64{}
	for i := range sink {
		got := &sink[i]
		want := byID[got.ID]
		if want == nil {
			r.add(&r.Phantom, "phantom: sink %d@%d (%s) is of no source message", got.Partition, got.Offset, got.Subject)
			continue
		}
		if differ := differences(want, got, fields); differ != "" {
			r.add(&r.Altered, "altered: source %d@%d, sink %d@%d: %s", want.Partition, want.Offset, got.Partition, got.Offset, differ)
		}
		if seen[got.ID] {
			r.add(&r.Doubled, "doubled: source %d@%d, again at sink %d@%d", want.Partition, want.Offset, got.Partition, got.Offset)
			continue
		}
		seen[got.ID] = true
		l := lane{want.Partition, got.Partition}
		if before, ok := last[l]; ok && want.Offset < before {
			r.add(&r.Reordered, "reordered: source %d@%d stands at sink %d@%d behind source offset %d",
				want.Partition, want.Offset, got.Partition, got.Offset, before)
			continue
		}
		last[l] = want.Offset
	}
	for i := range source {
		if e := &source[i]; !seen[e.ID] {
			r.add(&r.Lost, "lost: source %d@%d", e.Partition, e.Offset)
		}
	}
	return r, nil
}

func differences(want, got *Entry, fields []Field) string {
	var differ []string
	for _, f := range fields {
		if want.Prints[f] != got.Prints[f] {
			differ = append(differ, f.String())
		}
	}
	return strings.Join(differ, ", ")
}
