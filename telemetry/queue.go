package telemetry

import (
	"sync/atomic"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// maxQueued is how many spans wait for an exporter or are being sent. It is the SDK's own bound, beyond which it
// drops spans and counts them nowhere.
const maxQueued = sdktrace.DefaultMaxQueueSize

// spanQueue is a batch processor that never gets more than it holds, and an exporter that says what became of it:
// so each span that is lost counts.
type spanQueue struct {
	sdktrace.SpanProcessor
	waiting atomic.Int64
	lost    *atomic.Uint64
}

// newSpanQueue returns the processor in front of an exporter.
func newSpanQueue(exporter *guardedSpans, options ...sdktrace.BatchSpanProcessorOption) *spanQueue {
	q := &spanQueue{lost: &exporter.faults.lost}
	exporter.done = q.done
	options = append(options, sdktrace.WithMaxQueueSize(maxQueued))
	q.SpanProcessor = sdktrace.NewBatchSpanProcessor(exporter, options...)
	return q
}

// OnEnd implements sdktrace.SpanProcessor.
func (q *spanQueue) OnEnd(s sdktrace.ReadOnlySpan) {
	if !s.SpanContext().IsSampled() {
		return
	}
	if q.waiting.Add(1) > maxQueued {
		q.waiting.Add(-1)
		q.lost.Add(1)
		return
	}
	q.SpanProcessor.OnEnd(s)
}

// done says that an export of so many spans has ended.
func (q *spanQueue) done(spans int, err error) {
	q.waiting.Add(-int64(spans))
	if err != nil {
		q.lost.Add(uint64(spans))
	}
}
