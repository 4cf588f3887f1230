package connectortest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
)

// origin is the time of the suite's first message: in the past and of whole milliseconds, which is
// what Kafka keeps.
var origin = time.UnixMilli(1_700_000_000_123).UTC()

// letters makes n messages of a lane, numbered from first. Their value tells which they are.
func letters(lane, first, n, size int) []connectors.Message {
	all := make([]connectors.Message, n)
	for i := range all {
		name := letterName(lane, first+i)
		all[i] = connectors.Message{
			Key:     fmt.Appendf(nil, "key-%d", lane),
			Value:   append([]byte(name), strings.Repeat("x", max(0, size-len(name)))...),
			Headers: []connectors.Header{{Key: "suite", Value: []byte(name)}},
			Time:    origin.Add(time.Duration(first+i) * time.Millisecond),
		}
	}
	return all
}

func letterName(lane, number int) string { return fmt.Sprintf("lane %d letter %d.", lane, number) }

// parseLetter is the inverse; ok is false for what is not one of letters' messages, whole.
func parseLetter(value []byte) (lane, number int, ok bool) {
	if n, err := fmt.Sscanf(string(value), "lane %d letter %d.", &lane, &number); err != nil || n != 2 {
		return 0, 0, false
	}
	rest := bytes.TrimPrefix(value, []byte(letterName(lane, number)))
	return lane, number, len(bytes.Trim(rest, "x")) == 0
}

// oddities are messages whose fields are easily altered on the way.
func oddities(lacks Lacks) []connectors.Message {
	value := func(v []byte) connectors.Message {
		return connectors.Message{Key: []byte("key"), Value: v, Time: origin}
	}
	with := func(h ...connectors.Header) connectors.Message {
		m := value([]byte("with headers"))
		m.Headers = h
		return m
	}
	all := []connectors.Message{
		value([]byte("first")),
		value([]byte{}),
		value([]byte("after the empty one")),
		value([]byte("  spaces around \t")),
		with(connectors.Header{Key: "a", Value: []byte("1")}, connectors.Header{Key: "b", Value: []byte("2")}, connectors.Header{Key: "a", Value: []byte("3")}),
		with(connectors.Header{Key: "empty", Value: []byte{}}),
		{Key: []byte("key"), Value: []byte("later"), Time: origin.Add(time.Hour)},
	}
	if !lacks.has(Binary) {
		all = append(all, value([]byte{0, 1, '\r', '\n', 0xff, 0xfe}))
	}
	if !lacks.has(Nulls) {
		all = append(all, value(nil), connectors.Message{Value: []byte("no key"), Time: origin}, connectors.Message{Key: []byte{}, Value: []byte("empty key"), Time: origin})
	}
	return append(all, value([]byte("last")))
}

// difference tells how got is not want, or "".
func difference(lacks Lacks, want, got *connectors.Message) string {
	switch {
	case !sameBytes(lacks, want.Value, got.Value):
		return fmt.Sprintf("value %s, want %s", show(got.Value), show(want.Value))
	case !lacks.has(Keys) && !sameBytes(lacks, want.Key, got.Key):
		return fmt.Sprintf("key %s, want %s", show(got.Key), show(want.Key))
	case !lacks.has(Headers) && !slices.EqualFunc(arranged(lacks, want.Headers), arranged(lacks, got.Headers), sameHeader):
		return fmt.Sprintf("headers %q, want %q", got.Headers, want.Headers)
	case !lacks.has(Times) && !want.Time.Equal(got.Time):
		return fmt.Sprintf("time %v, want %v", got.Time, want.Time)
	}
	return ""
}

func sameBytes(lacks Lacks, a, b []byte) bool {
	return bytes.Equal(a, b) && (lacks.has(Nulls) || (a == nil) == (b == nil))
}

func sameHeader(a, b connectors.Header) bool { return a.Key == b.Key && bytes.Equal(a.Value, b.Value) }

func arranged(lacks Lacks, headers []connectors.Header) []connectors.Header {
	if !lacks.has(HeaderOrder) {
		return headers
	}
	sorted := slices.Clone(headers)
	slices.SortStableFunc(sorted, func(a, b connectors.Header) int { return strings.Compare(a.Key, b.Key) })
	return sorted
}

func show(b []byte) string {
	switch {
	case b == nil:
		return "nil"
	case len(b) > 64:
		return fmt.Sprintf("%q... (%d bytes)", b[:64], len(b))
	}
	return fmt.Sprintf("%q", b)
}
