package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluice-bridge/sluice/connectors"
)

// listLog is a log of lists, with holes where positions are missing.
type listLog map[string][]connectors.Message

func (l listLog) Ranges(context.Context) (all []connectors.Range, err error) {
	for name, messages := range l {
		r := connectors.Range{Partition: name}
		if n := len(messages); n > 0 {
			r.First, r.End = messages[0].Offset, messages[n-1].Offset+1
		}
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b connectors.Range) int { return strings.Compare(a.Partition, b.Partition) })
	return all, nil
}

func (l listLog) Find(context.Context, string, time.Time) (int64, error) { panic("not asked") }
func (l listLog) Close(context.Context) error                            { return nil }

func (l listLog) Read(_ context.Context, partition string, from, to int64, visit func(*connectors.Message) error) error {
	for i := range l[partition] {
		if m := l[partition][i]; m.Offset >= from && m.Offset < to {
			if err := visit(&m); err != nil {
				return err
			}
		}
	}
	return nil
}

const pointOrigin = "memory:orders/0"

// write appends a message of the source to a partition of the sink.
func (l listLog) write(partition string, origin string, m *connectors.Message) {
	n := int64(len(l[partition]))
	l[partition] = append(l[partition], connectors.Message{
		Value: m.Value, Offset: n, Headers: []connectors.Header{{
			Key: connectors.OriginHeader, Value: fmt.Appendf(nil, "%s/%d;hops=1", origin, m.Offset),
		}},
	})
}

func pointOf(source, sink listLog, inFlight int64) *resumePoint {
	all, _ := source.Ranges(context.Background())
	all[0].Origin = pointOrigin
	return &resumePoint{
		source: source, sink: sink, inFlight: inFlight, at: all[0],
		passed: func(*connectors.Message) bool { return false },
	}
}

// TestResumePoint: whatever was in flight when a route ended, it goes on at the first message that the sink
// does not hold.
func TestResumePoint(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		window := rapid.IntRange(1, 30).Draw(t, "window")
		total := rapid.IntRange(1, 400).Draw(t, "messages")
		parts := rapid.IntRange(1, 4).Draw(t, "sink partitions")
		source, sink := listLog{"orders/0": nil}, listLog{}
		for p := range parts {
			sink[fmt.Sprint("out/", p)] = nil
		}
		offset := int64(rapid.IntRange(0, 50).Draw(t, "first"))
		for i := range total {
			source["orders/0"] = append(source["orders/0"], connectors.Message{Offset: offset, Value: fmt.Append(nil, i)})
			offset += int64(rapid.SampledFrom([]int{1, 1, 1, 2, 7}).Draw(t, "step"))
		}
		all := source["orders/0"]
		// All up to done is there, of the window behind it some.
		done := rapid.IntRange(0, total).Draw(t, "acknowledged")
		want := all[len(all)-1].Offset + 1
		missing := false
		written := 0
		for i := range all {
			if i > done && (i > done+window || !rapid.Bool().Draw(t, "written")) {
				if !missing {
					missing, want = true, all[i].Offset
				}
				continue
			}
			part := fmt.Sprint("out/", rapid.IntRange(0, parts-1).Draw(t, "part"))
			sink.write(part, pointOrigin, &all[i])
			written = i
			for range rapid.IntRange(0, 2).Draw(t, "others") {
				sink.write(part, "memory:other/0", &connectors.Message{Offset: 1 << 40})
			}
		}
		// Messages behind the last that the sink holds are no hole.
		if missing && all[written].Offset < want {
			want = all[written].Offset + 1
		}
		point := pointOf(source, sink, int64(window)+1)
		point.chunk = int64(rapid.SampledFrom([]int{0, 1, 7}).Draw(t, "chunk"))
		got, _, err := point.compute(context.Background())
		if err != nil || got != want {
			t.Fatalf("%d, %v; want %d", got, err, want)
		}
	})
}

func TestResumePointRefuses(t *testing.T) {
	source, sink := listLog{"orders/0": nil}, listLog{"out/0": nil}
	for i := range int64(100) {
		source["orders/0"] = append(source["orders/0"], connectors.Message{Offset: i, Value: fmt.Append(nil, i)})
	}
	p := pointOf(source, sink, 10)
	if _, _, err := p.compute(t.Context()); !errors.Is(err, errNothingHeld) {
		t.Errorf("an empty sink: %v", err)
	}
	sink.write("out/0", pointOrigin, &connectors.Message{Offset: 50, Value: []byte("another")})
	if _, _, err := p.compute(t.Context()); err == nil || !strings.Contains(err.Error(), "offset 50 is another message") {
		t.Errorf("another message under the offset: %v", err)
	}
	sink.write("out/0", pointOrigin, &connectors.Message{Offset: 200})
	if _, _, err := p.compute(t.Context()); err == nil || !strings.Contains(err.Error(), "ends at 100 and the sink holds its messages up to 200") {
		t.Errorf("behind the end: %v", err)
	}
	// What the source lost meanwhile is told as a gap when it is read.
	expired := listLog{"orders/0": source["orders/0"][80:]}
	sink = listLog{"out/0": nil}
	sink.write("out/0", pointOrigin, &source["orders/0"][60])
	if at, _, err := pointOf(expired, sink, 10).compute(t.Context()); at != 61 || err != nil {
		t.Errorf("%d, %v; want 61", at, err)
	}
}
