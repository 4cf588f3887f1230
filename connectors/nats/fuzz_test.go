package nats

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/sluice-bridge/sluice/connectors"
)

// headersOf makes headers of any bytes: lengths and texts by turns, a length of 0 is a null value.
func headersOf(data []byte) (headers []connectors.Header) {
	next := func() (text []byte, null, ok bool) {
		n, used := binary.Uvarint(data)
		if used <= 0 || n > uint64(len(data)-used)+1 {
			return nil, false, false
		}
		data = data[used:]
		if n == 0 {
			return nil, true, true
		}
		text, data = data[:n-1:n-1], data[n-1:]
		return text, false, true
	}
	for len(data) > 0 && len(headers) < 100 {
		name, _, ok := next()
		if !ok {
			break
		}
		value, null, ok := next()
		if !ok {
			break
		}
		h := connectors.Header{Key: string(name), Value: value}
		if null {
			h.Value = nil
		}
		headers = append(headers, h)
	}
	return headers
}

// FuzzHeaders: whatever a message holds, what comes back out of NATS is what went in, or it is refused;
// and the block is no more protocol than its lines.
func FuzzHeaders(f *testing.F) {
	text := func(parts ...string) (data []byte) {
		for _, p := range parts {
			data = append(binary.AppendUvarint(data, uint64(len(p)+1)), p...)
		}
		return data
	}
	f.Add([]byte("key"), []byte("value"), text("a", "1", "b", "2"), int64(1), true)
	f.Add([]byte{0}, []byte{}, text("b", "", "a", "\r\nNats-Rollup: all", "Nats-TTL", "1s", headerOrigin, "nats:c/S/1;hops=3"), int64(-1), true)
	f.Add([]byte("base64:x"), []byte("x"), append(text("Status", "503", "\xff", " x "), 2, 'n', 0), int64(1<<60), false)
	f.Add([]byte("two"), []byte("x"), text(headerOrigin, "nats:c/S/1;hops=3", headerOrigin, "nats:c/S/1;hops=5"), int64(1), true)
	f.Fuzz(func(t *testing.T, key, value, data []byte, ms int64, add bool) {
		m := connectors.Message{Subject: "orders", Key: key, Value: value, Headers: headersOf(data), Time: time.UnixMilli(ms % (1 << 50)).UTC(), Offset: 7}
		e := headerEncoder{add: add}
		block, err := e.append(nil, testBatch, &m)
		if err != nil {
			if !connectors.IsPermanent(err) || add && !strings.Contains(err.Error(), "loop") {
				t.Fatalf("refused: %v", err)
			}
			return
		}
		if len(block) > 0 {
			checkBlock(t, block)
		}
		if !add {
			return
		}
		brought := connectors.FindOrigin(m.Headers)
		hops, _ := connectors.NextHops(testBatch, brought, 0)
		want := m
		want.Headers = slices.DeleteFunc(slices.Clone(m.Headers), func(h connectors.Header) bool { return h.Key == headerOrigin })
		want.Headers = append(want.Headers, connectors.Header{Key: headerOrigin, Value: connectors.AppendOrigin(nil, testBatch, &m, brought, hops)})
		if diff := cmp.Diff(want, read(m, block, m.Value, t)); diff != "" {
			t.Fatalf("block %q (-want +got):\n%s", block, diff)
		}
	})
}

// checkBlock wants a header block to be nothing but lines of harmless names.
func checkBlock(t *testing.T, block []byte) {
	t.Helper()
	text, ok := strings.CutPrefix(string(block), headerLine)
	text, end := strings.CutSuffix(text, "\r\n\r\n")
	if !ok || !end {
		t.Fatalf("not a block: %q", block)
	}
	for line := range strings.SplitSeq(text, "\r\n") {
		name, value, found := strings.Cut(line, ": ")
		if !found || !strings.HasPrefix(name, "Sluice-") && !plainName(name) || !plainValue([]byte(value)) {
			t.Fatalf("line %q", line)
		}
	}
}

// FuzzRestore: whatever stands in a stream is read, and what was read once comes back the same when it is
// written and read again.
func FuzzRestore(f *testing.F) {
	f.Add("Sluice-Key\nbase64:AA\nSluice-Time\n@1.5\nSluice-Null\n1\nSluice-Headers\nAWEA\nx\ny", []byte{})
	f.Add("Sluice-Headers\n/////w8\nSluice-Origin\nnats:c/S/1;hops=2", []byte("v"))
	f.Fuzz(func(t *testing.T, lines string, value []byte) {
		h := nats.Header{}
		parts := strings.Split(lines, "\n")
		for i := 0; i+1 < min(len(parts), 100); i += 2 {
			h[parts[i]] = append(h[parts[i]], parts[i+1])
		}
		m := connectors.Message{Subject: "orders", Value: value, Time: time.Unix(1, 0).UTC(), Offset: 7}
		restore(&m, h)
		e := headerEncoder{add: true}
		block, err := e.append(nil, testBatch, &m)
		if err != nil {
			return
		}
		again := read(m, block, m.Value, t)
		one, two := without(m.Headers), without(again.Headers)
		if diff := cmp.Diff(one, two); diff != "" || string(m.Key) != string(again.Key) || (m.Key == nil) != (again.Key == nil) || !m.Time.Equal(again.Time) {
			t.Fatalf("%+v came back as %+v\n%s", m, again, diff)
		}
	})
}

func without(headers []connectors.Header) []connectors.Header {
	kept := []connectors.Header{}
	for _, h := range headers {
		if h.Key != headerOrigin {
			kept = append(kept, h)
		}
	}
	return kept
}

// FuzzSubject: no message leaves the literal text of its template, speaks the protocol, or reaches what
// belongs to the server.
func FuzzSubject(f *testing.F) {
	f.Add("orders.{{ key }}", "t", []byte("a.b"))
	f.Add("{{ topic }}.x{{ partition }}.{{ offset }}", "$JS.API..STREAM.*", []byte(">"))
	f.Add("a.{{ key }}{{key}}", "", []byte("\r\nPUB x 0\r\n"))
	f.Add("{{ key }}", "t", []byte(strings.Repeat("~", 300)))
	f.Fuzz(func(t *testing.T, text, topic string, key []byte) {
		parsed, err := connectors.ParseTemplate(text)
		if err != nil {
			return
		}
		s, err := newSubjects(parsed)
		if err != nil {
			return
		}
		m := connectors.Message{Subject: topic, Key: key, Offset: 9}
		got, err := s.append([]byte("before"), testBatch, &m)
		if err != nil {
			if !connectors.IsPermanent(err) || string(got) != "before" {
				t.Fatalf("%q, %v", got, err)
			}
			return
		}
		subject, ok := strings.CutPrefix(string(got), "before"+parsed.Prefix())
		subject = parsed.Prefix() + subject
		if !ok || !server.IsValidLiteralSubject(subject) || len(subject) > maxSubject || strings.ContainsAny(subject, " \t\r\n\x00") {
			t.Fatalf("%q of topic %q, key %q makes %q", text, topic, key, subject)
		}
		for _, own := range []string{"$JS.", "$SYS.", "_INBOX.", "_R_."} {
			if strings.HasPrefix(subject, own) {
				t.Fatalf("%q of topic %q, key %q makes %q", text, topic, key, subject)
			}
		}
		if !captures([]string{s.filter()}, subject) {
			t.Fatalf("%q is not in %q", subject, s.filter())
		}
	})
}
