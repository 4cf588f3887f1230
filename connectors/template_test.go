package connectors

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// brackets shows what passed through escape.
func brackets(dst []byte, name string, value []byte) []byte {
	return fmt.Appendf(dst, "[%s:%s]", name, value)
}

func TestTemplate(t *testing.T) {
	b := &Batch{Partition: "eu.orders/7"}
	m := &Message{Subject: "orders", Key: []byte("k*"), Offset: -3}
	for text, want := range map[string]string{
		"":                            "",
		"plain.text":                  "plain.text",
		"a.{{ key }}.b":               "a.[key:k*].b",
		"{{topic}}{{ subject }}":      "[topic:orders][subject:orders]",
		"p{{ partition }}-{{offset}}": "p[partition:7]--3",
		"}} is text":                  "}} is text",
	} {
		parsed, err := ParseTemplate(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got := string(parsed.Append([]byte("> "), b, m, brackets)); got != "> "+want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
		if parsed.String() != text {
			t.Errorf("%q became %q", text, parsed)
		}
		if prefix, _, _ := strings.Cut(text, "{{"); parsed.Prefix() != prefix || parsed.Constant() != !strings.Contains(text, "{{") {
			t.Errorf("%q: prefix %q, constant %v", text, parsed.Prefix(), parsed.Constant())
		}
	}
	for text, want := range map[string]string{
		"a.{{ key":      `"a.{{ key": {{ without }}`,
		"{{ Key }}":     `unknown name "Key"`,
		"{{}}":          `unknown name ""`,
		"{{ {{ key }}}": "unknown name",
	} {
		if _, err := ParseTemplate(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

// FuzzTemplate: what parses consists of its literal text and of values that passed through escape.
func FuzzTemplate(f *testing.F) {
	for _, text := range []string{"", "a.{{ key }}", "{{topic}}{{offset}}", "{{", "}}{{ partition }}x"} {
		f.Add(text, []byte("a.b"))
	}
	f.Fuzz(func(t *testing.T, text string, key []byte) {
		parsed, err := ParseTemplate(text)
		if err != nil {
			return
		}
		m := &Message{Subject: "s", Key: key}
		got := parsed.Append(nil, &Batch{Partition: "p"}, m, func(dst []byte, _ string, _ []byte) []byte { return append(dst, 0) })
		if parsed.Constant() && string(got) != text {
			t.Errorf("constant %q became %q", text, got)
		}
		if !bytes.HasPrefix(got, []byte(parsed.Prefix())) {
			t.Errorf("%q does not begin with %q", got, parsed.Prefix())
		}
	})
}

func FuzzSize(f *testing.F) {
	f.Add("64MiB")
	f.Add("1.5kB")
	f.Add("-0B")
	f.Fuzz(func(t *testing.T, text string) {
		var s, again Size
		if s.UnmarshalText([]byte(text)) != nil {
			return
		}
		if err := again.UnmarshalText([]byte(s.String())); s < 0 || err != nil || s != again {
			t.Errorf("%q is %d, written %q, read %d, %v", text, int64(s), s, int64(again), err)
		}
	})
}
