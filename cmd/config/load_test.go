package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sluice-bridge/sluice/bridge"
	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/flowcontrol"
)

const whole = `
version: 1
admin: {listen: "off", token: "${TOKEN}"}
log: {level: debug, format: json}
shutdown: {drain: 3s}
connections:
  kafka-eu: {kafka: {brokers: ["${HOST:-localhost}:9092"], username: me, password: "p$w$${x}"}}
  nats-eu: {nats: {brokers: ["localhost:4222"]}}
defaults: &w {max_messages: 100}
`

// config reads text with the fakes and fails the test on findings.
func load(t *testing.T, text string, env map[string]string) *Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sluice.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Files(fakes(t), func(k string) (string, bool) { v, ok := env[k]; return v, ok }, path)
	var f Findings
	if errors.As(err, &f) {
		var all strings.Builder
		f.Print(&all)
		t.Fatal(all.String())
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestWholeFile(t *testing.T) {
	c := load(t, strings.Replace(whole, "defaults: &w {max_messages: 100}", `
routes:
  orders:
    source: {kafka: {topics: [orders], max_wait: 250ms}}
    sink: {jetstream: {connection: nats-eu, stream: ORDERS}}
    map: {subject: "orders.{{ key }}"}
    headers: none
    window: &w {max_messages: 100, max_bytes: 1MiB}
    retry: {initial: 1s}
    on_reject: dead_letter
    on_gap: halt
    dead_letter: {to: "kafka://localhost:9092/dead", map: {key: "{{ key }}"}}
    stale: {older_than: 24h, do: dead_letter}
  back:
    from: jetstream://a:1,b:2/ORDERS
    to: kafka://localhost:9092/orders
    window: {<<: *w, max_bytes: 2MiB, size: adaptive}
    on_reject: drop
    accept_loss: [max_deliver]
`, 1), map[string]string{"TOKEN": "123", "HOST": ""})

	want := Config{
		Admin: Admin{Listen: "off", Token: "123", Tap: TapMetadata}, Log: Log{"debug", "json"},
		Bridge: bridge.Config{Drain: 3 * time.Second},
	}
	if diff := cmp.Diff(want.Admin, c.Admin); diff != "" {
		t.Error(diff)
	}
	if c.Log != want.Log || c.Bridge.Drain != want.Bridge.Drain || len(c.Bridge.Routes) != 2 {
		t.Fatalf("%+v", c)
	}
	orders, back := c.Bridge.Routes[0], c.Bridge.Routes[1]
	if orders.Name != "orders" || orders.SourceName != "kafka" || orders.SinkName != "jetstream" || orders.Headers {
		t.Errorf("%+v", orders)
	}
	if orders.Window != (flowcontrol.Cost{Messages: 100, Bytes: 1 << 20}) || orders.Map.Subject.String() != "orders.{{ key }}" {
		t.Errorf("%+v", orders)
	}
	if orders.OnReject != bridge.DeadLetter || orders.DeadLetter == nil || orders.DeadLetterMap.Key == nil || !orders.HaltOnGap {
		t.Errorf("%+v", orders)
	}
	if orders.Stale != (bridge.Stale{OlderThan: 24 * time.Hour, DeadLetter: true}) || back.Stale.OlderThan != 0 {
		t.Errorf("%+v, %+v", orders.Stale, back.Stale)
	}
	if orders.Retry != (bridge.Retry{Initial: time.Second, Max: bridge.DefaultRetryMax}) {
		t.Errorf("%+v", orders.Retry)
	}
	// The fake's guarantee is its configuration: the connection first, the section over it.
	if g := orders.Source.Facts.Guarantee; !strings.Contains(g, "[localhost:9092] me p$w${x}") || !strings.Contains(g, "250ms") {
		t.Error(g)
	}
	// What a URL says is not mixed with a named connection.
	if g := back.Source.Facts.Guarantee; !strings.Contains(g, "[a:1 b:2]") || strings.Contains(g, "me") {
		t.Error(g)
	}
	if orders.Adaptive || !back.Adaptive {
		t.Errorf("adaptive: %t by default, %t if adaptive", orders.Adaptive, back.Adaptive)
	}
	if back.Window != (flowcontrol.Cost{Messages: 100, Bytes: 2 << 20}) || back.OnReject != bridge.Drop || !back.Headers {
		t.Errorf("%+v", back)
	}
}

// TestMapping: what a filter and a map are compiled to, and that names alone stay the sinks'.
func TestMapping(t *testing.T) {
	c := load(t, `
routes:
  orders:
    from: kafka://localhost:9092/orders
    to: jetstream://localhost:4222/ORDERS
    filter: headers["env"] == "prod"
    map:
      subject: 'orders.{{ headers["region"] ?? "eu" }}.{{ key }}'
      headers: {drop: ["x-internal-*"], set: {bridge: "{{ route }}", n: 5}, rename: {old: new}}
  back:
    from: jetstream://localhost:4222/BACK
    to: kafka://localhost:9092/back
    map: {key: "{{ subject }}", partition: 3}
  always:
    from: kafka://localhost:9092/always
    to: jetstream://localhost:4222/ALWAYS
    filter: true
`, nil)
	orders, back, always := c.Bridge.Routes[0], c.Bridge.Routes[1], c.Bridge.Routes[2]
	if back.Transform != nil || back.Map.Partition.String() != "3" || always.Transform.Filter() != "true" {
		t.Errorf("%+v, %+v", back, always)
	}
	if h, want := orders.Transform.Headers(), "drop x-internal-*, rename 1, set bridge {{ route }}, set n 5"; h != want || orders.Transform.Filter() != `headers["env"] == "prod"` {
		t.Errorf("%q, %q", h, orders.Transform.Filter())
	}
	m := &connectors.Message{Key: []byte("k"), Headers: []connectors.Header{
		{Key: "env", Value: []byte("prod")}, {Key: "x-internal-id", Value: []byte("1")}, {Key: "old", Value: []byte("o")},
	}}
	e, b := orders.Transform.Evaluator(), &connectors.Batch{Partition: "orders/0"}
	passes, err := e.Passes(b, m)
	mapped, err2 := e.Map(b, m)
	if !passes || err != nil || err2 != nil {
		t.Fatal(passes, err, err2)
	}
	subject := orders.Map.Subject.Append(nil, b, &mapped, func(dst []byte, _ string, value []byte) []byte { return append(dst, value...) })
	want := []connectors.Header{{Key: "env", Value: []byte("prod")}, {Key: "new", Value: []byte("o")}, {Key: "bridge", Value: []byte("orders")}, {Key: "n", Value: []byte("5")}}
	if diff := cmp.Diff(want, mapped.Headers); diff != "" || string(subject) != "orders.eu.k" {
		t.Errorf("%q\n%s", subject, diff)
	}
}

func TestSeveralFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	a := write("a.yaml", "connections: {k: {kafka: {brokers: [\"a:1\"]}}}\nlog: {level: warn}\n")
	b := write("b.yaml", "routes: {r: {source: {kafka: {topics: [x]}}, to: \"jetstream://h:1/S\"}}\n")
	c, err := Files(fakes(t), nil, a, b)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Bridge.Routes) != 1 || c.Log.Level != "warn" {
		t.Errorf("%+v", c)
	}
	twice := write("c.yaml", "log: {level: info}\nconnections: {k: {kafka: {brokers: [\"b:1\"]}}}\nroutes: {r: {}}\n")
	_, err = Files(fakes(t), nil, a, b, twice)
	var f Findings
	if !errors.As(err, &f) || len(f) != 3 {
		t.Fatalf("%v", err)
	}
	for _, one := range f {
		if one.Code != codeDuplicate || one.File != twice {
			t.Errorf("%+v", one)
		}
	}
	if _, err := Files(fakes(t), nil, filepath.Join(dir, "none.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func TestURLs(t *testing.T) {
	c, err := URLs(fakes(t), Pair{From: "kafka://h1:9092,h2:9092/shop.orders", To: "jetstream://h:4222/ORDERS"})
	if err != nil || c.Bridge.Routes[0].Name != "shop-orders" || c.Admin.Listen != DefaultListen {
		t.Fatalf("%+v, %v", c, err)
	}
	_, err = URLs(fakes(t), Pair{From: "nats://h:1/s", To: "nowhere"})
	var f Findings
	if !errors.As(err, &f) || len(f) != 2 || f[0].File != "command line" {
		t.Fatalf("%v", err)
	}
	if c, err := URLs(fakes(t), Pair{From: "nats://h:1/s", To: "kafka://h:1/t", AcceptLoss: []string{"core_source"}}); err != nil {
		t.Errorf("%v, %v", c, err)
	}
}

// TestPlaceholderText: whatever an environment variable holds, it is text in one value.
func TestPlaceholderText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.String().Draw(t, "value")
		for _, form := range []string{`${V}`, `"${V}"`, `'${V}'`} {
			text := "admin:\n  token: " + form + "\nroutes: {r: {from: \"kafka://h:1/t\", to: \"jetstream://h:1/S\"}}\n"
			r := newReader(testRegistry)
			vars := Placeholders{Env: func(string) (string, bool) { return value, true }}
			c, err := r.read([]*document{parse(&r.lint, "x", []byte(text), vars)})
			if err != nil {
				t.Fatalf("%s: %v", form, err)
			}
			if c.Admin.Token != value || len(c.Bridge.Routes) != 1 {
				t.Fatalf("%s: %q became %q", form, value, c.Admin.Token)
			}
		}
	})
}

// TestTwoWay: two routes may lead back and forth, also several pairs; a circle of pairs is a circle.
func TestTwoWay(t *testing.T) {
	const pairs = `
routes:
  ab: {from: "kafka://h:1/a", to: "jetstream://h:2/B"}
  ba: {from: "jetstream://h:2/B", to: "kafka://h:1/a"}
  bc: {from: "jetstream://h:2/B", to: "kafka://h:1/c"}
  cb: {from: "kafka://h:1/c", to: "jetstream://h:2/B"}
  else: {from: "kafka://h:1/a", to: "kafka://other:1/a"}
`
	c := load(t, pairs, nil)
	got := map[string]string{}
	for _, r := range c.Bridge.Routes {
		got[r.Name] = r.WayBack
	}
	want := map[string]string{"ab": "ba", "ba": "ab", "bc": "cb", "cb": "bc", "else": ""}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	const third = `  ca: {from: "kafka://h:1/c", to: "kafka://h:1/a"%[1]s}
  ac: {from: "kafka://h:1/a", to: "kafka://h:1/c"%[1]s}
`
	_, err := Text(fakes(t), "x", pairs+fmt.Sprintf(third, ""))
	var f Findings
	if !errors.As(err, &f) || len(f) == 0 || f[0].Code != codeLoop {
		t.Errorf("a triangle of two-way bridges: %v", err)
	}
	hops := strings.ReplaceAll(pairs, "}", ", max_hops: 3}") + fmt.Sprintf(third, ", max_hops: 3")
	if c, err = Text(fakes(t), "x", hops); err != nil || c.Bridge.Routes[0].MaxHops != 3 {
		t.Errorf("a triangle with max_hops: %v", err)
	}
}

// TestSecretsOfFiles: a secret that is what a file holds is read there again, wherever it stands; what
// else a file holds, and half a secret, is read once.
func TestSecretsOfFiles(t *testing.T) {
	type inner struct {
		Password connectors.Secret `yaml:"password"`
	}
	type outer struct {
		inner  `yaml:",inline"`
		Plain  string            `yaml:"plain"`
		Half   connectors.Secret `yaml:"half"`
		Typed  connectors.Secret `yaml:"typed"`
		Empty  connectors.Secret `yaml:"empty"`
		Nested *struct {
			Token connectors.Secret `yaml:"token"`
		} `yaml:"nested"`
	}
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("p", "one\n")
	write("none", "")
	r := newReader(testRegistry)
	d := parse(&r.lint, "x", []byte("password: ${file:p}\nplain: '${file:p}'\nhalf: a${file:p}\ntyped: word\nempty: ${file:none}\nnested: {token: \"${file:p}\"}\n"), Placeholders{Dir: dir})
	var got outer
	r.decode(section{doc: d, key: d.root, value: d.root}, &got)
	if err := r.err(); err != nil {
		t.Fatal(err)
	}
	if got.Plain != "one" || got.Empty != "" {
		t.Errorf("%+v", got)
	}
	write("p", "two")
	for what, s := range map[string]connectors.Secret{"two": got.Password, "aone": got.Half, "word": got.Typed} {
		if now, err := s.Reveal(); now != what || err != nil {
			t.Errorf("%q, %v; want %q", now, err, what)
		}
	}
	if now, err := got.Nested.Token.Reveal(); now != "two" || err != nil {
		t.Errorf("%q, %v", now, err)
	}
}

var testRegistry = fakes(failer{})

// failer lets the registry be built outside of a test.
type failer struct{ testing.TB }

func (failer) Helper()           {}
func (failer) Fatal(args ...any) { panic(args) }

// FuzzFiles: no text makes the loader panic or accept a route without two ends.
func FuzzFiles(f *testing.F) {
	seeds, _ := filepath.Glob("testdata/*.yaml")
	for _, seed := range seeds {
		data, err := os.ReadFile(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(whole))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := newReader(testRegistry)
		vars := Placeholders{Env: func(string) (string, bool) { return "x", true }, Dir: "testdata"}
		c, err := r.read([]*document{parse(&r.lint, "fuzz", data, vars)})
		var findings Findings
		switch {
		case errors.As(err, &findings):
			findings.Print(&strings.Builder{})
			for _, one := range findings {
				if one.Line < 1 || one.Column < 1 || one.Text == "" {
					t.Fatalf("%+v", one)
				}
			}
		case err != nil:
			t.Fatal(err)
		default:
			for _, route := range c.Bridge.Routes {
				if route.Source == nil || route.Sink == nil || route.Name == "" {
					t.Fatalf("%+v", route)
				}
			}
		}
	})
}
