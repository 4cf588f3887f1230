package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/sluice-bridge/sluice/bridge"
	"github.com/sluice-bridge/sluice/flowcontrol"
	"github.com/sluice-bridge/sluice/telemetry"
	"github.com/sluice-bridge/sluice/telemetry/web"
)

type fakeRoutes []telemetry.RouteStatus

func (f fakeRoutes) Status() []telemetry.RouteStatus { return f }
func (f fakeRoutes) Positions(context.Context, string) ([]bridge.PositionStatus, error) {
	return nil, nil
}

func (f fakeRoutes) SetPosition(_ context.Context, _ string, order bridge.PositionOrder) ([]bridge.PositionMove, error) {
	if order.To == "" {
		return nil, errors.New("no")
	}
	return []bridge.PositionMove{{Partition: "a/0", Before: 7}}, nil
}

func (f fakeRoutes) Tap(string, bool, ...string) (*bridge.Tap, error) { return nil, errors.New("no") }

func (f fakeRoutes) SetLimit(string, bridge.LimitOrder) (bridge.Limit, error) {
	return bridge.Limit{Messages: 5}, nil
}

func (f fakeRoutes) Pause(string, bridge.Operator) error { return nil }

func (f fakeRoutes) Resume(_ string, how bridge.Resume) (*bridge.Resumed, error) {
	if how.Skip {
		return nil, errors.New("route is not halted")
	}
	return &bridge.Resumed{Paused: &telemetry.PauseStatus{Who: "ann", Why: "because"}}, nil
}

// ask sends a request as if it came to the local address.
func ask(a *admin, method, path, local string, edit func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://127.0.0.1:4280"+path, nil)
	address, _ := net.ResolveTCPAddr("tcp", local)
	r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, net.Addr(address)))
	if edit != nil {
		edit(r)
	}
	w := httptest.NewRecorder()
	a.handler().ServeHTTP(w, r)
	return w
}

// TestAccess: beyond the loopback interface only what probes and scrapers need is answered without the
// token, and a web page in the operator's browser gets nothing.
func TestAccess(t *testing.T) {
	const here, there = "127.0.0.1:4280", "192.0.2.1:4280"
	token := func(text string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+text) }
	}
	basic := func(text string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth("anyone", text) }
	}
	body := func(text string) func(*http.Request) {
		return func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(text)) }
	}
	host := func(name string) func(*http.Request) { return func(r *http.Request) { r.Host = name } }
	for _, c := range []struct {
		name                string
		configured          string
		method, path, local string
		edit                func(*http.Request)
		want                int
	}{
		{"livez from afar", "", "GET", "/livez", there, nil, 200},
		{"readyz from afar", "", "GET", "/readyz", there, nil, 200},
		{"metrics from afar", "", "GET", "/metrics", there, nil, 200},
		{"status here", "", "GET", "/status", here, nil, 200},
		{"status by name", "", "GET", "/status", here, host("localhost:4280"), 200},
		{"status by a rebound name", "", "GET", "/status", here, host("evil.example:4280"), 403},
		{"status from afar", "", "GET", "/status", there, nil, 403},
		{"status from afar, token not configured", "", "GET", "/status", there, token(""), 403},
		{"status from afar with token", "s3cret", "GET", "/status", there, token("s3cret"), 200},
		{"status from afar with a wrong token", "s3cret", "GET", "/status", there, token("s3cre"), 401},
		{"status here without the token", "s3cret", "GET", "/status", here, nil, 401},
		{"resume from afar", "", "POST", "/routes/a/resume", there, nil, 403},
		{"resume here", "", "POST", "/routes/a/resume", here, nil, 200},
		{"resume that is refused", "", "POST", "/routes/a/resume", here, body(`{"skip": true}`), 409},
		{"pause from afar", "", "POST", "/routes/a/pause", there, body(`{"why": "x"}`), 403},
		{"pause from afar with token", "s3cret", "POST", "/routes/a/pause", there, func(r *http.Request) { token("s3cret")(r); body(`{"why": "x"}`)(r) }, 200},
		{"pause without the token", "s3cret", "POST", "/routes/a/pause", here, body(`{"why": "x"}`), 401},
		{"pause here", "", "POST", "/routes/a/pause", here, body(`{"why": "x"}`), 200},
		{"pause without a reason", "", "POST", "/routes/a/pause", here, nil, 400},
		{"pause of nothing", "", "POST", "/routes/b/pause", here, body(`{"why": "x"}`), 404},
		{"pause by a web page", "", "POST", "/routes/a/pause", here, func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }, 403},
		{"resume of nothing", "", "POST", "/routes/b/resume", here, nil, 404},
		{"resume by a web page", "", "POST", "/routes/a/resume", here, func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }, 403},
		{"resume by GET", "", "GET", "/routes/a/resume", here, nil, 405},
		{"position from afar", "", "GET", "/routes/a/position", there, nil, 403},
		{"position here", "", "GET", "/routes/a/position", here, nil, 200},
		{"set from afar", "", "POST", "/routes/a/position", there, nil, 403},
		{"set from afar with token", "s3cret", "POST", "/routes/a/position", there, token("s3cret"), 409},
		{"set here", "", "POST", "/routes/a/position", here, nil, 409},
		{"set of nothing", "", "POST", "/routes/b/position", here, nil, 404},
		{"set by a web page", "", "POST", "/routes/a/position", here, func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }, 403},
		{"limit from afar", "", "POST", "/routes/a/limit", there, body(`{"messages": "5/s"}`), 403},
		{"limit here", "", "POST", "/routes/a/limit", here, body(`{"messages": "5/s"}`), 200},
		{"limit without one", "", "POST", "/routes/a/limit", here, nil, 400},
		{"limit of nonsense", "", "POST", "/routes/a/limit", here, body(`{"messages": "5"}`), 400},
		{"tap from afar", "", "GET", "/routes/a/tap", there, nil, 403},
		{"tap without the token", "s3cret", "GET", "/routes/a/tap", here, nil, 401},
		{"tap that is refused", "", "GET", "/routes/a/tap", here, nil, 409},
		{"tap for too long", "", "GET", "/routes/a/tap?duration=2h", here, nil, 400},
		{"tap of nothing", "", "GET", "/routes/b/tap", here, nil, 404},
		{"tap by a web page", "", "GET", "/routes/a/tap?who=ann", here, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, 403},
		{"tap that is refused, by our page", "", "GET", "/routes/a/tap", here, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-origin") }, 409},
		{"bundle by a web page", "", "GET", "/debug/bundle", here, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, 403},
		{"bundle from afar", "", "GET", "/debug/bundle", there, nil, 403},
		{"bundle without the token", "s3cret", "GET", "/debug/bundle", here, nil, 401},
		{"set of nonsense", "", "POST", "/routes/a/position", here, body(`{"two": "earliest"}`), 400},
		{"set of far too much", "", "POST", "/routes/a/position", here, body(`{"to": "` + strings.Repeat("x", maxOrder) + `"}`), 400},
		{"resume of nonsense", "", "POST", "/routes/a/resume", here, body(`{"drop": true}`), 400},
		{"page here", "", "GET", "/", here, nil, 200},
		{"page from afar", "", "GET", "/", there, nil, 403},
		{"page without the token", "s3cret", "GET", "/", there, nil, 401},
		{"page with the token as a password", "s3cret", "GET", "/", there, basic("s3cret"), 200},
		{"page with a wrong password", "s3cret", "GET", "/assets/page.js", there, basic("s3cre"), 401},
		{"stream from afar", "", "GET", "/status/stream", there, nil, 403},
		{"stream without the token", "s3cret", "GET", "/status/stream", here, nil, 401},
		{"resume by a web page with the password", "s3cret", "POST", "/routes/a/resume", there, func(r *http.Request) {
			basic("s3cret")(r)
			r.Header.Set("Origin", "https://evil.example")
		}, 403},
		{"nothing", "", "GET", "/nothing", here, nil, 404},
	} {
		a := &admin{
			routes: fakeRoutes{{Route: "a", EverConnected: true}}, token: c.configured,
			metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { writeText(w, 200, "m 1\n") }),
		}
		if w := ask(a, c.method, c.path, c.local, c.edit); w.Code != c.want {
			t.Errorf("%s: %d, want %d: %s", c.name, w.Code, c.want, w.Body)
		}
	}
}

func TestReady(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		name    string
		status  telemetry.RouteStatus
		blocker string // empty: ready
	}{
		{"never connected", telemetry.RouteStatus{SinkConnected: true}, "source.disconnected"},
		{"never connected to the sink", telemetry.RouteStatus{SourceConnected: true}, "sink.disconnected"},
		{"connected", telemetry.RouteStatus{EverConnected: true, SourceConnected: true, SinkConnected: true}, ""},
		{"stalled", telemetry.RouteStatus{EverConnected: true, SourceConnected: true, SinkConnected: true, State: flowcontrol.Stalled}, ""},
		{"limited", telemetry.RouteStatus{EverConnected: true, SourceConnected: true, SinkConnected: true, State: flowcontrol.Limited}, ""},
		{"standby", telemetry.RouteStatus{State: flowcontrol.Standby}, ""},
		{"standby, paused", telemetry.RouteStatus{State: flowcontrol.Paused, Owner: "other"}, ""},
		{"paused, never connected", telemetry.RouteStatus{State: flowcontrol.Paused, SourceConnected: true}, "sink.disconnected"},
		{"away for a moment", telemetry.RouteStatus{EverConnected: true, SourceConnected: true, Down: now.Add(-29 * time.Second)}, ""},
		{"away for long", telemetry.RouteStatus{EverConnected: true, SourceConnected: true, Down: now.Add(-30 * time.Second)}, "sink.disconnected"},
		{"halted", telemetry.RouteStatus{EverConnected: true, SourceConnected: true, SinkConnected: true, State: flowcontrol.Halted, Down: now.Add(-time.Minute)}, "halted"},
		{"ended", telemetry.RouteStatus{Ended: true}, ""},
	} {
		c.status.Route = "orders"
		waits := notReady([]telemetry.RouteStatus{c.status}, now)
		switch {
		case c.blocker == "" && len(waits) > 0:
			t.Errorf("%s: waits for %+v", c.name, waits)
		case c.blocker != "" && (len(waits) != 1 || waits[0] != waiting{"orders", c.blocker, c.status.Down}):
			t.Errorf("%s: %+v, want %s", c.name, waits, c.blocker)
		}
	}
}

func TestReadyAnswer(t *testing.T) {
	a := &admin{routes: fakeRoutes{{Route: "orders", SourceConnected: true}}, metrics: http.NotFoundHandler()}
	w := ask(a, "GET", "/readyz", "192.0.2.1:1", nil)
	var body struct {
		Ready  bool
		Routes []waiting
	}
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || w.Code != 503 || body.Ready || body.Routes[0].Blocker != "sink.disconnected" {
		t.Errorf("%d %s %v", w.Code, w.Body, err)
	}
	// While it drains it wants no traffic of whoever routes by readiness.
	a.routes = fakeRoutes{{Route: "orders", EverConnected: true}}
	a.draining.Store(true)
	if w := ask(a, "GET", "/readyz", "127.0.0.1:1", nil); w.Code != 503 || !strings.Contains(w.Body.String(), "draining") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// A fault in a handler is a line of the log like any other, and the listener goes on.
func TestHandlerPanics(t *testing.T) {
	l, err := listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	out := newBuffer()
	a := &admin{routes: fakeRoutes{}, metrics: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("a fault") })}
	a.feed = web.NewFeed(a.read)
	shutdown := a.serve(l, zerolog.New(out))
	defer shutdown(t.Context())
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	if answer, err := client.Get("http://" + l.Addr().String() + "/metrics"); err == nil {
		_ = answer.Body.Close()
		t.Error("a panic was answered")
	}
	out.await(soon(t), t, "a fault")
	var line struct{ Level, Error string }
	if err := json.Unmarshal([]byte(out.String()), &line); err != nil || line.Level != "error" || !strings.Contains(line.Error, "a fault") {
		t.Errorf("%v in %s", err, out)
	}
	if answer, err := client.Get("http://" + l.Addr().String() + "/livez"); err != nil || answer.Body.Close() != nil {
		t.Error(err)
	}
}
