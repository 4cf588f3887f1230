package telemetry

import (
	"math"
	"os"
	"sync/atomic"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// maxSampledPerSecond bounds the spans that sampled parents can make us write: whoever produces
// messages decides that flag, and must not decide our cost.
const maxSampledPerSecond = 1000

// spanBound lets messages with a sampled parent have so many spans in each second. nil: OTEL_TRACES_SAMPLER decides.
type spanBound struct {
	limit      int64
	second     atomic.Int64
	used       atomic.Int64
	suppressed atomic.Uint64 // spans that the bound kept from being written
}

// newSpanBound returns nil where OTEL_TRACES_SAMPLER is set, which the SDK reads.
func newSpanBound() *spanBound {
	if os.Getenv("OTEL_TRACES_SAMPLER") != "" {
		return nil
	}
	return &spanBound{limit: maxSampledPerSecond}
}

// sampler samples the spans of messages: those with a sampled parent, up to the bound, and no roots.
func (b *spanBound) sampler() sdktrace.Sampler {
	return sdktrace.ParentBased(sdktrace.NeverSample(),
		sdktrace.WithRemoteParentSampled(boundedSampler{b})) // a local parent has been counted
}

// left returns how many spans the second of now may still have.
func (b *spanBound) left(now time.Time) int64 {
	if b == nil {
		return math.MaxInt64
	}
	b.turn(now)
	return max(0, b.limit-b.used.Load())
}

// take reports whether one more span may be written at now, and counts one that may not.
func (b *spanBound) take(now time.Time) bool {
	b.turn(now)
	if b.used.Add(1) > b.limit {
		b.suppress(1)
		return false
	}
	return true
}

// suppress counts spans that were not written.
func (b *spanBound) suppress(n int) {
	if b != nil {
		b.suppressed.Add(uint64(n))
	}
}

func (b *spanBound) count() uint64 {
	if b == nil {
		return 0
	}
	return b.suppressed.Load()
}

func (b *spanBound) turn(now time.Time) {
	second := now.Unix()
	if old := b.second.Load(); old != second && b.second.CompareAndSwap(old, second) {
		b.used.Store(0)
	}
}

// boundedSampler samples what the bound lets through.
type boundedSampler struct{ bound *spanBound }

func (s boundedSampler) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	result := sdktrace.SamplingResult{
		Decision: sdktrace.Drop, Tracestate: trace.SpanContextFromContext(p.ParentContext).TraceState(),
	}
	if s.bound.take(time.Now()) {
		result.Decision = sdktrace.RecordAndSample
	}
	return result
}

func (boundedSampler) Description() string { return "BoundedPerSecond" }
