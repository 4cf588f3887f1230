package bridge

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/sluice-bridge/sluice/bridge/transform"
	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/flowcontrol"
)

// BenchmarkShape is what a lane does more for a message before its Write: nothing without a filter and expressions, and
// with them what is printed, the sink's filling of the subject included. All ways are measured in turns; it tells the
// median of what each takes beyond a fixed subject.
func BenchmarkShape(b *testing.B) {
	const size = 1000
	batch := &connectors.Batch{Partition: "orders/3"}
	for i := range size {
		batch.Messages = append(batch.Messages, connectors.Message{
			Subject: "orders", Key: fmt.Appendf(nil, "customer-%d", i), Offset: int64(i), Value: make([]byte, 100),
			Headers: []connectors.Header{{Key: "env", Value: []byte("prod")}, {Key: "region", Value: fmt.Appendf(nil, "eu-%d", i%7)}},
		})
	}
	ways := []struct{ name, filter, subject string }{
		{"fixed subject", "", "orders"},
		{"template of names", "", "orders.{{ key }}"},
		{"filter, template of names", `headers["env"] == "prod"`, "orders.{{ key }}"},
		{"filter, expression", `headers["env"] == "prod"`, `orders.{{ headers["region"] ?? "eu" }}`},
	}
	var runs []func()
	for _, way := range ways {
		runs = append(runs, shaping(b, batch, way.filter, way.subject))
	}
	times := make([][]float64, len(runs))
	for b.Loop() {
		for i, run := range runs {
			begin := time.Now()
			run()
			times[i] = append(times[i], float64(time.Since(begin).Nanoseconds())/size)
		}
	}
	for i, way := range ways {
		slices.Sort(times[i])
		more := times[i][len(times[i])/2] - times[0][len(times[0])/2]
		b.Logf("%-26s %5.0f ns a message more, %5.2f allocations", way.name, more, testing.AllocsPerRun(5, runs[i])/size)
	}
}

// shaping returns what a lane and its sink do with a batch, without the Write.
func shaping(b *testing.B, batch *connectors.Batch, filter, subject string) func() {
	c := transform.NewCompiler("orders")
	if filter != "" {
		if err := c.Filter(filter); err != nil {
			b.Fatal(err)
		}
	}
	template, err := c.Template("map.subject", subject)
	if err != nil {
		b.Fatal(err)
	}
	r := &Route{clock: flowcontrol.NewClock(flowcontrol.Flowing, time.Now())}
	r.cfg.Transform = c.Program()
	window, err := flowcontrol.NewWindow(flowcontrol.Cost{Messages: 8192, Bytes: 1 << 30})
	if err != nil {
		b.Fatal(err)
	}
	n := &run{route: r, window: window}
	w := &writer{run: n, p: n.bare(batch.Partition), shaper: &shaper{eval: r.cfg.Transform.Evaluator()}}
	w.p.ctx = context.Background()
	var text []byte
	escape := func(dst []byte, _ string, value []byte) []byte { return append(dst, value...) }
	return func() {
		w.batches, w.flights = append(w.batches[:0], batch), append(w.flights[:0], &flight{batch: batch, left: len(batch.Messages)})
		if r.cfg.shapes() {
			w.shaper.take(w)
			if err := w.shape(); err != nil || w.shaper.left() {
				b.Fatal(err)
			}
		}
		for _, ready := range w.batches {
			for i := range ready.Messages {
				text = template.Append(text[:0], ready, &ready.Messages[i], escape)
			}
		}
	}
}
