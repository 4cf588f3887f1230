package nats

import (
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"pgregory.net/rapid"

	"github.com/sluice-bridge/sluice/connectors"
)

func template(t interface{ Fatal(...any) }, text string) *connectors.Template {
	tmpl, err := connectors.ParseTemplate(text)
	if err != nil {
		t.Fatal(err)
	}
	return tmpl
}

func TestSubjectOfMessage(t *testing.T) {
	for _, c := range []struct{ template, topic, key, want string }{
		{defaultSubject, "orders", "", "orders"},
		{defaultSubject, "orders.eu.new", "", "orders.eu.new"},
		{defaultSubject, "a..b", "", "a._.b"},
		{defaultSubject, ".a.", "", "_.a._"},
		{defaultSubject, "a b", "", "a%20b"},
		{"orders.{{ key }}", "t", "42", "orders.42"},
		{"orders.{{ key }}", "t", "", "orders._"},
		{"orders.{{ key }}", "t", "_", "orders.%5F"},
		{"orders.{{ key }}", "t", "a.b", "orders.a%2Eb"},
		{"orders.{{ key }}", "t", "*", "orders.%2A"},
		{"orders.{{ key }}", "t", ">", "orders.%3E"},
		{"orders.{{ key }}", "t", "a\r\nPUB x 0\r\n", "orders.a%0D%0APUB%20x%200%0D%0A"},
		{"{{ key }}.x", "t", "$JS", "%24JS.x"},
		{"k.{{ partition }}.{{ offset }}", "t", "", "k.3.9"},
	} {
		s, err := newSubjects(template(t, c.template))
		if err != nil {
			t.Fatal(err)
		}
		m := connectors.Message{Subject: c.topic, Key: []byte(c.key), Offset: 9}
		got, err := s.append(nil, testBatch, &m)
		if string(got) != c.want || err != nil {
			t.Errorf("%s of topic %q, key %q: got %q, %v; want %q", c.template, c.topic, c.key, got, err, c.want)
		}
	}
}

func TestRefusedSubjects(t *testing.T) {
	for _, subject := range []string{"$JS.API.STREAM.DELETE.X", "$SYS.REQ", "_INBOX.a", "_R_.a", strings.Repeat("a.", 600) + "a"} {
		s, err := newSubjects(nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.append(nil, testBatch, &connectors.Message{Subject: subject}); !connectors.IsPermanent(err) {
			t.Errorf("%q became %q, %v", subject, got, err)
		}
	}
	for _, text := range []string{"$JS.API.{{ key }}", "a b", "orders.*", "orders.>", "a..{{ key }}", ".a", "a.", "", "_INBOX.x", "orders. {{ key }}"} {
		if _, err := newSubjects(template(t, text)); err == nil {
			t.Errorf("template %q was taken", text)
		}
	}
}

func TestSubjectKeepsItsPrefix(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		prefix := rapid.SampledFrom([]string{"", "orders.", "a.b-", "orders.$JS."}).Draw(t, "prefix")
		place := rapid.SampledFrom([]string{"{{ key }}", "{{ topic }}"}).Draw(t, "place")
		s, err := newSubjects(template(t, prefix+place))
		if err != nil {
			t.Fatal(err)
		}
		value := rapid.OneOf(rapid.SliceOf(rapid.Byte()), rapid.Map(rapid.StringMatching(`[a$*>. _%-]{0,9}`), func(s string) []byte { return []byte(s) })).Draw(t, "value")
		m := connectors.Message{Subject: string(value), Key: value}
		got, err := s.append(nil, testBatch, &m)
		if err != nil {
			if !connectors.IsPermanent(err) || place == "{{ key }}" {
				t.Fatal(err)
			}
			return
		}
		rest, ok := strings.CutPrefix(string(got), prefix)
		if !ok || !server.IsValidLiteralSubject(string(got)) {
			t.Fatalf("subject %q", got)
		}
		if place == "{{ key }}" && (strings.Contains(rest, ".") || len(rest) > maxToken) {
			t.Fatalf("not one token: %q", rest)
		}
	})
}

func TestDifferentKeysMakeDifferentTokens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		gen := rapid.OneOf(rapid.SliceOfN(rapid.Byte(), 0, 3), rapid.SliceOfN(rapid.ByteRange('a', 'b'), 198, 203),
			rapid.Map(rapid.SampledFrom([]string{"", "_", "%5F", "%", "~"}), func(s string) []byte { return []byte(s) }))
		a, b := gen.Draw(t, "a"), gen.Draw(t, "b")
		if string(a) != string(b) && string(appendToken(nil, a)) == string(appendToken(nil, b)) {
			t.Fatalf("%q and %q both become %q", a, b, appendToken(nil, a))
		}
	})
	long := strings.Repeat("k", 5<<10)
	if got := appendToken(nil, []byte(long)); len(got) > maxToken {
		t.Errorf("%d bytes", len(got))
	}
}

func TestStreamCapturesSubject(t *testing.T) {
	for _, c := range []struct {
		filter, subject string
		want            bool
	}{
		{"orders", "orders", true}, {"orders", "orders.a", false}, {"orders.*", "orders.a", true}, {"orders.*", "orders", false},
		{"orders.*", "orders.a.b", false}, {"orders.>", "orders.a.b", true}, {"orders.>", "orders", false}, {">", "a.b", true},
		{"*.b", "a.b", true}, {"*.b", "a.c", false},
	} {
		if got := captures([]string{"other", c.filter}, c.subject); got != c.want {
			t.Errorf("%s captures %s: %v", c.filter, c.subject, got)
		}
	}
}

func TestSubjectAllocatesNothing(t *testing.T) {
	s, err := newSubjects(template(t, "a.{{ topic }}.{{ partition }}.{{ offset }}.{{ key }}"))
	if err != nil {
		t.Fatal(err)
	}
	m := connectors.Message{Subject: "orders.eu", Key: []byte("customer 4711"), Offset: 12345}
	buf := make([]byte, 0, 256)
	if n := testing.AllocsPerRun(100, func() { buf, _ = s.append(buf[:0], testBatch, &m) }); n != 0 {
		t.Errorf("%v allocations a message for %q", n, buf)
	}
}
