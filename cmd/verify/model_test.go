package verify

import (
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sluice-bridge/sluice/connectors"
)

// model compares with everything in memory, by the words of the package comment.
func model(source *fake, sink *fake) map[Kind]int64 {
	type place struct {
		partition string
		offset    int64
	}
	counts := map[Kind]int64{}
	there := map[place]connectors.Message{}
	for _, p := range source.parts {
		for _, m := range p.log {
			there[place{p.Origin, m.Offset}] = m
		}
	}
	h := newHasher()
	seen := map[place]bool{}
	for _, p := range sink.parts {
		newest := map[string]int64{}
		for _, m := range p.log {
			o, ok := connectors.ParseOrigin(connectors.FindOrigin(m.Headers))
			if !ok {
				continue
			}
			at := place{string(o.Partition), o.Offset}
			want, exists := there[at]
			if !exists {
				counts[Phantom]++
				if p := source.byOrigin(at.partition); p != nil && at.offset < p.End {
					newest[at.partition] = max(newest[at.partition], at.offset) // it takes a place in the order
				}
				continue
			}
			if len(h.prints(&want).differ(h.prints(&m))) > 0 {
				counts[Altered]++
			}
			before, any := newest[at.partition]
			newest[at.partition] = max(before, at.offset)
			switch {
			case seen[at]:
				counts[Doubled]++
			case any && at.offset <= before:
				counts[Reordered]++
			}
			seen[at] = true
		}
	}
	for at := range there {
		if !seen[at] {
			counts[Lost]++
		}
	}
	return counts
}

// TestComparesAsTheModel: whatever is done to a sink, two passes in bounded memory find what a comparison
// finds that has everything in memory.
func TestComparesAsTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		source := sourceOf(rapid.IntRange(0, 40).Draw(t, "n0"), rapid.IntRange(0, 40).Draw(t, "n1"))
		parts := make([][]connectors.Message, rapid.IntRange(1, 3).Draw(t, "sink partitions"))
		for _, m := range sinkOf(source) {
			o, _ := connectors.ParseOrigin(connectors.FindOrigin(m.Headers))
			at := int(o.Offset) % len(parts)
			parts[at] = append(parts[at], m)
		}
		// A source may have holes; what the sink holds from there is a phantom.
		for i := range source.parts {
			p := &source.parts[i]
			p.log = slices.DeleteFunc(p.log, func(m connectors.Message) bool {
				return rapid.IntRange(0, 30).Draw(t, "hole") == 0
			})
		}
		for range rapid.IntRange(0, 4).Draw(t, "faults") {
			tamper(t, parts)
		}
		sink := &fake{}
		for i, all := range parts {
			sink.parts = append(sink.parts, stored("out/"+strconv.Itoa(i), all))
		}
		r := compare(t, Ends{Source: source, Sink: sink}, Options{Whole: true, Block: rapid.Int64Range(1, 50).Draw(t, "block"), Findings: 1000})
		want := model(source, sink)
		if !cmp.Equal(r.Counts, want) || r.Equal != (len(want) == 0) {
			t.Fatalf("%v, want %v: %v", r.Counts, want, r.Findings)
		}
		listed := map[Kind]int64{}
		for _, f := range r.Findings {
			listed[f.Kind]++
		}
		if !cmp.Equal(listed, r.Counts) {
			t.Fatalf("%v are listed, %v counted", listed, r.Counts)
		}
	})
}

// tamper does one thing to one message of a sink.
func tamper(t *rapid.T, parts [][]connectors.Message) {
	from := rapid.IntRange(0, len(parts)-1).Draw(t, "partition")
	if len(parts[from]) == 0 {
		return
	}
	i := rapid.IntRange(0, len(parts[from])-1).Draw(t, "message")
	m := parts[from][i]
	to := rapid.IntRange(0, len(parts)-1).Draw(t, "to")
	switch how := rapid.SampledFrom([]string{"drop", "double", "move", "alter", "claim"}).Draw(t, "how"); how {
	case "drop":
		parts[from] = slices.Delete(parts[from], i, i+1)
	case "double", "move":
		if how == "move" {
			parts[from] = slices.Delete(parts[from], i, i+1)
		}
		j := rapid.IntRange(0, len(parts[to])).Draw(t, "place")
		parts[to] = slices.Insert(parts[to], j, m)
	case "alter":
		parts[from][i].Value = fmt.Append(nil, string(m.Value), "!")
	case "claim":
		parts[from][i] = altered(m, func(m *connectors.Message) {
			origin(m).Value = fmt.Appendf(nil, "kafka:c/t/%d/%d;hops=1", rapid.IntRange(0, 2).Draw(t, "p"), rapid.IntRange(0, 60).Draw(t, "o"))
		})
	}
}
