package transform

import (
	"bytes"
	"errors"
	"testing"

	"github.com/sluice-bridge/sluice/connectors"
)

// FuzzTemplate: whatever is written and whatever comes, nothing panics, an error says where it is, the same message
// gives the same twice, and what is made keeps within its bounds and the template's literal text.
func FuzzTemplate(f *testing.F) {
	for _, text := range []string{
		`a.{{ key }}`, `{{ headers["x"] ?? "y" }}`, `{{ dotted(json("a.b")) }}`, `{{ tokens[1] }}{{ size > 3 }}`, `{{`, `{{ replace(key, "", "x") }}`,
		`{{ time.Format("2006") }}`, `{{ key matches "^a" ? offset : partition }}`, `{{ split(key, "")[0] }}`, `{{ let a = 1; a }}`, `{{ 1..3 }}`,
		`{{ all(tokens, # == key) }}`, `{{ $env }}`, `{{ json("a.#") }}`, `{{ [1,2][0] + {"a": 1}.a }}`, `{{ headers.x | upper() }}`,
	} {
		f.Add(text, []byte("k"), []byte(`{"a":{"b":"c.d"}}`), "eu.orders")
	}
	f.Fuzz(func(t *testing.T, text string, key, value []byte, subject string) {
		c := NewCompiler("r")
		compiled, err := c.Template("map.subject", text)
		if err != nil {
			var e *Error
			if errors.As(err, &e) && (e.At < 0 || e.At > len(text) || e.Column < 0 || e.Column > len(e.Expression)+1) {
				t.Errorf("%q: at %d, column %d", text, e.At, e.Column)
			}
			return
		}
		b := &connectors.Batch{Partition: "orders/3"}
		m := &connectors.Message{Subject: subject, Key: key, Value: value, Headers: []connectors.Header{{Key: "x", Value: key}}}
		var made [][]byte
		for range 2 {
			e := c.Program().Evaluator()
			passes, err := e.Passes(b, m)
			if !passes || err != nil {
				t.Fatal(passes, err)
			}
			mapped, err := e.Map(b, m)
			if err != nil {
				if !connectors.IsPermanent(err) {
					t.Errorf("%q: %v", text, err)
				}
				made = append(made, []byte(err.Error()))
				continue
			}
			text := compiled.Append(nil, b, &mapped, func(dst []byte, name string, value []byte) []byte {
				if name == connectors.PlaceExpression && len(value) > maxMade {
					t.Errorf("%d bytes", len(value))
				}
				return append(dst, value...)
			})
			if !bytes.HasPrefix(text, []byte(compiled.Prefix())) {
				t.Errorf("%q does not begin with %q", text, compiled.Prefix())
			}
			made = append(made, text)
		}
		if !bytes.Equal(made[0], made[1]) {
			t.Errorf("%q: %q, and then %q", text, made[0], made[1])
		}
	})
}

// FuzzFilter: as FuzzTemplate.
func FuzzFilter(f *testing.F) {
	for _, text := range []string{`headers["x"] == "y"`, `json("a.b") > 3`, `key in tokens`, `size % 0 == 1`, `not true`, `time > date("2026-01-01")`} {
		f.Add(text, []byte("k"), []byte(`{"a":{"b":3}}`), "eu.orders")
	}
	f.Fuzz(func(t *testing.T, text string, key, value []byte, subject string) {
		c := NewCompiler("r")
		if c.Filter(text) != nil {
			return
		}
		m := &connectors.Message{Subject: subject, Key: key, Value: value, Headers: []connectors.Header{{Key: "x", Value: key}}}
		e := c.Program().Evaluator()
		passes, err := e.Passes(&connectors.Batch{}, m)
		again, err2 := e.Passes(&connectors.Batch{}, m)
		if passes != again || (err == nil) != (err2 == nil) || err != nil && (passes || !connectors.IsPermanent(err)) {
			t.Errorf("%q: %v, %v, and then %v, %v", text, passes, err, again, err2)
		}
	})
}
