package bridge

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sluice-bridge/sluice/connectors"
)

// TestLetterIsExact: whatever a message holds, also letters' own headers, it comes back out of a dead
// letter as it went in, behind whatever the target puts behind it.
func TestLetterIsExact(t *testing.T) {
	names := rapid.SampledFrom([]string{"a", "", "z", connectors.OriginHeader, letterPrefix + connectors.OriginHeader, letterReason, letterAttempts, letterKey})
	field := rapid.SampledFrom([][]byte{nil, {}, []byte("x"), {0, '\r', '\n', 0xff}})
	rapid.Check(t, func(t *rapid.T) {
		want := Letter{
			Reason: rapid.StringN(0, 20, 40).Draw(t, "reason"), Route: "orders", Partition: rapid.SampledFrom([]string{"orders/3", "a@b", ""}).Draw(t, "partition"),
			Origin: rapid.SampledFrom([]string{"", "kafka:c/orders/3"}).Draw(t, "origin"), Attempts: rapid.IntRange(0, 9).Draw(t, "attempts"),
			Redriven: rapid.IntRange(0, 9).Draw(t, "redriven"), Undecoded: rapid.Bool().Draw(t, "undecoded"),
			Time: time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "time"), 5).UTC(),
			Message: connectors.Message{
				Subject: rapid.SampledFrom([]string{"", "orders"}).Draw(t, "subject"), Key: field.Draw(t, "key"), Value: field.Draw(t, "value"),
				Offset: rapid.Int64().Draw(t, "offset"),
			},
		}
		if rapid.Bool().Draw(t, "timed") {
			want.Message.Time = time.Unix(rapid.Int64Range(-1<<40, 1<<40).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanoseconds")).UTC()
		}
		for range rapid.IntRange(0, 5).Draw(t, "headers") {
			want.Message.Headers = append(want.Message.Headers, connectors.Header{Key: names.Draw(t, "name"), Value: field.Draw(t, "header")})
		}
		m := want.message()
		// Another target has another key and subject, knows no time, and adds headers.
		m.Key, m.Subject, m.Time, m.Offset = []byte("else"), "dead", time.Time{}, 7
		m.Headers = append(m.Headers, connectors.Header{Key: connectors.OriginHeader, Value: []byte("kafka:c/orders/3/5;hops=1")}, connectors.Header{Key: "Nats-Stream-Source", Value: []byte("x")})
		got, ok := ReadLetter(&m)
		if !ok {
			t.Fatalf("%+v is not read as a letter", m)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestWhatIsNoLetter(t *testing.T) {
	whole := (&Letter{Reason: "r", Route: "orders", Partition: "p", Message: connectors.Message{Offset: 1}}).message()
	for what, change := range map[string]func(h []connectors.Header) []connectors.Header{
		"no header":      func([]connectors.Header) []connectors.Header { return nil },
		"one is missing": func(h []connectors.Header) []connectors.Header { return h[:len(h)-1] },
		"one twice":      func(h []connectors.Header) []connectors.Header { return append(h, h[len(h)-1]) },
		"one we know not": func(h []connectors.Header) []connectors.Header {
			return append(h, connectors.Header{Key: "Dead-Letter-New"})
		},
		"redriven half": func(h []connectors.Header) []connectors.Header {
			return append(h, connectors.Header{Key: letterRedriven, Value: []byte("½")})
		},
		"position without an offset": func(h []connectors.Header) []connectors.Header {
			for i := range h {
				if h[i].Key == letterPosition {
					h[i].Value = []byte("p")
				}
			}
			return h
		},
	} {
		m := whole
		m.Headers = change(append([]connectors.Header{}, whole.Headers...))
		if l, ok := ReadLetter(&m); ok {
			t.Errorf("%s: %+v", what, l)
		}
	}
}

func TestReasonsAreShortAndOfOneLine(t *testing.T) {
	r := reasonOf(errors.New("a\nb\x00 \xff " + strings.Repeat("ü", maxReason)))
	if len(r) > maxReason || !utf8.ValidString(r) || strings.ContainsAny(r, "\n\x00") || !strings.HasPrefix(r, "a b  ? ü") {
		t.Errorf("%d bytes: %.40q", len(r), r)
	}
}

func TestCausesGroup(t *testing.T) {
	a := Letter{Reason: `message of 1049000 bytes for subject "a.b": the limit is 1048576`}
	b := Letter{Reason: `message of 7 bytes for subject "c": the limit is 5`}
	if a.Cause() != b.Cause() || a.Cause() != `message of # bytes for subject "…": the limit is #` {
		t.Errorf("%q, %q", a.Cause(), b.Cause())
	}
}

// FuzzReadLetter: whatever stands in a dead-letter target, what is read as a letter is one: written again
// it is the same letter.
func FuzzReadLetter(f *testing.F) {
	flatten := func(m connectors.Message) (data []byte) {
		for _, h := range m.Headers {
			data = binary.AppendUvarint(data, uint64(len(h.Key)))
			data = append(data, h.Key...)
			data = binary.AppendUvarint(data, uint64(len(h.Value)))
			data = append(data, h.Value...)
		}
		return data
	}
	f.Add([]byte("value"), flatten((&Letter{Reason: "r", Route: "orders", Partition: "p"}).message()))
	f.Add([]byte{}, flatten((&Letter{
		Reason: "r", Route: "orders", Partition: "p@", Origin: "kafka:c/p", Attempts: 3, Redriven: 2, Undecoded: true, Time: time.Unix(1, 2),
		Message: connectors.Message{
			Subject: "s", Key: []byte{0}, Time: time.Unix(3, 4), Offset: -1,
			Headers: []connectors.Header{{Key: connectors.OriginHeader, Value: []byte("o")}, {Key: letterReason}, {Key: letterAttempts, Value: []byte("x")}},
		},
	}).message()))
	f.Fuzz(func(t *testing.T, value, data []byte) {
		m := connectors.Message{Value: value}
		for len(data) > 0 {
			h := connectors.Header{}
			for _, to := range []func([]byte){func(b []byte) { h.Key = string(b) }, func(b []byte) { h.Value = b }} {
				n, used := binary.Uvarint(data)
				if used <= 0 || n > uint64(len(data)-used) {
					return
				}
				to(data[used : used+int(n)])
				data = data[used+int(n):]
			}
			m.Headers = append(m.Headers, h)
		}
		l, ok := ReadLetter(&m)
		if !ok {
			return
		}
		again := l.message()
		got, ok := ReadLetter(&again)
		if !ok {
			t.Fatalf("%+v is a letter, and written again it is none", l)
		}
		if diff := cmp.Diff(l, got); diff != "" || !bytes.Equal(got.Message.Value, value) {
			t.Fatal(diff)
		}
		_ = l.Cause()
	})
}
