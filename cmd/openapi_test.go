package cmd

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"github.com/sluice-bridge/sluice/bridge"
	"github.com/sluice-bridge/sluice/flowcontrol"
	"github.com/sluice-bridge/sluice/telemetry"
	"github.com/sluice-bridge/sluice/telemetry/web"
)

// described is openapi.yaml.
func described(t *testing.T) (file map[string]any) {
	t.Helper()
	text, err := os.ReadFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	return file
}

// contract is a schema of openapi.yaml.
func contract(t *testing.T, name string) *jsonschema.Schema {
	t.Helper()
	file := described(t)
	plain, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(plain)))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("openapi.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("openapi.json#/components/schemas/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func holds(t *testing.T, s *jsonschema.Schema, what, body string) {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(body))
	if err == nil {
		err = s.Validate(doc)
	}
	if err != nil {
		t.Errorf("%s: %v\n%s", what, err, body)
	}
}

// fill sets everything in v to something that is not zero.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Date(2026, 11, 29, 10, 0, 0, 0, time.UTC)))
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i))
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i))
		}
	case reflect.String:
		v.SetString("text")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Uint8, reflect.Uint64:
		v.SetUint(1)
	case reflect.Float64:
		v.SetFloat(1.5)
	}
}

// What the daemon answers is what openapi.yaml says: nothing is missing there, nothing has another name.
func TestOpenAPI(t *testing.T) {
	status, readiness := contract(t, "Status"), contract(t, "Readiness")
	full := telemetry.ProcessStatus{}
	fill(reflect.ValueOf(&full).Elem())
	for state := range flowcontrol.NumStates {
		for blocker := range flowcontrol.NumBlockers {
			r := &full.Routes[0]
			r.State, r.Blocker = flowcontrol.State(state), flowcontrol.Blocker(blocker)
			a := &admin{routes: fakeRoutes(full.Routes), metrics: http.NotFoundHandler(), instance: "box-1", started: full.Started, traceURL: "http://x/{trace_id}"}
			holds(t, status, "a full status", ask(a, http.MethodGet, "/status", "127.0.0.1:4280", nil).Body.String())
			holds(t, readiness, "a readiness", ask(a, http.MethodGet, "/readyz", "127.0.0.1:4280", nil).Body.String())
		}
	}
	text, err := json.Marshal(full)
	if err != nil {
		t.Fatal(err)
	}
	holds(t, status, "a full status", string(text))
	empty := &admin{routes: fakeRoutes(nil), metrics: http.NotFoundHandler()}
	holds(t, status, "an empty status", ask(empty, http.MethodGet, "/status", "127.0.0.1:4280", nil).Body.String())

	wrong := strings.Replace(string(text), `"lag_known"`, `"lagknown"`, 1)
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(wrong))
	if err != nil || status.Validate(doc) == nil {
		t.Error("another name is not noticed")
	}
}

// What is answered is described, and nothing else: every path and method but the page's.
func TestOpenAPIPaths(t *testing.T) {
	var have, want []string
	for pattern := range (&admin{metrics: http.NotFoundHandler()}).answers() {
		if pattern != "GET /{$}" && pattern != "GET /assets/" {
			have = append(have, pattern)
		}
	}
	for path, methods := range described(t)["paths"].(map[string]any) {
		for method := range methods.(map[string]any) {
			if method != "parameters" {
				want = append(want, strings.ToUpper(method)+" "+path)
			}
		}
	}
	slices.Sort(have)
	slices.Sort(want)
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("described, but answered:\n%s", diff)
	}
}

// What is asked for and answered beside the status is what openapi.yaml says, each field of it.
func TestOpenAPIOrders(t *testing.T) {
	who := operator{Who: "ann@desk", Why: "because"}
	for schema, one := range map[string]any{
		"PauseOrder": &pauseOrder{operator: who}, "PauseAnswer": &pauseAnswer{},
		"ResumeOrder": &resumeOrder{operator: who}, "ResumeAnswer": &resumeAnswer{},
		"PositionOrder": &positionOrder{operator: who}, "PositionAnswer": &positionAnswer{}, "Tapped": &tapLine{},
		"LimitOrder": &limitOrder{operator: who}, "LimitAnswer": &limitAnswer{},
	} {
		fill(reflect.ValueOf(one).Elem())
		if line, ok := one.(*tapLine); ok {
			line.Message.Stage = bridge.StageRejected
		}
		text, err := json.Marshal(one)
		if err != nil {
			t.Fatal(err)
		}
		holds(t, contract(t, schema), schema, string(text))
	}
	a := &admin{routes: fakeRoutes{{Route: "a"}}, metrics: http.NotFoundHandler()}
	for path, c := range map[string]struct{ body, schema string }{
		"/routes/a/pause":    {`{"why": "the stream moves"}`, "PauseAnswer"},
		"/routes/a/limit":    {`{"messages": "5/s", "bytes": "none"}`, "LimitAnswer"},
		"/routes/a/resume":   {``, "ResumeAnswer"},
		"/routes/a/position": {`{"to": "earliest"}`, "PositionAnswer"},
	} {
		w := ask(a, http.MethodPost, path, "127.0.0.1:4280", func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(c.body)) })
		if w.Code != http.StatusOK {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
		holds(t, contract(t, c.schema), path, w.Body.String())
	}
}

// A running daemon's answers are what the file says, and the file is served.
func TestOpenAPIOfADaemon(t *testing.T) {
	r, ctx := newRig(t), soon(t)
	r.put(100)
	code := r.start(ctx, bridged...)
	address, _, _ := strings.Cut(r.stderr.await(ctx, t, `"address":"`), `"`)
	if err := r.to.AwaitWritten(ctx, 100); err != nil {
		t.Fatal(err)
	}
	cl := &client{url: address}
	for path, schema := range map[string]string{"/status": "Status", "/readyz": "Readiness"} {
		body, err := cl.get(ctx, path)
		if err != nil {
			t.Fatal(err)
		}
		holds(t, contract(t, schema), path, string(body))
	}
	for path, want := range map[string]string{"/openapi.yaml": "openapi: 3.1.0", "/livez": "ok", "/": "<title>Sluice</title>"} {
		if body, err := cl.get(ctx, path); err != nil || !strings.Contains(string(body), want) {
			t.Errorf("%s: %v %.100s", path, err, body)
		}
	}
	r.signals <- syscall.SIGTERM
	if c := await(ctx, t, code); c != 0 {
		t.Errorf("exit code %d: %s", c, r.stderr)
	}
}

// A loop that stands makes the process not live; one that has not begun does not.
func TestLive(t *testing.T) {
	a := &admin{routes: fakeRoutes{}, metrics: http.NotFoundHandler()}
	a.feed = web.NewFeed(a.read)
	for ago, want := range map[time.Duration]int{0: 200, 25 * time.Second: 200, 40 * time.Second: 503} {
		a.turned.Store(0)
		if ago > 0 {
			a.turned.Store(time.Now().Add(-ago).Unix())
		}
		if w := ask(a, http.MethodGet, "/livez", "192.0.2.1:1", nil); w.Code != want {
			t.Errorf("%s ago: %d %s", ago, w.Code, w.Body)
		}
	}
}
