package transform

import (
	"errors"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-bridge/sluice/connectors"
)

func batch() *connectors.Batch {
	return &connectors.Batch{Partition: "eu.orders/7", Origin: "kafka:c/eu.orders/7"}
}

func message() *connectors.Message {
	return &connectors.Message{
		Subject: "eu.orders", Key: []byte("k1"), Offset: 1042, Time: time.Date(2026, 1, 31, 9, 0, 0, 5e6, time.FixedZone("", 3600)),
		Value: []byte(`{"user":{"id":9007199254740993,"ids":["a","b"],"name":"Åse","ok":true,"none":null,"rate":1.5},"big":123456789012345678901}`),
		Headers: []connectors.Header{
			{Key: "env", Value: []byte("prod")}, {Key: "region", Value: []byte("no.1")}, {Key: "env", Value: []byte("test")},
			{Key: "empty"}, {Key: connectors.OriginHeader, Value: []byte("nats:c/S/1;hops=1")}, {Key: "traceparent", Value: []byte("00")},
		},
	}
}

// program compiles a filter, if it is not empty, and templates.
func program(t testing.TB, filter string, templates ...string) (*Program, []*connectors.Template) {
	t.Helper()
	c := NewCompiler("orders")
	if filter != "" {
		if err := c.Filter(filter); err != nil {
			t.Fatal(err)
		}
	}
	var all []*connectors.Template
	for _, text := range templates {
		compiled, err := c.Template("map.subject", text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, compiled)
	}
	return c.Program(), all
}

func TestFilter(t *testing.T) {
	for text, want := range map[string]bool{
		`headers["env"] == "prod"`:                          true, // the first of several
		`headers.env == "prod"`:                             true,
		`headers["missing"] == nil`:                         true,
		`headers["missing"] == "x"`:                         false,
		`headers["empty"] == ""`:                            true,
		`headers["missing"] startsWith "x"`:                 false,
		`topic == "eu.orders" && subject == topic`:          true,
		`tokens[0] == "eu" && tokens[-1] == "orders"`:       true,
		`len(tokens) == 2`:                                  true,
		`partition == 7 and offset == 1042`:                 true,
		`partition % 2 == 0`:                                false,
		`key matches "^k[0-9]+$"`:                           true,
		`size > 100`:                                        true,
		`route == "orders"`:                                 true,
		`time > date("2026-01-31T07:59:59Z")`:               true,
		`time.Hour() == 8`:                                  true, // in UTC
		`json("user.name") == "Åse"`:                        true,
		`json("user.ids.1") == "b"`:                         true,
		`json("user.ok")`:                                   true,
		`json("user.none")`:                                 false,
		`json("user.none") == nil`:                          true,
		`json("user.missing.deep") == nil`:                  true,
		`json("user.id") == 9007199254740993`:               true, // exact beyond what a float holds
		`json("user.rate") > 1.4`:                           true,
		`(json("user.missing") ?? 3) < 4`:                   true,
		`key in ["k1", "k2"]`:                               true,
		`size < 5 && json("user.missing").x == 1`:           false, // what is not asked for does not fail
		`replace(join(tokens, "-"), "-", "") == "euorders"`: true,
	} {
		p, _ := program(t, text)
		got, err := p.Evaluator().Passes(batch(), message())
		if err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
}

func TestTemplate(t *testing.T) {
	for text, want := range map[string]string{
		`orders.{{ key }}.{{ headers["region"] ?? "eu" }}`: "orders.[key:k1].[expression:no.1]",
		`{{ headers["x"] ?? "eu" }}`:                       "[expression:eu]",
		`{{ dotted(headers["region"]) }}`:                  "[dotted:no.1]",
		`{{tokens[1]}}-{{  upper(key)  }}`:                 "[expression:orders]-[expression:K1]",
		`{{ json("user.id") }}/{{ json("big") }}`:          "[expression:9007199254740993]/[expression:123456789012345678901]",
		`{{ json("user.rate") }}`:                          "[expression:1.5]",
		`{{ json("user.ids") }}`:                           `[expression:["a","b"]]`,
		`{{ partition % 4 }}`:                              "[expression:3]",
		`{{ size > 5 }}`:                                   "[expression:true]",
		`{{ time }}`:                                       "[expression:2026-01-31T08:00:00.005Z]",
		`{{ time.Format("2006") }}`:                        "[expression:2026]",
		`{{ dotted(join(tokens[1:], ".")) }}`:              "[dotted:orders]",
		`{{ headers["env"] == "prod" ? "live" : "test" }}`: "[expression:live]",
		`{{ offset }}{{ route }}`:                          "1042[expression:orders]",
	} {
		p, templates := program(t, "", text)
		e := p.Evaluator()
		if _, err := e.Passes(batch(), message()); err != nil {
			t.Error(err)
		}
		mapped, err := e.Map(batch(), message())
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got := string(templates[0].Append(nil, batch(), &mapped, func(dst []byte, name string, value []byte) []byte {
			return append(append(append(append(append(dst, '['), name...), ':'), value...), ']')
		}))
		if got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

// TestRefusedWhenRead: what is wrong is said with the column.
func TestRefusedWhenRead(t *testing.T) {
	for text, want := range map[string]string{
		`hedaers["env"] == "prod"`:         `column 1: unknown name hedaers`,
		`headers[key] == "x"`:              `column 8: the name of a header has to be written out`,
		`len(headers) > 1`:                 `column 5: a header is asked for by its name`,
		`size + 1`:                         `expected bool, but got int`,
		`topic > 5`:                        `column 7: invalid operation: > (mismatched types string and int)`,
		`1..100000000 != nil`:              `there are no ranges here`,
		`let x = key + key; x == "a"`:      `there are no variables here`,
		`any(tokens, # == "a")`:            `column 1: unknown name any`,
		`repeat(key, 1000) == "x"`:         `unknown name repeat`,
		`now() > time`:                     `unknown name now`,
		`key matches topic`:                `the pattern has to be written out`,
		`key matches "["`:                  `column`,
		`json(key) == 1`:                   `json wants a path`,
		`json("a.#(b==1)#") == 1`:          `json wants a path`,
		`json("@reverse") == 1`:            `json wants a path`,
		`json() == 1`:                      `json wants a path`,
		`dotted(key) == "a"`:               `dotted(...) has to be around the whole`,
		`$env == nil`:                      `unknown name $env`,
		`key == "`:                         `literal not terminated`,
		``:                                 `there is nothing in it`,
		`; true`:                           `column`,
		strings.Repeat("(", 5000) + "true": `it has 5004 bytes, the limit is 4096`,
		strings.Repeat("!", 4000) + "true": `it is too long`,
		strings.Repeat("key == key || ", 100) + "true": `it is too long: it has more than 256 parts`,
	} {
		err := NewCompiler("orders").Filter(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80q: %v, want %s", text, err, want)
		}
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%.80q: %T", text, err)
		}
	}
	for text, want := range map[string]string{
		strings.Repeat("{{ size }}", 65): "a map holds at most 64 expressions",
		"a.{{ key }}.{{ tokens }}":       "`tokens`: it gives a []string",
		"a.{{ key + }}":                  "column",
		"a.{{ key":                       "{{ without }}",
		"a.{{ }}":                        "there is nothing in it",
		`a.{{ duration("1h") }}`:         "which is no text",
		`a.{{ x + dotted(key) }}`:        "dotted(...) has to be around",
	} {
		if _, err := NewCompiler("orders").Template("map.subject", text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

// TestRefusedMessages: what fails in a message is Permanent, says why, and harms no other message.
func TestRefusedMessages(t *testing.T) {
	long := func(m *connectors.Message) {
		m.Key, m.Value = make([]byte, maxText+1), make([]byte, maxJSON+1)
		m.Headers = []connectors.Header{{Key: "env", Value: make([]byte, maxText+1)}}
		m.Subject = strings.Repeat("x", maxMade+1)
	}
	for _, c := range []struct {
		filter, template string
		change           func(*connectors.Message)
		want             string
	}{
		{template: `{{ headers["region"] }}`, change: func(m *connectors.Message) { m.Headers = nil }, want: "map.subject `headers[\"region\"]`: it gives nothing"},
		{template: `{{ tokens[1] }}`, change: func(m *connectors.Message) { m.Subject = "x" }, want: "column 7: index out of range"},
		{template: `{{ int(key == "x" ? key : "1") }}`, change: func(m *connectors.Message) { m.Key = []byte("x") }, want: "column 1: it does not work for what this message holds"},
		{filter: `json("user.ok")`, change: func(m *connectors.Message) { m.Value = []byte(`{"user":{"ok":"x"}}`) }, want: "invalid operation: bool(string)"},
		{filter: `json("user.rate") > 1`, change: func(m *connectors.Message) { m.Value = []byte(`{"user":{"rate":"x"}}`) }, want: "column"},
		{filter: `key == ""`, change: long, want: "the key has 65537 bytes, expressions read at most 65536"},
		{filter: `headers["env"] == ""`, change: long, want: `the header "env" has 65537 bytes`},
		{filter: `json("a") == 1`, change: long, want: "the value has 1048577 bytes, json reads at most 1048576"},
		{template: `{{ subject + "" }}`, change: long, want: "it makes 4097 bytes, the limit is 4096"},
		{filter: `replace(key, "", subject) == ""`, change: func(m *connectors.Message) {
			m.Key, m.Subject = make([]byte, 1000), strings.Repeat("x", 1000)
		}, want: "replace would make more than 65536 bytes"},
		{filter: `join(split(key, ""), subject) == ""`, change: func(m *connectors.Message) {
			m.Key, m.Subject = make([]byte, 1000), strings.Repeat("x", 1000)
		}, want: "join would make more than 65536 bytes"},
	} {
		var templates []string
		if c.template != "" {
			templates = []string{c.template}
		}
		p, _ := program(t, c.filter, templates...)
		e := p.Evaluator()
		for range 2 {
			bad := message()
			c.change(bad)
			passes, err := e.Passes(batch(), bad)
			if err == nil && passes {
				_, err = e.Map(batch(), bad)
			}
			if err == nil || !connectors.IsPermanent(err) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s%s: %v, want %s", c.filter, c.template, err, c.want)
			}
			if _, err := e.Passes(batch(), message()); err != nil {
				t.Errorf("%s%s: the next message: %v", c.filter, c.template, err)
			}
			if _, err := e.Map(batch(), message()); err != nil {
				t.Errorf("%s%s: the next message: %v", c.filter, c.template, err)
			}
		}
	}
}

func TestHeaders(t *testing.T) {
	c := NewCompiler("orders")
	for _, pattern := range []string{"e*y", "*"} {
		if err := c.Drop(pattern); err != nil {
			t.Fatal(err)
		}
	}
	c.p.header.drop = []string{"empty", "re?ion"}
	for _, err := range []error{c.Rename("env", "stage"), c.Set("map.headers.set.who", "who", `{{ route }}/{{ key }}`), c.Set("map.headers.set.fix", "fix", "x")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	m := message()
	m.Headers = append(m.Headers, connectors.Header{Key: "who", Value: []byte("me")})
	before := append([]connectors.Header(nil), m.Headers...)
	e := c.Program().Evaluator()
	mapped, err := e.Map(batch(), m)
	if err != nil {
		t.Fatal(err)
	}
	want := []connectors.Header{
		{Key: "stage", Value: []byte("prod")}, {Key: "stage", Value: []byte("test")},
		{Key: connectors.OriginHeader, Value: []byte("nats:c/S/1;hops=1")}, {Key: "traceparent", Value: []byte("00")},
		{Key: "who", Value: []byte("orders/k1")}, {Key: "fix", Value: []byte("x")},
	}
	if diff := cmp.Diff(want, mapped.Headers); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(before, m.Headers); diff != "" || mapped.Mapped.Original != m {
		t.Errorf("the message itself: %s", diff)
	}
}

// TestProtected: Sluice's own headers and the trace context are refused by name, and stay whatever a pattern matches.
func TestProtected(t *testing.T) {
	for _, name := range []string{"Sluice-Origin", "sluice-key", "SLUICE-X", "traceparent", "Traceparent", ""} {
		for what, err := range map[string]error{
			"drop": NewCompiler("r").Drop(name), "rename": NewCompiler("r").Rename(name, "x"),
			"to": NewCompiler("r").Rename("x", name), "set": NewCompiler("r").Set("s", name, "x"),
		} {
			if err == nil {
				t.Errorf("%s %q is taken", what, name)
			}
		}
	}
	for _, pattern := range []string{"Sluice-*", "sluice-O?igin", "[", "sluice-[A-Z]*", "traceparent*"} {
		if NewCompiler("r").Drop(pattern) == nil {
			t.Errorf("drop %q is taken", pattern)
		}
	}
	c := NewCompiler("r")
	if err := c.Drop("*"); err != nil {
		t.Fatal(err)
	}
	mapped, err := c.Program().Evaluator().Map(batch(), message())
	if len(mapped.Headers) != 2 || err != nil {
		t.Errorf("%v, %v", mapped.Headers, err)
	}
}

// TestNothingToDo: a map of names is the sinks' to fill.
func TestNothingToDo(t *testing.T) {
	p, templates := program(t, "", "orders.{{ key }}", "x")
	if p != nil || p.Filter() != "" || p.Headers() != "" || templates[0].Names(connectors.PlaceExpression) {
		t.Errorf("%+v", p)
	}
	e := p.Evaluator()
	passes, err := e.Passes(batch(), message())
	mapped, err2 := e.Map(batch(), message())
	if !passes || err != nil || err2 != nil || mapped.Mapped != nil {
		t.Errorf("%v, %v, %v, %v", passes, err, err2, mapped.Mapped)
	}
	e.Reset()
}

// TestManyMessages: what was made of one stays while others are made, and is gone after Reset.
func TestManyMessages(t *testing.T) {
	p, templates := program(t, `key != "k3"`, `{{ key + "!" }}`, `{{ headers["n"] }}`)
	e := p.Evaluator()
	var kept []connectors.Message
	for round := range 3 {
		e.Reset()
		kept = kept[:0]
		for i := range 1000 {
			m := &connectors.Message{Key: []byte("k" + string(rune('0'+i%10))), Headers: []connectors.Header{{Key: "n", Value: []byte{byte('a' + i%26)}}}}
			passes, err := e.Passes(batch(), m)
			if err != nil || passes != (i%10 != 3) {
				t.Fatal(i, passes, err)
			}
			mapped, err := e.Map(batch(), m)
			if err != nil {
				t.Fatal(err)
			}
			kept = append(kept, mapped)
		}
		for i := range kept {
			got := string(templates[1].Append(templates[0].Append(nil, batch(), &kept[i], verbatim), batch(), &kept[i], verbatim))
			if want := "k" + string(rune('0'+i%10)) + "!" + string(rune('a'+i%26)); got != want {
				t.Fatalf("round %d, message %d: %q, want %q", round, i, got, want)
			}
		}
	}
}

// TestNothingIsTold: what an expression fails of is said without what the message holds.
func TestNothingIsTold(t *testing.T) {
	for text, want := range map[string]string{
		`int(key) > 1`:                             "it does not work for what this message holds",
		`float(headers["secret"]) > 1`:             "it does not work for what this message holds",
		`date(key) > time`:                         "it does not work for what this message holds",
		`duration(key) > duration("1s")`:           "it does not work for what this message holds",
		`headers["secret"] > 1`:                    "invalid operation: string > int",
		`json("a") + 1 > 2`:                        "invalid operation: string + int",
		`headers["none"] + 1 > 2`:                  "invalid operation: <nil> + int",
		`headers["secret"].x == 1`:                 "column 19",
		`json("a")`:                                "invalid operation: bool(string)",
		`tokens[3] == ""`:                          "index out of range: 3 (array length is 2)",
		`size % (size - size) == 0`:                "integer divide by zero",
		`split(key, "")[100] == ""`:                "index out of range: 100 (array length is 6)",
		`headers["secret"] in 5`:                   "",
		`key in headers["secret"]`:                 "",
		`json("a") contains 5`:                     "",
		`len(headers["none"]) > 1`:                 "",
		`upper(headers["none"]) == "x"`:            "",
		`replace(headers["none"], "a", "b") == ""`: "",
		`join(headers["secret"], "a") == ""`:       "",
	} {
		c := NewCompiler("orders")
		if err := c.Filter(text); err != nil {
			if want != "" {
				t.Errorf("%s: %v", text, err)
			}
			continue
		}
		_, err := c.Program().Evaluator().Passes(batch(), &connectors.Message{
			Subject: "a.CANARY", Key: []byte("CANARY"), Value: []byte(`{"a":"CANARY"}`), Headers: []connectors.Header{{Key: "secret", Value: []byte("CANARY")}},
		})
		if err == nil || strings.Contains(err.Error(), "CANARY") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

// TestLentMemory: what is kept of a message for the next is a copy. Sources write over the memory of a message that is
// done with, its subject's too, while the next is looked at.
func TestLentMemory(t *testing.T) {
	p, _ := program(t, `subject == "orders" && topic == "orders" && key == "orders" && headers["x"] == "orders"`)
	e := p.Evaluator()
	lent := []byte("orders")
	m := &connectors.Message{
		Subject: unsafe.String(&lent[0], len(lent)), Key: lent, Headers: []connectors.Header{{Key: "x", Value: lent}},
	}
	if passes, err := e.Passes(batch(), m); err != nil || !passes {
		t.Fatal(passes, err)
	}
	e.Reset()
	copy(lent, "//////")
	for _, name := range p.first {
		if kept := e.texts[name]; kept == nil || kept.text != "orders" || kept.value != any("orders") {
			t.Errorf("%s: %+v", name, kept)
		}
	}
}

// TestDrop: * stands for any characters, those that mean something to paths among them.
func TestDrop(t *testing.T) {
	for pattern, names := range map[string][]string{
		"internal*": {"internal", "internal/token", "internal/a/b", "internal-x"}, "*/token": {"a/token", "a/b/token"}, "a?b": {"a/b", "a.b"}, "a/b": {"a/b"}, "[^x]y": {"/y", "zy"},
	} {
		c := NewCompiler("r")
		if err := c.Drop(pattern); err != nil {
			t.Fatal(err)
		}
		m := &connectors.Message{Headers: []connectors.Header{{Key: "other"}}}
		for _, name := range names {
			m.Headers = append(m.Headers, connectors.Header{Key: name})
		}
		mapped, err := c.Program().Evaluator().Map(batch(), m)
		if err != nil || len(mapped.Headers) != 1 {
			t.Errorf("drop %q leaves %v, %v", pattern, mapped.Headers, err)
		}
	}
}

// TestLongHeaders: a header that is set is bounded where it is made of names, too: keys may have many megabytes.
func TestLongHeaders(t *testing.T) {
	for key, refused := range map[int]bool{maxText / 2: false, maxText/2 + 1: true, 1 << 20: true} {
		c := NewCompiler("r")
		if err := c.Set("map.headers.set.x", "x", "{{ key }}{{ key }}"); err != nil {
			t.Fatal(err)
		}
		e, m := c.Program().Evaluator(), message()
		m.Key = make([]byte, key)
		if _, err := e.Map(batch(), m); connectors.IsPermanent(err) != refused || e.Made() > maxText || cap(e.values) > 3*maxText {
			t.Errorf("a key of %d bytes: %v, %d made in %d", key, err, e.Made(), cap(e.values))
		}
	}
}
