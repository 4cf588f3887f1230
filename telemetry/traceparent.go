package telemetry

import (
	"encoding/hex"

	"go.opentelemetry.io/otel/trace"
)

// traceparentLength is that of version 00: 2 + 1 + 32 + 1 + 16 + 1 + 2.
const traceparentLength = 55

// PeekTraceparent reads a W3C traceparent header without allocating. sampled is its sampled flag; sc is
// filled in only if it is set, and remote, because nobody asks for the ids of others. A value that the
// recommendation calls invalid is not sampled: https://www.w3.org/TR/trace-context/#traceparent-header.
func PeekTraceparent(value []byte) (sampled bool, sc trace.SpanContext) {
	if !PeekSampled(value) {
		return false, sc
	}
	var version [1]byte
	if !decodeLower(version[:], value[:2]) || version[0] == 0xff {
		return false, sc
	}
	// A later version may append fields; version 00 may not.
	if len(value) > traceparentLength && (version[0] == 0 || value[traceparentLength] != '-') {
		return false, sc
	}
	var traceID trace.TraceID
	var spanID trace.SpanID
	if !decodeLower(traceID[:], value[3:35]) || !decodeLower(spanID[:], value[36:52]) || !traceID.IsValid() || !spanID.IsValid() {
		return false, sc
	}
	return true, trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: traceID, SpanID: spanID, TraceFlags: trace.FlagsSampled, Remote: true,
	})
}

// PeekSampled reports whether a W3C traceparent header has the sampled flag. It looks at no more than that needs:
// of ids that the recommendation calls invalid it knows nothing.
func PeekSampled(value []byte) bool {
	if len(value) < traceparentLength || value[2] != '-' || value[35] != '-' || value[52] != '-' {
		return false
	}
	var flags [1]byte
	return decodeLower(flags[:], value[53:55]) && flags[0]&1 != 0
}

// decodeLower decodes hexadecimal digits, of which the recommendation allows only lower-case ones.
func decodeLower(dst, src []byte) bool {
	for _, c := range src {
		if c >= 'A' && c <= 'F' {
			return false
		}
	}
	_, err := hex.Decode(dst, src)
	return err == nil
}
