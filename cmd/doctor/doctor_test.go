package doctor

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/sluice-bridge/sluice/bridge"
	"github.com/sluice-bridge/sluice/cmd/config"
	"github.com/sluice-bridge/sluice/connectors"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// chain is a connection and two things behind it. bad are the codes that fail; asked counts.
func chain(about string, bad []string, asked map[string]int) []connectors.Check {
	check := func(code string, connection bool, after ...string) connectors.Check {
		return connectors.Check{Code: code, About: about, Connection: connection, After: after, Ask: func(context.Context) []connectors.Finding {
			asked[code]++
			if slices.Contains(bad, code) {
				return connectors.Found(connectors.Failed, "mend "+code, "%s is broken", code)
			}
			return nil
		}}
	}
	return []connectors.Check{check("k.dns", true), check("k.tcp", true, "k.dns"), check("k.topic", false, "k.tcp"), check("k.rights", false, "k.topic"), check("k.group", false, "k.tcp")}
}

// walk asks and returns what is printed.
func walk(t *testing.T, w *Walk, ask func(*Walk)) string {
	t.Helper()
	var out strings.Builder
	print := Printer{W: &out}
	w.Timeout, w.Tell = time.Second, print.Tell
	ask(w)
	print.End()
	return out.String()
}

// The first failure explains itself, what depends on it is skipped and says why, and what does not is asked.
func TestWalkSkips(t *testing.T) {
	asked := map[string]int{}
	w := &Walk{}
	got := walk(t, w, func(w *Walk) {
		w.Chain(t.Context(), Place{End: "routes.a.source (f:1)"}, chain("orders", []string{"k.topic"}, asked))
	})
	want := `routes.a.source (f:1)
  ✓ k.dns                orders
  ✓ k.tcp                orders
  ✗ k.topic              orders
      k.topic is broken
      → mend k.topic
  ✓ k.group              orders
  - skipped, for k.topic has to be mended first: k.rights
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if want := (Summary{Passed: 3, Failed: 1, Skipped: 1}); w.Summary != want || w.Summary.String() != "3 passed · 1 failed · 1 skipped" {
		t.Errorf("%v", w.Summary)
	}
}

// A connection that two ends share is asked about once, at its own place; what it has broken is skipped at both.
func TestWalkAsksOnce(t *testing.T) {
	asked := map[string]int{}
	got := walk(t, &Walk{}, func(w *Walk) {
		for _, end := range []string{"a", "b"} {
			checks := chain("k", []string{"k.tcp"}, asked)
			checks[2].Connection = true
			w.Chain(t.Context(), Place{End: end, Connection: "connections.k"}, checks)
		}
	})
	if diff := cmp.Diff(map[string]int{"k.dns": 1, "k.tcp": 1}, asked); diff != "" {
		t.Error(diff)
	}
	if strings.Count(got, "✗ k.tcp") != 1 || strings.Count(got, "k.tcp has to be mended first: k.topic\n") != 1 ||
		strings.Count(got, "k.tcp has to be mended first: k.rights, k.group\n") != 2 || !strings.HasPrefix(got, "connections.k\n") {
		t.Error(got)
	}
}

// Two connections to the same place are asked both: the password of one may be wrong.
func TestWalkAsksEachConnection(t *testing.T) {
	asked := map[string]int{}
	got := walk(t, &Walk{}, func(w *Walk) {
		w.Chain(t.Context(), Place{Connection: "connections.a"}, chain("k", nil, asked)[:2])
		w.Chain(t.Context(), Place{Connection: "connections.b"}, chain("k", []string{"k.dns"}, asked)[:2])
	})
	if asked["k.dns"] != 2 || asked["k.tcp"] != 1 || !strings.Contains(got, "connections.b\n  ✗ k.dns") || !strings.Contains(got, "first: k.tcp\n") {
		t.Errorf("%v %s", asked, got)
	}
}

// Only asks what is named, or all of a kind, and what that depends on.
func TestWalkOnly(t *testing.T) {
	for only, want := range map[string][]string{
		"k.group": {"k.dns", "k.group", "k.tcp"}, "k": {"k.dns", "k.group", "k.rights", "k.tcp", "k.topic"}, "k.dns": {"k.dns"}, "x": nil,
	} {
		asked := map[string]int{}
		w := &Walk{Only: only}
		walk(t, w, func(w *Walk) { w.Chain(t.Context(), Place{}, chain("k", nil, asked)) })
		got := []string(nil)
		for code := range asked {
			got = append(got, code)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) || (only == "x") != (len(w.Unknown()) == 5) {
			t.Errorf("%s asks %v, want %v; unknown %v", only, got, want, w.Unknown())
		}
	}
}

// A check that does not end is ended.
func TestWalkTimeout(t *testing.T) {
	w := &Walk{Timeout: time.Millisecond, Tell: func(Result) {}}
	w.Chain(t.Context(), Place{}, []connectors.Check{{Code: "slow", About: "it", Ask: func(ctx context.Context) []connectors.Finding {
		<-ctx.Done()
		return connectors.Found(connectors.Failed, "", "%v", ctx.Err())
	}}})
	if w.Summary.Failed != 1 {
		t.Error(w.Summary)
	}
}

// What may come is compared with what is taken, beyond what headers make of it; where one is not known it is not.
func TestRoutesCompareSizes(t *testing.T) {
	limit := func(bytes int64) *connectors.Examination {
		return &connectors.Examination{Close: func(context.Context) {}, Largest: func() (connectors.Limit, bool) {
			return connectors.Limit{Bytes: bytes, Name: "the limit", Change: func(n int64) string { return "limit " + connectors.Size(n).String() }}, bytes > 0
		}}
	}
	for _, of := range []struct {
		source, sink int64
		want         string
	}{{1 << 20, 1 << 20, "passed"}, {1<<20 + 12, 1 << 20, "passed"}, {8 << 20, 1 << 20, "warning"}, {8 << 20, 0, ""}, {1 << 10, 1 << 20, "passed"}} {
		var subjects []string
		source := &connectors.SourceSpec{Subjects: []string{"orders"}, Examine: func(connectors.Env) (*connectors.Examination, error) { return limit(of.source), nil }}
		sink := &connectors.SinkSpec{Examine: func(_ connectors.Env, s []string) (*connectors.Examination, error) {
			subjects = s
			return limit(of.sink), nil
		}}
		cfg := &config.Config{
			Bridge: bridge.Config{Routes: []bridge.RouteConfig{{Name: "a", Source: source, Sink: sink}}},
			Ends:   []config.End{{Route: "a", Path: "routes.a.source", Source: source}, {Route: "a", Path: "routes.a.sink", Sink: sink}},
		}
		var got []Result
		w := &Walk{Timeout: time.Second, Tell: func(r Result) { got = append(got, r) }}
		if err := w.Routes(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
		level := ""
		if len(got) == 1 {
			level = string(got[0].Level)
		}
		if level != of.want || !slices.Equal(subjects, []string{"orders"}) {
			t.Errorf("%d to %d: %+v, want %s", of.source, of.sink, got, of.want)
		}
		if of.want == "warning" && got[0].Way != "limit 8196KiB; or smaller messages: limit 1020KiB" {
			t.Errorf("the way out is %s", got[0].Way)
		}
	}
}

// What a broker says neither moves the cursor nor fills the screen.
func TestWalkTellsPlainly(t *testing.T) {
	var got Result
	w := &Walk{Timeout: time.Second, Tell: func(r Result) { got = r }}
	w.Chain(t.Context(), Place{}, []connectors.Check{{Code: "k.dns", About: "k", Ask: func(context.Context) []connectors.Finding {
		return connectors.Found(connectors.Warning, "a\nb", "\x1b[2Jö\u202e%s", strings.Repeat("x", 1<<20))
	}}})
	if !strings.HasPrefix(got.Text, "?[2Jö?xx") || len(got.Text) > mostText+10 || got.Way != "a?b" {
		t.Errorf("%.40q (%d bytes), %q", got.Text, len(got.Text), got.Way)
	}
}
