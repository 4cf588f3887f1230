package config

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-bridge/sluice/bridge"
)

// filesOf makes a directory of files.
func filesOf(t *testing.T, files map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// said reads a configuration and returns its findings as people see them, without the directory.
func said(t *testing.T, dir string, g Given) (c *Config, findings string) {
	t.Helper()
	c, err := Read(fakes(t), func(string) (string, bool) { return "", false }, g)
	var f Findings
	if err != nil && !errors.As(err, &f) {
		t.Fatal(err)
	}
	var all strings.Builder
	f.Print(&all)
	return c, strings.ReplaceAll(all.String(), dir+"/", "")
}

const (
	route  = "routes: {NAME: {source: {kafka: {topics: [NAME], brokers: [\"k:1\"]}}, sink: {jetstream: {stream: S, brokers: [\"n:1\"]}}}}\n"
	broken = "routes: {NAME: {source: {kafka: {topics: [NAME], brokers: [\"k:1\"]}}, sink: {jetstream: {stream: S, brokers: [\"n:1\"]}}, window: {max_mesages: 1}}}\n"
)

func called(name, text string) string { return strings.ReplaceAll(text, "NAME", name) }

func TestInclude(t *testing.T) {
	files := map[string]string{
		"sluice.yaml": "include: [conf.d/*.yaml, more.yaml, \"conf.d/b*\"]\n" + called("a", route), "more.yaml": called("more", route),
		"conf.d/b.yaml": called("b", route), "conf.d/c.yaml": called("c", route), "conf.d/.#c.yaml": "nonsense", "conf.d/c.txt": "nonsense",
	}
	dir := filesOf(t, files)
	g := Given{Files: []string{filepath.Join(dir, "sluice.yaml")}}
	c, findings := said(t, dir, g)
	if findings != "" {
		t.Fatal(findings)
	}
	var names []string
	for _, r := range c.Bridge.Routes {
		names = append(names, r.Name)
	}
	if diff := cmp.Diff([]string{"a", "b", "c", "more"}, names); diff != "" {
		t.Error(diff)
	}
	watched := func() (names []string) {
		for _, path := range c.Watched() {
			name, err := filepath.Rel(dir, path)
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, name)
		}
		return names
	}
	if err := os.WriteFile(filepath.Join(dir, "conf.d/d.yaml"), []byte(called("d", route)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "conf.d/b.yaml")); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"conf.d/b.yaml", "conf.d/c.yaml", "conf.d/d.yaml", "more.yaml", "sluice.yaml"}, watched()); diff != "" {
		t.Error("what has come and what is gone:", diff)
	}
}

// TestWrongIncludes: what is wrong is told at its place, in the file where it stands.
func TestWrongIncludes(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  []string
	}{
		"nested": {
			map[string]string{"sluice.yaml": "include: [b.yaml]\n" + called("a", route), "b.yaml": "include: [sluice.yaml]\n" + called("b", route)},
			[]string{"b.yaml:1:1: a file that is included includes others", "include it from the file that -c names"},
		},
		"nothing there": {
			map[string]string{"sluice.yaml": "include: [conf.d/*.yaml, b.yaml]\n" + called("a", route)},
			[]string{"sluice.yaml:1:26: there is no file b.yaml"},
		},
		"a name twice": {
			map[string]string{"sluice.yaml": "include: [b.yaml]\n" + called("a", route), "b.yaml": "# b\n" + called("a", route)},
			[]string{`b.yaml:2:10: the route "a" stands twice`, "it stands in sluice.yaml:2 already"},
		},
		"a section twice": {
			map[string]string{"sluice.yaml": "include: [b.yaml]\nlog: {level: info}\n" + called("a", route), "b.yaml": "log: {level: info}\n"},
			[]string{`b.yaml:1:1: the section "log" stands in two files`, "sluice.yaml:2 already"},
		},
		"no list": {
			map[string]string{"sluice.yaml": "include: b.yaml\n" + called("a", route), "b.yaml": called("b", route)},
			[]string{`sluice.yaml:1:10: "b.yaml" is not a list`, "write [b.yaml]"},
		},
		"no pattern": {
			map[string]string{"sluice.yaml": "include: [\"a[\", {a: b}]\n" + called("a", route)},
			[]string{`sluice.yaml:1:11: "a[" is not a pattern`, "sluice.yaml:1:17: "},
		},
		"a typo in one": {
			map[string]string{"sluice.yaml": "include: [b.yaml]\n" + called("a", route), "b.yaml": called("b", broken)},
			[]string{`b.yaml:1:123: unknown key "max_mesages" in routes.b.window`, "  1 | routes: {b:"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filesOf(t, c.files)
			_, got := said(t, dir, Given{Files: []string{filepath.Join(dir, "sluice.yaml")}})
			for _, want := range c.want {
				if !strings.Contains(got, want) {
					t.Errorf("no %q in\n%s", want, got)
				}
			}
		})
	}
}

// TestIncludesItself: a pattern that the file itself fits does not read it twice, however it was named.
func TestIncludesItself(t *testing.T) {
	dir := filesOf(t, map[string]string{"sluice.yaml": "include: [\"*.yaml\"]\n" + called("a", route), "b.yaml": called("b", route)})
	t.Chdir(dir)
	for _, name := range []string{"sluice.yaml", "./sluice.yaml", dir + "//sluice.yaml"} {
		if c, findings := said(t, dir, Given{Files: []string{name}}); findings != "" || len(c.Bridge.Routes) != 2 {
			t.Errorf("%s:\n%s", name, findings)
		}
	}
}

// TestTooManyIncludes: they are refused, and are not looked at any further.
func TestTooManyIncludes(t *testing.T) {
	files := map[string]string{"sluice.yaml": "include: [\"*.d/*.yaml\"]\n" + called("a", route)}
	for i := range 2 * maxIncluded {
		files["x.d/"+strconv.Itoa(i)+".yaml"] = called("r"+strconv.Itoa(i), route)
	}
	dir := filesOf(t, files)
	if _, got := said(t, dir, Given{Files: []string{filepath.Join(dir, "sluice.yaml")}}); !strings.Contains(got, "sluice.yaml:1:11: this is more than 256 files") {
		t.Error(got)
	}
	if n := len(matches(filepath.Join(dir, "x.d/*.yaml"))); n != maxIncluded+1 {
		t.Errorf("%d files are looked at", n)
	}
}

// TestDefaults: a route has what they say, unless it says otherwise; of window, limit and retry key by key.
func TestDefaults(t *testing.T) {
	dir := filesOf(t, map[string]string{
		"sluice.yaml": `include: [b.yaml]
defaults:
  window: {max_messages: 100, max_bytes: 1MiB, size: adaptive}
  retry: {initial: 1s}
  limit: {messages: 7/s}
  headers: none
  on_gap: halt
  on_reject: dead_letter
  dead_letter: {sink: {jetstream: {stream: DEAD, brokers: ["n:1"]}}}
  max_hops: 3
` + called("a", route),
		"b.yaml": `routes:
  b:
    source: {kafka: {topics: [b], brokers: ["k:1"]}}
    sink: {jetstream: {stream: S, brokers: ["n:1"]}}
    window: {max_messages: 5}
    limit: {bytes: 1MiB/s}
    headers: default
    on_gap: continue
    on_reject: drop
`,
	})
	c, findings := said(t, dir, Given{Files: []string{filepath.Join(dir, "sluice.yaml")}})
	if findings != "" {
		t.Fatal(findings)
	}
	a, b := c.Bridge.Routes[0], c.Bridge.Routes[1]
	if a.Window.Messages != 100 || a.Window.Bytes != 1<<20 || !a.Adaptive || a.Retry.Initial != time.Second || a.Retry.Max != bridge.DefaultRetryMax ||
		a.Limit != (bridge.Limit{Messages: 7}) || a.Headers || !a.HaltOnGap || a.OnReject != bridge.DeadLetter || a.DeadLetter == nil || a.MaxHops != 3 {
		t.Errorf("%+v", a)
	}
	if b.Window.Messages != 5 || b.Window.Bytes != 1<<20 || !b.Adaptive || b.Limit != (bridge.Limit{Messages: 7, Bytes: 1 << 20}) || !b.Headers || b.HaltOnGap ||
		b.OnReject != bridge.Drop || b.DeadLetter == nil {
		t.Errorf("%+v", b)
	}
}

// TestWrongDefaults: it is told once, where they stand.
func TestWrongDefaults(t *testing.T) {
	for defaults, want := range map[string]string{
		"window: {max_mesages: 1}":   `sluice.yaml:1:21: unknown key "max_mesages" in defaults.window`,
		"window: {max_messages: -1}": "sluice.yaml:1:35: max_messages is -1",
		"on_gap: stop":               `sluice.yaml:1:20: "stop" is not what can happen at a gap`,
		"source: {kafka: {}}":        `"source" is each route's own`,
		"on_reject: dead_letter":     "sluice.yaml:1:23: on_reject: dead_letter has no target",
		"on_reject: dead":            "sluice.yaml:1:23: this is not what can happen to a refused message",
		"dead_letter: {sink: {jetstream: {brokers: [\"n:1\"]}}}": "sluice.yaml:1:33: routes.a.dead_letter.sink.jetstream.stream: is required",
		"stale: {older_than: 1h}":                                "sluice.yaml:1:12: stale does not say what to do",
	} {
		dir := filesOf(t, map[string]string{"sluice.yaml": "defaults: {" + defaults + "}\ninclude: [b.yaml]\n", "b.yaml": called("a", route)})
		_, got := said(t, dir, Given{Files: []string{filepath.Join(dir, "sluice.yaml")}})
		if !strings.Contains(got, want) || !strings.Contains(got, "    1 | defaults: {"+defaults[:5]) {
			t.Errorf("%s: no %q in\n%s", defaults, want, got)
		}
		if lines := strings.Count(got, "(config."); lines != 1 && !slices.Contains([]string{"source: {kafka: {}}"}, defaults) {
			t.Errorf("%s: told %d times:\n%s", defaults, lines, got)
		}
	}
}
