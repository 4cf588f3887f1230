package telemetry

import (
	"os"
	"sync/atomic"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// maxSampledPerSecond bounds the spans that sampled parents can make us write: whoever produces
// messages decides that flag, and must not decide our cost.
const maxSampledPerSecond = 1000

// suppressed counts the spans that the bound kept from being written.
type suppressed struct{ count atomic.Uint64 }

// newSampler returns the sampler of the messages' spans: those with a sampled parent, up to the bound,
// and no roots. It returns nil where OTEL_TRACES_SAMPLER asks for something else, which the SDK reads.
func newSampler(s *suppressed) sdktrace.Sampler {
	if os.Getenv("OTEL_TRACES_SAMPLER") != "" {
		return nil
	}
	bound := &boundedSampler{suppressed: s, limit: maxSampledPerSecond}
	return sdktrace.ParentBased(sdktrace.NeverSample(),
		sdktrace.WithRemoteParentSampled(bound)) // a local parent has been counted
}

// boundedSampler samples so many spans in each second and drops the rest.
type boundedSampler struct {
	suppressed *suppressed
	limit      int64
	second     atomic.Int64
	used       atomic.Int64
}

func (b *boundedSampler) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	result := sdktrace.SamplingResult{Tracestate: trace.SpanContextFromContext(p.ParentContext).TraceState()}
	now := time.Now().Unix()
	if old := b.second.Load(); old != now && b.second.CompareAndSwap(old, now) {
		b.used.Store(0)
	}
	if b.used.Add(1) > b.limit {
		b.suppressed.count.Add(1)
		result.Decision = sdktrace.Drop
		return result
	}
	result.Decision = sdktrace.RecordAndSample
	return result
}

func (b *boundedSampler) Description() string { return "BoundedPerSecond" }
