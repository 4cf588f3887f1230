package cmd

import (
	"context"
	"crypto/subtle"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	stdlog "log" //nolint:depguard // http.Server takes no other
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"github.com/sluice-bridge/sluice/bridge"
	"github.com/sluice-bridge/sluice/cmd/config"
	"github.com/sluice-bridge/sluice/telemetry"
	"github.com/sluice-bridge/sluice/telemetry/web"
)

// liveFor is how long the daemon's loop, which turns every second, may stand before the process is not
// live: longer than any machine that swaps or migrates takes.
const liveFor = 30 * time.Second

// openapi describes what is answered.
//
//go:embed openapi.yaml
var openapi string

// routes is what the admin listener needs of a bridge.
type routes interface {
	Status() []telemetry.RouteStatus
	Pause(route string, by bridge.Operator) error
	Resume(route string, how bridge.Resume) (*bridge.Resumed, error)
	Positions(ctx context.Context, route string) ([]bridge.PositionStatus, error)
	SetLimit(route string, order bridge.LimitOrder) (bridge.Limit, error)
	Tap(route string, payload bool, stages ...string) (*bridge.Tap, error)
	SetPosition(ctx context.Context, route string, order bridge.PositionOrder) ([]bridge.PositionMove, error)
}

// admin answers probes, scrapes and the operator. Where a token is configured, all but probes and metrics
// needs it; where none is, the rest is answered over the loopback interface only.
type admin struct {
	routes   routes
	metrics  http.Handler
	tel      *telemetry.Telemetry
	token    string
	mayTap   string // config.TapOff, TapMetadata or TapPayload
	traceURL string
	draining atomic.Bool
	turned   atomic.Int64 // when the daemon's loop last looked at the routes, in Unix seconds; 0: not yet
	build    build
	reloads  *reloader
	log      zerolog.Logger
	instance string
	started  time.Time
	feed     *web.Feed // of the page
}

// answers is what is answered; openapi.yaml describes all of it but the page.
func (a *admin) answers() map[string]http.Handler {
	page := web.Page()
	return map[string]http.Handler{
		"GET /livez":                   http.HandlerFunc(a.livez),
		"GET /readyz":                  http.HandlerFunc(a.readyz),
		"GET /metrics":                 a.metrics,
		"GET /status":                  a.guard(a.status),
		"GET /status/stream":           a.guard(a.feed.ServeHTTP),
		"GET /openapi.yaml":            a.guard(func(w http.ResponseWriter, _ *http.Request) { writeText(w, http.StatusOK, openapi) }),
		"GET /{$}":                     a.guard(page.ServeHTTP),
		"GET /assets/":                 a.guard(page.ServeHTTP),
		"GET /debug/bundle":            a.guard(ownPage(a.debugBundle)),
		"GET /routes/{name}/tap":       a.guard(ownPage(a.known(a.tap))),
		"POST /reload":                 a.guard(patient(a.reload)),
		"POST /routes/{name}/limit":    a.guard(a.known(a.limit)),
		"POST /routes/{name}/pause":    a.guard(a.known(a.pause)),
		"POST /routes/{name}/resume":   a.guard(a.known(a.resume)),
		"GET /routes/{name}/position":  a.guard(a.known(patient(a.positions))),
		"POST /routes/{name}/position": a.guard(a.known(patient(a.setPosition))),
	}
}

func (a *admin) handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, handler := range a.answers() {
		mux.Handle(pattern, handler)
	}
	// A page in the operator's browser must not be able to resume a route.
	return http.NewCrossOriginProtection().Handler(mux)
}

// ownPage keeps another site's page in the operator's browser from a GET that leaves an audit line: it reads no answer,
// but it could write who asked, and why, and take the places of those who look.
func ownPage(next http.HandlerFunc) http.HandlerFunc {
	protection := http.NewCrossOriginProtection()
	return func(w http.ResponseWriter, r *http.Request) {
		as := r.WithContext(r.Context())
		as.Method = http.MethodPost // a GET it lets through
		if err := protection.Check(as); err != nil {
			writeText(w, http.StatusForbidden, err.Error()+"\n")
			return
		}
		next(w, r)
	}
}

// guard lets a request through that came over the loopback interface or has the token: as a bearer token,
// or as the password of any name, which is what a browser can ask for.
func (a *admin) guard(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given, isBearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !isBearer {
			_, given, _ = r.BasicAuth()
		}
		authorized := a.token != "" && subtle.ConstantTimeCompare([]byte(given), []byte(a.token)) == 1
		switch {
		case authorized, a.token == "" && local(r):
			next(w, r)
		case a.token == "":
			writeText(w, http.StatusForbidden, "off loopback this needs admin.token in the configuration\n")
		default:
			w.Header().Add("WWW-Authenticate", "Bearer")
			w.Header().Add("WWW-Authenticate", `Basic realm="sluice: the admin token is the password"`)
			writeText(w, http.StatusUnauthorized, "this needs the admin token: Authorization: Bearer ...\n")
		}
	})
}

// local reports whether a request came over the loopback interface and was meant for it: a name that
// someone made resolve to 127.0.0.1 lets a web page reach it, but it stands in the Host header.
func local(r *http.Request) bool {
	address, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok || !loopback(address.String()) {
		return false
	}
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	return host == "localhost" || net.ParseIP(strings.Trim(host, "[]")) != nil
}

func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// read returns what /status answers and the page shows.
func (a *admin) read() telemetry.ProcessStatus {
	s := telemetry.ProcessStatus{
		Version: a.build.Version, Instance: a.instance, Started: a.started, Time: time.Now(),
		Draining: a.draining.Load(), TraceURL: a.traceURL, Reload: a.reloads.latest(), Routes: a.routes.Status(),
	}
	for i := range s.Routes {
		s.Routes[i].Stalls = a.tel.Stalls(s.Routes[i].Route)
	}
	return s
}

func (a *admin) status(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, a.read())
}

// livez says whether the daemon's own loop turns, which takes every lock that moving messages does. Brokers
// have no say: an outage must not restart the fleet.
func (a *admin) livez(w http.ResponseWriter, _ *http.Request) {
	if last := a.turned.Load(); last != 0 {
		if still := time.Since(time.Unix(last, 0)); still > liveFor {
			writeText(w, http.StatusServiceUnavailable, fmt.Sprintf("the daemon has not looked at its routes for %s\n", still.Round(time.Second)))
			return
		}
	}
	writeText(w, http.StatusOK, "ok\n")
}

func (a *admin) readyz(w http.ResponseWriter, _ *http.Request) {
	waits := notReady(a.routes.Status(), time.Now())
	answer := struct {
		Ready    bool      `json:"ready"`
		Draining bool      `json:"draining,omitempty"`
		Routes   []waiting `json:"routes,omitempty"` // those that are not ready
	}{len(waits) == 0 && !a.draining.Load(), a.draining.Load(), waits}
	code := http.StatusOK
	if !answer.Ready {
		code = http.StatusServiceUnavailable
	}
	writeJSON(w, code, answer)
}

func writeJSON(w http.ResponseWriter, code int, answer any) {
	text, err := json.Marshal(answer)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	// The client is gone if this fails; nobody is left to tell.
	_, _ = w.Write(append(text, '\n'))
}

func writeText(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_, _ = w.Write([]byte(text))
}

// listen opens the admin listener; nil if it is off.
func listen(ctx context.Context, address string) (net.Listener, error) {
	if address == config.AdminOff {
		return nil, nil
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("the admin listener cannot have %s: it is in use, perhaps by another sluice\n"+
			"  → choose another with --admin HOST:PORT or admin.listen, port 0 for any free one, or --admin off", address)
	case err != nil:
		return nil, fmt.Errorf("the admin listener cannot have %s: %w\n  → choose another with --admin HOST:PORT or admin.listen, or --admin off", address, err)
	}
	return l, nil
}

// serverLog takes the lines of an http.Server, of which a panic in a handler is one.
type serverLog struct{ log zerolog.Logger }

func (w serverLog) Write(line []byte) (int, error) {
	w.log.Error().Str("error", strings.TrimSpace(string(line))).Msg("admin listener")
	return len(line), nil
}

// serve answers on l until shutdown is called.
func (a *admin) serve(l net.Listener, log zerolog.Logger) (shutdown func(context.Context)) {
	server := &http.Server{
		Handler: a.handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: stdlog.New(serverLog{log}, "", 0),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			log.Error().Err(err).Msg("the admin listener has ended; the routes go on")
		}
	}()
	return func(ctx context.Context) {
		a.feed.Close() // streams do not end by themselves
		if server.Shutdown(ctx) != nil {
			// Requests that are still going on are cut.
			_ = server.Close()
		}
		<-done
	}
}
