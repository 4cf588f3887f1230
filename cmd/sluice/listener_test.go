package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// elsewhere returns an address of this machine that is not its loopback interface's.
func elsewhere(t *testing.T) string {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
			return n.IP.String()
		}
	}
	t.Skip("this machine has no address but loopback")
	return ""
}

// answers asks for everything that a listener could answer and returns what was not refused, with its status code.
func answers(ctx context.Context, t *testing.T, at, token string) string {
	t.Helper()
	var list []string
	for _, what := range []string{
		"GET /livez", "GET /readyz", "GET /metrics", "GET /status", "GET /", "GET /config", "GET /debug/pprof/", "GET /debug/vars",
		"POST /routes/orders/resume", "GET /routes/orders/position", "POST /routes/orders/position", "POST /livez", "PUT /status",
		"GET /assets/page.js", "POST /", "POST /status/stream",
	} {
		method, path, _ := strings.Cut(what, " ")
		r, err := http.NewRequestWithContext(ctx, method, "http://"+at+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := answer.Body.Close(); err != nil {
			t.Fatal(err)
		}
		switch answer.StatusCode {
		case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed:
		default:
			list = append(list, fmt.Sprintf("%s %d", what, answer.StatusCode))
		}
	}
	return strings.Join(list, ", ")
}

// Off loopback and without the token a running daemon answers probes and scrapes and nothing else, on the
// only port that it listens on.
func TestOffLoopback(t *testing.T) {
	t.Parallel()
	host := elsewhere(t)
	const (
		// The brokers are away, so nothing of theirs can be told or changed.
		probes = "GET /livez 200, GET /readyz 503, GET /metrics 200"
		more   = ", GET /status 200, GET / 200, POST /routes/orders/resume 409, GET /routes/orders/position 409, POST /routes/orders/position 409, GET /assets/page.js 200"
	)
	for _, c := range []struct{ configured, given, here, there string }{
		{"", "", probes + more, probes},
		{"", "guess", probes + more, probes},
		{"s3cret", "", probes, probes},
		{"s3cret", "guess", probes, probes},
		{"s3cret", "s3cret", probes + more, probes + more},
	} {
		t.Run(fmt.Sprintf("token %q given %q", c.configured, c.given), func(t *testing.T) {
			t.Parallel()
			ctx := soon(t)
			file := filepath.Join(t.TempDir(), "sluice.yaml")
			text := fmt.Sprintf("admin: {listen: \"0.0.0.0:0\", token: %q}\nroutes: {orders: {from: \"kafka://127.0.0.1:1/orders\", to: \"jetstream://127.0.0.1:1/ORDERS\"}}\n", c.configured)
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			p := start(ctx, t, "run", "-c", file, "--log-format", "json")
			address, _, _ := strings.Cut(p.out.await(ctx, t, `"address":"`), `"`)
			port := address[strings.LastIndexByte(address, ':')+1:]
			for at, want := range map[string]string{net.JoinHostPort("127.0.0.1", port): c.here, net.JoinHostPort(host, port): c.there} {
				if got := answers(ctx, t, at, c.given); got != want {
					t.Errorf("%s answers %s\nwant %s", at, got, want)
				}
			}
			if got := listening(t, p.Process.Pid); len(got) > 1 {
				t.Errorf("it listens on %v", got)
			}
			p.signal(t)
			if code := p.code(t); code != 0 {
				t.Errorf("exit code %d\n%s", code, &p.out)
			}
		})
	}
}

// listening returns the sockets that a process listens on, as Linux writes them.
func listening(t *testing.T, pid int) (sockets []string) {
	t.Helper()
	if runtime.GOOS != "linux" {
		return nil
	}
	const listen, state, inode = "0A", 3, 9 // proc_net_tcp(5)
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	own := map[string]bool{}
	for _, f := range files {
		to, _ := os.Readlink(f) // it may be closed by now
		own[to] = true
	}
	for _, name := range []string{"tcp", "tcp6", "udp", "udp6"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, name))
		if err != nil {
			continue // a machine without IPv6
		}
		for line := range strings.Lines(string(text)) {
			if f := strings.Fields(line); len(f) > inode && own["socket:["+f[inode]+"]"] && (f[state] == listen || strings.HasPrefix(name, "udp")) {
				sockets = append(sockets, name+" "+f[1])
			}
		}
	}
	return sockets
}
