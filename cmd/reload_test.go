package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-bridge/sluice/bridge"
	"github.com/sluice-bridge/sluice/cmd/config"
)

// file is a configuration that a test changes while a daemon runs by it.
type file struct {
	t    *testing.T
	path string
}

func (f *file) write(routes string) {
	f.t.Helper()
	text := "admin: {listen: \"127.0.0.1:0\"}\nlog: {format: json}\n" + routes + "\n"
	if err := os.WriteFile(f.path, []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func newFile(t *testing.T, routes string) *file {
	t.Helper()
	f := &file{t, filepath.Join(t.TempDir(), "sluice.yaml")}
	f.write(routes)
	return f
}

// request asks a daemon without the program's client.
func request(ctx context.Context, t *testing.T, url string) (status int, body string) {
	t.Helper()
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// TestReload follows an operator who changes the configuration of a daemon, well and badly.
func TestReload(t *testing.T) {
	r, ctx := newRig(t), soon(t)
	r.put(100)
	f := newFile(t, `routes: {a: {from: "memory://from", to: "memory://to"}}`)
	code := r.start(ctx, "run", "-c", f.path)
	address, _, _ := strings.Cut(r.stderr.await(ctx, t, `"address":"`), `"`)
	if err := r.from.AwaitCommitted(ctx, 100); err != nil {
		t.Fatal(err)
	}
	ask := func(want int, args ...string) string {
		t.Helper()
		return flat(askDaemon(ctx, t, address, want, args...))
	}
	metric := func(want string) {
		t.Helper()
		if _, body := request(ctx, t, address+"/metrics"); !strings.Contains(body, want+"\n") {
			t.Errorf("no %s", want)
		}
	}
	metric("sluice_config_reload_success 1")
	wantWords(t, ask(0, "reload"), "1 route unchanged")
	f.write(`routes: {a: {from: "memory://from", to: "memory://to", limit: {messages: 5000/s}}}`)
	wantWords(t, ask(0, "reload", "--reason", "slowly"), "a: changed while it runs", "0 routes unchanged")
	f.write(`routes: {a: {from: "memory://from", to: "memory://to", headers: none}}`)
	wantWords(t, ask(0, "reload"), "a: changed: drained, and begun anew at the committed position")
	wantWords(t, ask(0, "reload", "--json"), `{"unchanged":["a"]}`)
	wantWords(t, r.stderr.String(), `"why":"slowly","what":"reload","outcome":"done"`, `"changed":["a"]`, `"restarted":["a"]`)

	for name, bad := range map[string]struct {
		routes string
		want   []string
	}{
		"a typo":        {`routes: {a: {from: "memory://from", too: "memory://to"}}`, []string{`sluice.yaml:3:37: unknown key "too"`, `did you mean "to"?`, "2 findings; nothing was changed"}},
		"what is fixed": {"routes: {a: {from: \"memory://from\", to: \"memory://dead\"}}\nshutdown: {drain: 7s}", []string{"shutdown.drain cannot be changed while the daemon runs: nothing was changed"}},
	} {
		f.write(bad.routes)
		wantWords(t, ask(exitFailed, "reload"), bad.want...)
		wantWords(t, ask(0, "status"), "a memory memory", "the configuration holds that was read before", "(127.0.0.1) was refused: ", "→ mend that, then: sluice reload")
		metric("sluice_config_reload_success 0")
		if status, _ := request(ctx, t, address+"/readyz"); status != 200 {
			t.Errorf("%s: not ready: %d", name, status)
		}
	}
	if err := os.Remove(f.path); err != nil {
		t.Fatal(err)
	}
	wantWords(t, ask(exitFailed, "reload"), "nothing was changed", "no such file")

	f.write(`routes: {b: {from: "memory://from", to: "memory://to"}}`)
	wantWords(t, ask(0, "reload"), "b: added", "a: removed: drained and ended")
	r.put(100)
	if err := r.to.AwaitWritten(ctx, 200); err != nil {
		t.Fatal(err)
	}
	metric("sluice_config_reload_success 1")
	if _, body := request(ctx, t, address+"/metrics"); strings.Contains(body, `sluice_committed_messages_total{sluice_route="a"}`) {
		t.Error("what is removed is still shown")
	}
	if strings.Contains(ask(0, "status"), "refused") {
		t.Error("the refusal is still shown")
	}
	r.signals <- syscall.SIGTERM
	if c := await(ctx, t, code); c != 0 || r.from.CommittedSum() != 200 || r.to.Written() != 200 {
		t.Errorf("exit code %d, %d committed, %d written:\n%s", c, r.from.CommittedSum(), r.to.Written(), r.stderr)
	}
	if n := strings.Count(r.stderr.String(), `"what":"reload"`); n != 8 {
		t.Errorf("%d audit lines of 8 reloads:\n%s", n, r.stderr)
	}
}

// TestReloadBySignalAndFile: SIGHUP and --watch do the same; a file that is gone stops nothing, and one that is a link
// is followed, also where the directory behind it is swapped.
func TestReloadBySignalAndFile(t *testing.T) {
	r, ctx := newRig(t), soon(t)
	hangups := make(chan os.Signal, 1)
	r.hangups, r.lookEvery = hangups, 10*time.Millisecond
	dir := t.TempDir()
	swap := func(name, routes string) {
		t.Helper()
		data := filepath.Join(dir, name)
		link := filepath.Join(dir, "next")
		for _, err := range []error{
			os.Mkdir(data, 0o700),
			os.WriteFile(filepath.Join(data, "sluice.yaml"), []byte("admin: {listen: \"127.0.0.1:0\"}\nlog: {format: json}\n"+routes), 0o600),
			os.Symlink(name, link),
			os.Rename(link, filepath.Join(dir, "..data")),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	swap("1", `routes: {a: {from: "memory://from", to: "memory://to"}}`)
	path := filepath.Join(dir, "sluice.yaml")
	if err := os.Symlink("..data/sluice.yaml", path); err != nil {
		t.Fatal(err)
	}
	code := r.start(ctx, "run", "--watch", "-c", path)
	r.stderr.await(ctx, t, `"address":"`)
	r.put(10)
	if err := r.from.AwaitCommitted(ctx, 10); err != nil {
		t.Fatal(err)
	}
	hangups <- syscall.SIGHUP
	wantWords(t, r.stderr.await(ctx, t, `"who":"SIGHUP"`), `"outcome":"done"`, `"unchanged":1`)
	swap("2", `routes: {a: {from: "memory://from", to: "memory://to", headers: none}}`)
	wantWords(t, r.stderr.await(ctx, t, `"who":"--watch"`), "sluice.yaml has changed", `"restarted":["a"]`)
	swap("3", `routes: {a: {from: "memory://from", too: "memory://to"}}`)
	wantWords(t, r.stderr.await(ctx, t, `"findings":2`), `unknown key \"too\" in routes.a`, `"outcome":"refused"`, `"message":"operator: reload: nothing was changed`)
	if err := os.Remove(filepath.Join(dir, "..data")); err != nil {
		t.Fatal(err)
	}
	r.stderr.await(ctx, t, "a file of the configuration is gone")
	swap("4", `routes: {a: {from: "memory://from", to: "memory://to"}}`)
	for strings.Count(r.stderr.await(ctx, t, "is gone"), `"restarted":["a"]`) == 0 {
		select {
		case <-r.stderr.written:
		case <-ctx.Done():
			t.Fatalf("the file that is back is not read:\n%s", r.stderr)
		}
	}
	r.put(10)
	if err := r.from.AwaitCommitted(ctx, 20); err != nil {
		t.Fatal(err, r.stderr)
	}
	r.signals <- syscall.SIGTERM
	if c := await(ctx, t, code); c != 0 || r.to.Written() != 20 {
		t.Errorf("exit code %d, %d written:\n%s", c, r.to.Written(), r.stderr)
	}
}

// TestReloadWhileDraining is refused, and so is one where there is no file.
func TestReloadWhileDraining(t *testing.T) {
	r, ctx := newRig(t), soon(t)
	held := r.freeze()
	f := newFile(t, "shutdown: {drain: 2s}\n"+`routes: {a: {from: "memory://from", to: "memory://to"}}`)
	code := r.start(ctx, "run", "-c", f.path)
	address, _, _ := strings.Cut(r.stderr.await(ctx, t, `"address":"`), `"`)
	held.Wait()
	r.signals <- syscall.SIGTERM
	r.stderr.await(ctx, t, "draining")
	wantWords(t, askDaemon(ctx, t, address, exitFailed, "reload"), "the daemon drains")
	if c := await(ctx, t, code); c != exitDrain {
		t.Errorf("exit code %d", c)
	}

	r = newRig(t)
	code = r.start(ctx, bridged...)
	address, _, _ = strings.Cut(r.stderr.await(ctx, t, `"address":"`), `"`)
	wantWords(t, askDaemon(ctx, t, address, exitFailed, "reload"), "there is no file to read again")
	r.signals <- syscall.SIGTERM
	if c := await(ctx, t, code); c != 0 {
		t.Errorf("exit code %d", c)
	}
}

// TestReloadsTakeTurns: of two at once the later waits, and finds what the first has done; who does not want to wait
// any more changes nothing.
func TestReloadsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := &config.Config{}, &config.Config{}
		goOn := make(chan struct{})
		readings := []*config.Config{first, second}
		r := &reloader{
			cfg: &config.Config{}, turn: make(chan struct{}, 1), closed: func() bool { return false },
			begun: func(*config.Config, *bridge.Reloaded) {},
			read: func() (*config.Config, error) {
				cfg := readings[0]
				readings = readings[1:]
				return cfg, nil
			},
			apply: func(cfg *config.Config, _ bridge.Operator) (*bridge.Reloaded, error) {
				if cfg == first {
					<-goOn
				}
				return &bridge.Reloaded{}, nil
			},
		}
		done := make(chan error, 2)
		reload := func(ctx context.Context) {
			_, err := r.reload(ctx, bridge.Operator{})
			done <- err
		}
		go reload(t.Context())
		synctest.Wait()
		gone, leave := context.WithCancel(t.Context())
		leave()
		reload(gone)
		if err := <-done; !errors.Is(err, context.Canceled) || r.latest() != nil {
			t.Errorf("%v, %+v", err, r.latest())
		}
		go reload(t.Context())
		synctest.Wait()
		if len(readings) != 1 {
			t.Error("the later one does not wait")
		}
		close(goOn)
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if r.config() != second {
			t.Error("the later one does not hold")
		}
	})
}

// TestNeedRestart: each key that cannot be changed while the daemon runs is named.
func TestNeedRestart(t *testing.T) {
	for want, change := range map[string]func(*config.Config){
		"":                                   func(*config.Config) {},
		"admin.listen":                       func(c *config.Config) { c.Admin.Listen = "off" },
		"admin.token, admin.tap":             func(c *config.Config) { c.Admin.Token, c.Admin.Tap = "x", "off" },
		"log.level, log.format":              func(c *config.Config) { c.Log.Level, c.Log.Format = "x", "y" },
		"shutdown.drain, telemetry.endpoint": func(c *config.Config) { c.Bridge.Drain, c.Telemetry.Endpoint = 1, "x" },
		"telemetry.headers":                  func(c *config.Config) { c.Telemetry.Headers["x"] = "z" },
	} {
		a, b := &config.Config{}, &config.Config{}
		a.Telemetry.Headers, b.Telemetry.Headers = map[string]string{"x": "y"}, map[string]string{"x": "y"}
		change(b)
		if got := strings.Join(needRestart(a, b), ", "); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestWatchSettles: a file that is written is read when it is not written any more, and only then.
func TestWatchSettles(t *testing.T) {
	var w watch
	seen := stamps{"a": "1", "b": "1"}
	for i, c := range []struct{ a, b, changed, gone string }{
		{"1", "1", "", ""}, {"2", "1", "", ""}, {"3", "1", "", ""}, {"3", "1", "a", ""}, // settled at the fourth look
		{"1", "1", "", ""}, {"2", "1", "", ""}, {"1", "1", "", ""}, {"2", "1", "", ""},
		{"", "1", "", "a"}, {"", "1", "", ""}, {"1", "1", "", ""}, {"", "1", "", "a"}, {"2", "1", "", ""}, {"2", "1", "a", ""},
		{"", "", "", "a, b"}, {"", "", "", ""}, {"", "", "", ""}, {"", "1", "", "a"}, {"", "2", "", ""}, {"1", "1", "", ""},
	} {
		if changed, gone := w.look(seen, stamps{"a": c.a, "b": c.b}); changed != c.changed || gone != c.gone {
			t.Errorf("look %d: %q, %q; want %q, %q", i, changed, gone, c.changed, c.gone)
		}
	}
}

// TestWatchOfWhatIsWrong: a file that is included anew and wrong is read again when it is mended.
func TestWatchOfWhatIsWrong(t *testing.T) {
	r, ctx := newRig(t), soon(t)
	r.lookEvery = 10 * time.Millisecond
	f := newFile(t, `routes: {a: {from: "memory://from", to: "memory://to"}}`)
	more := filepath.Join(filepath.Dir(f.path), "more.yaml")
	code := r.start(ctx, "run", "--watch", "-c", f.path)
	r.stderr.await(ctx, t, `"address":"`)
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(more, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(`routes: {b: {from: "memory://dead", too: "memory://to"}}`)
	f.write("include: [more.yaml]\n" + `routes: {a: {from: "memory://from", to: "memory://to"}}`)
	wantWords(t, r.stderr.await(ctx, t, `"outcome":"refused"`), "nothing was changed")
	put(`routes: {b: {from: "memory://dead", to: "memory://to"}}`)
	wantWords(t, r.stderr.await(ctx, t, `"added":["b"]`), "operator: reload")
	wantWords(t, r.stderr.String(), "held by the ends of 2 route(s)", `"route":"b","source":"memory"`)
	r.signals <- syscall.SIGTERM
	if c := await(ctx, t, code); c != 0 {
		t.Errorf("exit code %d", c)
	}
}

// TestReloadOfAFile: a value from a file that is another has its route begin anew.
func TestReloadOfAFile(t *testing.T) {
	r, ctx := newRig(t), soon(t)
	secret := filepath.Join(t.TempDir(), "topic")
	give := func(value string) {
		t.Helper()
		if err := os.WriteFile(secret, []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	give("to")
	f := newFile(t, fmt.Sprintf(`routes: {a: {from: "memory://from", to: "memory://${file:%s}"}}`, secret))
	code := r.start(ctx, "run", "-c", f.path)
	address, _, _ := strings.Cut(r.stderr.await(ctx, t, `"address":"`), `"`)
	r.put(10)
	if err := r.to.AwaitWritten(ctx, 10); err != nil {
		t.Fatal(err)
	}
	give("dead")
	wantWords(t, askDaemon(ctx, t, address, 0, "reload"), "a: changed: drained")
	r.put(10)
	if err := r.dead.AwaitWritten(ctx, 10); err != nil {
		t.Fatal(err)
	}
	r.signals <- syscall.SIGTERM
	if c := await(ctx, t, code); c != 0 {
		t.Errorf("exit code %d", c)
	}
}
