package config

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

// TestSet: a flag wins over the files, wherever what it sets stands, and makes what is not there.
func TestSet(t *testing.T) {
	dir := filesOf(t, map[string]string{
		"sluice.yaml": "include: [b.yaml]\nadmin: {listen: \"off\"}\ndefaults: {retry: {initial: 1s}}\n" + called("a", route),
		"b.yaml":      called("b", route),
	})
	file := Given{Files: []string{filepath.Join(dir, "sluice.yaml")}}
	c, findings := said(t, dir, Given{Files: file.Files, Set: []string{
		"routes.b.window.max_messages=5", "routes.a.map.subject={{ key }}.x", "routes.b.sink.jetstream.brokers=[\"n:2\", \"n:3\"]",
		"defaults.retry.initial=2s", "shutdown.drain=3s", "log={level: debug}", "routes.b.retry.max=9s", "admin.token=CANARY1",
		"routes.c.from=kafka://k:1/c", "routes.c.to=jetstream://n:1/C",
	}})
	if findings != "" {
		t.Fatal(findings)
	}
	a, b := c.Bridge.Routes[0], c.Bridge.Routes[2]
	if len(c.Bridge.Routes) != 3 || b.Name != "b" || b.Window.Messages != 5 || a.Map.Subject == nil || a.Map.Subject.String() != "{{ key }}.x" ||
		a.Retry.Initial.Seconds() != 2 || b.Retry.Max.Seconds() != 9 || b.Retry.Initial.Seconds() != 2 || c.Bridge.Drain.Seconds() != 3 ||
		c.Log.Level != "debug" || c.Admin.Token != "CANARY1" || c.Admin.Listen != "off" || !strings.Contains(b.Sink.Facts.Guarantee, "n:2 n:3") {
		t.Errorf("%+v", c)
	}
	if strings.Contains(c.Redacted, "CANARY") {
		t.Error(c.Redacted)
	}
	before, _ := said(t, dir, file)
	if before.Bridge.Routes[1].Digest == b.Digest {
		t.Error("what a flag changes is no change")
	}
}

// TestWrongSets: findings point at the flag, and show no secret.
func TestWrongSets(t *testing.T) {
	dir := filesOf(t, map[string]string{"sluice.yaml": called("a", route)})
	for flag, want := range map[string]string{
		"routes.a.window.max_mesages=4":                          `command line:1:23: unknown key "max_mesages" in routes.a.window`,
		"routes.a.window.max_messages=many":                      `command line:1:36: "many" is not a whole number`,
		"routes.a.window.max_messages=0":                         "command line:1:36: max_messages is 0",
		"routes.o.window.max_messages=4":                         "command line:1:14: routes.o has no source",
		"routes.a":                                               "command line:1:7: a flag --set has to be a path of keys, = and a value",
		"routes..b=1":                                            "a flag --set has to be a path of keys, = and a value",
		"routes.a.source.kafka.topics.0=b":                       "routes.a.source.kafka.topics holds no keys",
		"routes.a.source.kafka.topics=[b":                        "command line:1:36: this is not a list or a mapping",
		"routes.a.source.kafka.topics=b":                         `command line:1:36: "b" is not a list`,
		"include=[x]":                                            "include cannot be set",
		"routes.a.source.kafka.pin=${NONE}":                      "the environment variable NONE is not set",
		"routes.a.source.kafka.passwort=CANARY":                  "command line:1:29: unknown key \"passwort\"",
		"telemetry.headers.x=CANARY and telemetry.nothing=1":     "unknown key \"nothing\"",
		"telemetry.headers={x: CANARY}":                          "",
		"telemetry={headers: {x: CANARY}, nothing: 1}":           `unknown key "nothing" in telemetry`,
		"telemetry={headers: {x: CANARY}":                        "command line:1:17: this is not a list or a mapping",
		"routes.a.source.kafka={pin: CANARY, topics: [a], b: 1}": "command line:1:56: unknown key \"b\"",
		"routes.a.from=kafka://me:CANARY@k:1/t":                  "",
	} {
		sets := strings.Split(flag, " and ")
		_, got := said(t, dir, Given{Files: []string{filepath.Join(dir, "sluice.yaml")}, Set: sets})
		if !strings.Contains(got, want) || want == "" != (got == "") && !strings.HasPrefix(flag, "routes.a.from") {
			t.Errorf("%s: no %q in\n%s", flag, want, got)
		}
		if strings.Contains(got, "CANARY") {
			t.Errorf("%s: a secret is shown:\n%s", flag, got)
		}
	}
}

// TestSetOfAPair: flags go over --from and --to as well.
func TestSetOfAPair(t *testing.T) {
	c, err := Read(fakes(t), nil, Given{Pair: Pair{From: "kafka://k:1/orders", To: "jetstream://n:1/ORDERS"}, Set: []string{"routes.orders.window.max_messages=7"}})
	if err != nil || c.Bridge.Routes[0].Window.Messages != 7 {
		t.Errorf("%v", err)
	}
}

// FuzzSet: whatever is set, reading ends, and every finding has a place.
func FuzzSet(f *testing.F) {
	for _, flag := range []string{"routes.a.window.max_messages=4", "a.b={a: [b, {c: d}]}", "=", "routes={{ x", "defaults.window=[&a [*a]]", "routes.orders={<<: {from: x}}"} {
		f.Add(flag)
	}
	f.Fuzz(func(t *testing.T, flag string) {
		_, err := Read(fakes(t), nil, Given{Pair: Pair{From: "kafka://k:1/orders", To: "jetstream://n:1/ORDERS"}, Set: []string{flag}})
		var findings Findings
		if err != nil && !errors.As(err, &findings) {
			t.Fatal(err)
		}
		for _, one := range findings {
			if one.File != "command line" || one.Line < 1 || one.Line > 8 {
				t.Errorf("%+v", one)
			}
		}
	})
}
