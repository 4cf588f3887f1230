package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// beMain makes the test's own program the daemon, so that exit codes and signals are the real ones.
const beMain = "SLUICE_TEST_BE_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(beMain) != "" {
		asked := make(chan os.Signal, 1)
		signal.Notify(asked, syscall.SIGUSR1)
		go func() {
			<-asked
			panic("as a test wants it")
		}()
		main()
	}
	os.Exit(m.Run())
}

// process is a running sluice.
type process struct {
	*exec.Cmd
	out   output
	admin string // address; empty until somebody asked
}

// output collects what a process writes and tells when something came.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case o.more <- struct{}{}:
	default:
	}
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// await returns what follows the first word in the output.
func (o *output) await(ctx context.Context, t *testing.T, word string) string {
	t.Helper()
	for {
		if _, after, ok := strings.Cut(o.String(), word); ok {
			return after
		}
		select {
		case <-o.more:
		case <-ctx.Done():
			t.Fatalf("no %q in\n%s", word, o)
		}
	}
}

func start(ctx context.Context, t *testing.T, args ...string) *process {
	t.Helper()
	return startWith(ctx, t, []string{"OTEL_SDK_DISABLED=true"}, args...)
}

// startWith adds to the environment.
func startWith(ctx context.Context, t *testing.T, env []string, args ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.CommandContext(ctx, os.Args[0], args...)}
	p.out.more = make(chan struct{}, 1)
	p.Env = append(append(os.Environ(), beMain+"=1"), env...)
	p.Stdout, p.Stderr = &p.out, &p.out
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// code waits for the end and returns the exit code.
func (p *process) code(t *testing.T) int {
	t.Helper()
	var exit *exec.ExitError
	if err := p.Wait(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return p.ProcessState.ExitCode()
}

func (p *process) signal(t *testing.T) {
	t.Helper()
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
}

func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func get(ctx context.Context, t *testing.T, url string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

// silent listens, accepts, and never says a word: a broker that is frozen.
func silent(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}

// TestBrokersAway: brokers that are away at start are a state, not an error.
func TestBrokersAway(t *testing.T) {
	t.Parallel()
	ctx := soon(t)
	p := start(ctx, t, "run", "--from", "kafka://127.0.0.1:1/orders", "--to", "jetstream://127.0.0.1:1/ORDERS",
		"--admin", "127.0.0.1:0", "--log-format", "json")
	address, _, _ := strings.Cut(p.out.await(ctx, t, `"address":"`), `"`)
	if code, body := get(ctx, t, address+"/livez"); code != 200 {
		t.Errorf("/livez: %d %s", code, body)
	}
	if code, body := get(ctx, t, address+"/readyz"); code != 503 || !strings.Contains(body, `"route":"orders","blocker":"source.disconnected"`) {
		t.Errorf("/readyz: %d %s", code, body)
	}
	if code, body := get(ctx, t, address+"/metrics"); code != 200 || !strings.Contains(body, "sluice") {
		t.Errorf("/metrics: %d %s", code, body)
	}
	status := start(ctx, t, "status", "--url", address)
	if code := status.code(t); code != 1 || !strings.Contains(status.out.String(), "disconnected") {
		t.Errorf("status: %d %s", code, &status.out)
	}
	p.out.await(ctx, t, "sink not reached yet")
	p.signal(t)
	if code := p.code(t); code != 0 {
		t.Errorf("exit code %d:\n%s", code, &p.out)
	}
	if strings.Contains(p.out.String(), "source connected") {
		t.Errorf("it says that it was connected:\n%s", &p.out)
	}
	if text := p.out.String(); !strings.Contains(text, `"memory":"at most `) || !strings.Contains(text, "group sluice-orders") {
		t.Errorf("it does not say what it is about to do:\n%s", text)
	}
}

// frozen runs three lines into a silent Kafka and returns when all three are in flight.
func frozen(ctx context.Context, t *testing.T, drain string) *process {
	t.Helper()
	dir := t.TempDir()
	from, file := filepath.Join(dir, "from.txt"), filepath.Join(dir, "sluice.yaml")
	text := "shutdown: {drain: " + drain + "}\nadmin: {listen: \"127.0.0.1:0\"}\nroutes:\n  a:\n    source: {lines: {path: " +
		from + ", follow: true}}\n    to: kafka://" + silent(t) + "/x\n"
	for path, text := range map[string]string{from: "one\ntwo\nthree\n", file: text} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := start(ctx, t, "run", "-c", file, "--log-format", "json")
	p.admin, _, _ = strings.Cut(p.out.await(ctx, t, `"address":"`), `"`)
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for {
		if _, body := get(ctx, t, p.admin+"/status"); strings.Contains(body, `"window":{"messages":3,`) {
			return p
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			t.Fatalf("the lines are not in flight:\n%s", &p.out)
		}
	}
}

// TestFrozenSink: with a sink that is silent the drain deadline passes, or a second signal ends it.
func TestFrozenSink(t *testing.T) {
	t.Parallel()
	ctx := soon(t)
	late, forced := frozen(ctx, t, "200ms"), frozen(ctx, t, "1h")
	for _, p := range []*process{late, forced} {
		p.signal(t)
		p.out.await(ctx, t, "draining")
	}
	if code, body := get(ctx, t, forced.admin+"/readyz"); code != 503 || !strings.Contains(body, `"draining":true`) {
		t.Errorf("/readyz: %d %s", code, body)
	}
	forced.signal(t)
	if code := forced.code(t); code != 143 || !strings.Contains(forced.out.String(), "3 messages are not committed and will come again") {
		t.Errorf("exit code %d:\n%s", code, &forced.out)
	}
	if code := late.code(t); code != 4 || !strings.Contains(late.out.String(), "3 messages are not committed and will come again") {
		t.Errorf("exit code %d:\n%s", code, &late.out)
	}
}

// TestFiles moves one file to another and ends by itself.
func TestFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from.txt"), filepath.Join(dir, "to.txt")
	text := strings.Repeat("a line\n", 10_000)
	if err := os.WriteFile(from, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(soon(t), t, "run", "--from", "lines://"+from, "--to", "lines://"+to, "--admin", "off")
	if code := p.code(t); code != 0 {
		t.Errorf("exit code %d:\n%s", code, &p.out)
	}
	if got, err := os.ReadFile(to); err != nil || string(got) != text {
		t.Errorf("%d bytes, want %d: %v", len(got), len(text), err)
	}
}

// TestWrongConfiguration: the real connectors' sections are checked as strictly, all at once, and
// nothing is connected.
func TestWrongConfiguration(t *testing.T) {
	t.Parallel()
	touched := make(chan struct{}, 1)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if c, err := l.Accept(); err == nil {
			_ = c.Close()
			touched <- struct{}{}
		}
	}()
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	text := `connections:
  kafka-eu: {kafka: {brokers: ["` + l.Addr().String() + `"], client: me}}
  nats-eu: {nats: {servers: ["` + l.Addr().String() + `"]}}
routes:
  right: {source: {kafka: {topics: orders}}, sink: {jetstream: {stream: ORDERS}}}
  typo: {source: {kafka: {topcis: orders}}, sink: {jetstream: {stream: ORDERS}}}
  group: {source: {kafka: {topics: orders, group: sluice-right}}, sink: {jetstream: {stream: ORDERS}}}
  one: {source: {jetstream: {stream: S, durable: d}}, sink: {kafka: {topic: t}}}
  two: {source: {jetstream: {stream: S, durable: d}}, sink: {kafka: {topic: t}}}
  lossy: {source: {nats: {subjects: [a.>]}}, sink: {kafka: {topic: t}}}
  unit: {source: {kafka: {topics: orders, group: g, fetch_max_bytes: 64}}, sink: {jetstream: {stream: ORDERS}}}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(soon(t), t, "run", "-c", file)
	if code := p.code(t); code != 2 {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{
		`unknown key "client" in connections.kafka-eu.kafka`, `did you mean "client_id"?`,
		`sluice.yaml:6:27: unknown key "topcis" in routes.typo.source.kafka`, `did you mean "topics"?`,
		`the route "group" and the route "right"`, `the route "two" and the route "one"`, "accept_loss: [core_source]",
		`"64" is not a size`, "6 findings; nothing was connected",
	} {
		if !strings.Contains(p.out.String(), want) {
			t.Errorf("no %q in\n%s", want, &p.out)
		}
	}
	select {
	case <-touched:
		t.Error("something was connected")
	default:
	}
}
