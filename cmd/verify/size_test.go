package verify

import (
	"bytes"
	"context"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
)

// endless is a log of so many messages that it makes as they are read.
type endless struct {
	connectors.Range
	origin string // of its messages, at a sink
	change func(*connectors.Message)
	peak   uint64
}

func (e *endless) Ranges(context.Context) ([]connectors.Range, error) {
	return []connectors.Range{e.Range}, nil
}
func (*endless) Find(context.Context, string, time.Time) (int64, error) { return 0, nil }
func (*endless) Close(context.Context) error                            { return nil }

func (e *endless) Read(_ context.Context, _ string, from, to int64, visit func(*connectors.Message) error) error {
	value := bytes.Repeat([]byte("v"), 100)
	for i := from; i < min(to, e.End); i++ {
		m := connectors.Message{Value: strconv.AppendInt(value[:100:100], i, 10), Offset: i}
		if e.origin != "" {
			m.Headers = []connectors.Header{{Key: connectors.OriginHeader, Value: strconv.AppendInt([]byte(e.origin+"/"), i, 10)}}
		}
		if e.change != nil {
			e.change(&m)
		}
		if err := visit(&m); err != nil {
			return err
		}
		if i%100_000 == 0 {
			runtime.GC()
			var s runtime.MemStats
			runtime.ReadMemStats(&s)
			e.peak = max(e.peak, s.HeapAlloc)
		}
	}
	return nil
}

// TestMemoryIsBounded: one message among many is found, and as many that all differ are counted,
// within 64 MiB.
func TestMemoryIsBounded(t *testing.T) {
	const n, limit = 300_000, 64 << 20
	for name, c := range map[string]struct {
		change func(*connectors.Message)
		want   int64
	}{
		"one": {func(m *connectors.Message) {
			if m.Offset == 165_432 {
				m.Value = nil
			}
		}, 1},
		"all": {func(m *connectors.Message) { m.Key = []byte("k") }, n},
	} {
		source := &endless{Range: connectors.Range{Partition: "t/0", Origin: "kafka:c/t/0", End: n}}
		sink := &endless{Range: connectors.Range{Partition: "S", End: n}, origin: "kafka:c/t/0", change: c.change}
		r, err := Compare(t.Context(), Ends{Source: source, Sink: sink}, Options{Whole: true})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Counts) != 1 || r.Counts[Altered] != c.want {
			t.Errorf("%s: %v", name, r.Counts)
		}
		if peak := max(source.peak, sink.peak); peak > limit {
			t.Errorf("%s: %d bytes of heap, at most %d are wanted", name, peak, limit)
		}
		t.Logf("%s: %v, heap %d MiB", name, r.Took.Round(time.Millisecond), max(source.peak, sink.peak)>>20)
	}
}
