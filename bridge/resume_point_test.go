package bridge

import (
	"context"
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

// write appends a message of the source to a partition of the sink.
func (l listLog) write(partition string, origin string, m *connectors.Message) {
	l[partition] = append(l[partition], connectors.Message{
		Value: m.Value, Offset: int64(len(l[partition])), Headers: []connectors.Header{{
			Key: connectors.OriginHeader, Value: fmt.Appendf(nil, "%s/%d;hops=1", origin, m.Offset),
		}},
	})
}

// crashed is what a route that moved messages and was killed has left.
type crashed struct {
	source, sink listLog
	missing      map[string]int64 // by partition of the source: the first offset that the sink does not hold
	open         int64
}

// crash runs a route as far as one may come, and kills it: at most window messages are in flight, at most
// open are uncommitted, and one that is stuck lets those of other places pass.
func crash(t *rapid.T) *crashed {
	window := int64(rapid.IntRange(1, 12).Draw(t, "window"))
	parts, places := rapid.IntRange(1, 3).Draw(t, "partitions"), rapid.IntRange(1, 4).Draw(t, "places")
	c := &crashed{source: listLog{}, sink: listLog{}, missing: map[string]int64{}, open: (uncommittedWindows + 1) * window}
	for p := range places {
		c.sink[fmt.Sprint("out/", p)] = nil
	}
	next := make([]int, parts)
	written := make([]map[int]bool, parts)
	for p := range parts {
		name, offset := fmt.Sprint("orders/", p), int64(rapid.IntRange(0, 50).Draw(t, "first"))
		for i := range 300 {
			c.source[name] = append(c.source[name], connectors.Message{Offset: offset, Value: fmt.Append(nil, p, i)})
			offset += int64(rapid.SampledFrom([]int{1, 1, 1, 2, 7}).Draw(t, "step"))
		}
		written[p] = map[int]bool{}
	}
	committed := func(p int) (n int) {
		for n = 0; written[p][n]; n++ {
		}
		return n
	}
	stuck := rapid.IntRange(-1, places-1).Draw(t, "stuck place")
	for range rapid.IntRange(0, 600).Draw(t, "steps") {
		var inFlight, open int64
		for p := range parts {
			inFlight += int64(next[p] - len(written[p]))
			open += int64(next[p] - committed(p))
		}
		p := rapid.IntRange(0, parts-1).Draw(t, "partition")
		if inFlight < window && open < uncommittedWindows*window && next[p] < 300 {
			next[p]++
			continue
		}
		// The first message in flight of some place of a partition is acknowledged.
		place := rapid.IntRange(0, places-1).Draw(t, "place")
		for i := 0; i < next[p] && place != stuck; i++ {
			if !written[p][i] && i%places == place {
				written[p][i] = true
				c.sink.write(fmt.Sprint("out/", place), fmt.Sprint("memory:orders/", p), &c.source[fmt.Sprint("orders/", p)][i])
				break
			}
		}
		if rapid.IntRange(0, 3).Draw(t, "another") == 0 {
			c.sink.write(fmt.Sprint("out/", place), "memory:other/0", &connectors.Message{Offset: 1 << 40})
		}
	}
	for p := range parts {
		name := fmt.Sprint("orders/", p)
		last := 0
		for i := range written[p] {
			last = max(last, i+1)
		}
		at := min(committed(p), last)
		if at == last && last > 0 {
			c.missing[name] = c.source[name][last-1].Offset + 1 // not behind the hole that follows
		} else {
			c.missing[name] = c.source[name][at].Offset
		}
	}
	return c
}

// TestResumePoint: however a route ended, it goes on at the first message that the sink does not hold.
func TestResumePoint(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := crash(t)
		view := newSinkView(c.open)
		view.tail.chunk = int64(rapid.SampledFrom([]int{0, 1, 7}).Draw(t, "chunk"))
		all, _ := c.source.Ranges(context.Background())
		for i := range all {
			all[i].Origin = "memory:" + all[i].Partition
			view.expect(all[i].Origin)
		}
		if err := view.look(context.Background(), c.sink, true); err != nil {
			t.Fatal(err)
		}
		for _, at := range all {
			p := resumePoint{
				source: c.source, at: at, held: view.seen[at.Origin], open: c.open,
				passed: func(*connectors.Message) bool { return false },
			}
			got, _, err := p.compute(context.Background())
			if want := c.missing[at.Partition]; err != nil || got != want {
				t.Fatalf("%s: %d, %v; want %d", at.Partition, got, err, want)
			}
		}
	})
}

func TestResumePointRefuses(t *testing.T) {
	const origin = "memory:orders/0"
	source, sink := listLog{"orders/0": nil}, listLog{"out/0": nil}
	for i := range int64(100) {
		source["orders/0"] = append(source["orders/0"], connectors.Message{Offset: i, Value: fmt.Append(nil, i)})
	}
	compute := func(source, sink listLog) (int64, string, error) {
		all, _ := source.Ranges(t.Context())
		view := newSinkView(10)
		p := resumePoint{
			source: source, at: all[0], held: view.expect(origin), open: 10,
			passed: func(*connectors.Message) bool { return false },
		}
		if err := view.look(t.Context(), sink, true); err != nil {
			t.Fatal(err)
		}
		return p.compute(t.Context())
	}
	if at, note, err := compute(source, sink); at != 0 || note != "the sink holds nothing of it" || err != nil {
		t.Errorf("an empty sink: %d, %q, %v", at, note, err)
	}
	sink.write("out/0", origin, &connectors.Message{Offset: 50, Value: []byte("another")})
	if _, _, err := compute(source, sink); err == nil || !strings.Contains(err.Error(), "offset 50 is another message") {
		t.Errorf("another message under the offset: %v", err)
	}
	sink.write("out/0", origin, &connectors.Message{Offset: 200})
	if _, _, err := compute(source, sink); err == nil || !strings.Contains(err.Error(), "ends at 100 and the sink holds its messages up to 200") {
		t.Errorf("behind the end: %v", err)
	}
	// What the source lost meanwhile is told as a gap when it is read.
	expired := listLog{"orders/0": source["orders/0"][80:]}
	sink = listLog{"out/0": nil}
	sink.write("out/0", origin, &source["orders/0"][60])
	if at, _, err := compute(expired, sink); at != 61 || err != nil {
		t.Errorf("%d, %v; want 61", at, err)
	}
	// What was given up stands before the place that is settled, and is not gone back to.
	sink = listLog{"out/0": nil}
	for i := range int64(100) {
		if i != 40 {
			sink.write("out/0", origin, &source["orders/0"][i])
		}
	}
	if at, note, err := compute(source, sink); at != 100 || note != "" || err != nil {
		t.Errorf("%d, %q, %v; want 100", at, note, err)
	}
}
