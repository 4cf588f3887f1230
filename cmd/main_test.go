package cmd

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/connectortest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is an app over topics in memory.
type rig struct {
	*app
	from, to, dead *connectortest.Topic
	stdout, stderr *buffer
	signals        chan os.Signal
	faults         func([]*connectors.Batch) connectortest.Fault // of the sink
	wrap           func(connectors.Sink) connectors.Sink
}

// buffer is a bytes.Buffer for several goroutines that tells when it has been written to.
type buffer struct {
	mu      sync.Mutex
	b       bytes.Buffer
	written chan struct{}
}

func newBuffer() *buffer { return &buffer{written: make(chan struct{}, 1)} }

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case b.written <- struct{}{}:
	default:
	}
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// await returns the text from the first place where it holds word.
func (b *buffer) await(ctx context.Context, t *testing.T, word string) string {
	t.Helper()
	for {
		if _, after, found := strings.Cut(b.String(), word); found {
			return after
		}
		select {
		case <-b.written:
		case <-ctx.Done():
			t.Fatalf("no %q in\n%s", word, b)
		}
	}
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{
		from: connectortest.NewTopic("from", 2), to: connectortest.NewTopic("to", 0), dead: connectortest.NewTopic("dead", 0),
		stdout: newBuffer(), stderr: newBuffer(), signals: make(chan os.Signal, 2),
	}
	memory := connectortest.Memory(r.from, r.to, r.dead)
	sink := memory.Sink
	memory.Sink = func(d connectors.Decode, a connectors.About) (*connectors.SinkSpec, error) {
		spec, err := sink(d, a)
		if err == nil && r.faults != nil {
			spec = connectortest.FaultySink(spec, r.faults)
		}
		if err == nil && r.wrap != nil {
			wrapped, open := *spec, spec.Open
			wrapped.Open = func(ctx context.Context, env connectors.Env) (connectors.Sink, error) {
				sink, err := open(ctx, env)
				return r.wrap(sink), err
			}
			spec = &wrapped
		}
		return spec, err
	}
	registry, err := connectors.NewRegistry(memory)
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"OTEL_SDK_DISABLED": "true", "GOMEMLIMIT": "1GiB"}
	r.app = &app{
		registry: registry, stdout: r.stdout, stderr: r.stderr, signals: r.signals, grace: time.Second,
		env: func(k string) (string, bool) { v, ok := env[k]; return v, ok },
	}
	return r
}

// start runs a command line beside the test.
func (r *rig) start(ctx context.Context, args ...string) <-chan int {
	code := make(chan int, 1)
	go func() { code <- r.main(ctx, args) }()
	return code
}

func (r *rig) put(n int) {
	for i := range n {
		r.from.Put(i%2, connectors.Message{Value: fmt.Append(nil, i)})
	}
}

func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func await(ctx context.Context, t *testing.T, code <-chan int) int {
	t.Helper()
	select {
	case c := <-code:
		return c
	case <-ctx.Done():
		t.Fatal("the command has not ended")
		return 0
	}
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sluice.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// bridged are the flags of a run from one topic to the other.
var bridged = []string{"run", "--from", "memory://from", "--to", "memory://to", "--admin", "127.0.0.1:0", "--log-format", "json"}

// TestWrongCommandLines: what is wrong with the flags or the file ends with 2 and says what to do.
func TestWrongCommandLines(t *testing.T) {
	wrong := write(t, "routes: {a: {from: \"memory://from\", too: \"memory://to\"}}\n")
	right := write(t, "routes: {a: {from: \"memory://from\", to: \"memory://to\"}}\n")
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"rnu"}, exitConfig, "unknown command"},
		{[]string{"run"}, exitConfig, "give -c FILE, or --from URL --to URL"},
		{[]string{"run", "--from", "memory://from"}, exitConfig, "to"},
		{[]string{"run", "-c", right, "--from", "x", "--to", "y"}, exitConfig, "none of the others"},
		{[]string{"run", "-c", wrong}, exitConfig, `did you mean "to"?`},
		{[]string{"run", "-c", filepath.Join(t.TempDir(), "none.yaml")}, exitConfig, "no such file"},
		{[]string{"run", "-c", right, "--log-level", "loud"}, exitConfig, "trace, debug, info, warn, error"},
		{[]string{"run", "-c", right, "--log-format", "xml"}, exitConfig, "auto, console, json"},
		{[]string{"run", "-c", right, "--memory-limit", "64"}, exitConfig, "with its unit"},
		{[]string{"run", "-c", right, "--memory-limit", "1MiB"}, exitConfig, "40MiB"},
		{[]string{"run", "-c", right, "--admin", "nonsense"}, exitFailed, "--admin HOST:PORT"},
		{[]string{"validate"}, exitConfig, "name the files"},
		{[]string{"validate", right, "--set", "routes.a.window.max_mesages=1"}, exitConfig, "command line:1:23: unknown key"},
		{[]string{"run", "--watch", "--from", "memory://from", "--to", "memory://to"}, exitConfig, "give -c FILE"},
		{[]string{"lint", wrong}, exitConfig, "2 findings"},
		{[]string{"resume"}, exitConfig, "accepts 1 arg"},
		{[]string{"status", "--url", "127.0.0.1:1"}, exitEnvironment, "no daemon answers"},
		{[]string{"resume", "a", "--url", "127.0.0.1:1"}, exitEnvironment, "no daemon answers"},
		{[]string{"resume", "a", "--drop"}, exitConfig, "add --skip"},
		{[]string{"limit", "a"}, exitConfig, "Add --messages"},
		{[]string{"limit", "a", "--messages", "5"}, exitConfig, "such as 5000/s"},
		{[]string{"limit", "a", "--bytes", "5/s"}, exitConfig, "such as 20MiB/s"},
		{[]string{"whatif"}, exitConfig, "Add --sink-down"},
		{[]string{"whatif", "--sink-down", "1h", "--url", "127.0.0.1:1"}, exitEnvironment, "no daemon answers"},
		{[]string{"pause", "a"}, exitConfig, "add --reason"},
		{[]string{"pause", "a", "--reason", "x", "--url", "127.0.0.1:1"}, exitEnvironment, "no daemon answers"},
		{[]string{"position", "a", "--url", "127.0.0.1:1"}, exitEnvironment, "no daemon answers"},
		{[]string{"position", "a", "sett"}, exitConfig, "neither show nor set"},
		{[]string{"position", "a", "set"}, exitConfig, "Add --to"},
		{[]string{"position", "a", "--to", "-2h"}, exitConfig, "position a set --to -2h"},
	} {
		r := newRig(t)
		if code := r.main(soon(t), c.args); code != c.code || !strings.Contains(r.stderr.String()+r.stdout.String(), c.want) {
			t.Errorf("%v: exit code %d, want %d and %q:\n%s%s", c.args, code, c.code, c.want, r.stdout, r.stderr)
		}
	}
}

func TestValidateAndDryRun(t *testing.T) {
	file := write(t, "routes: {a: {from: \"memory://from\", to: \"memory://to\", on_reject: drop}}\n")
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"validate", file}, []string{"ok: 1 route"}},
		{[]string{"check", "--json", file}, []string{`{"ok":true,"findings":[]}`}},
		{[]string{"run", "--dry-run", "-c", file}, []string{"a: memory → memory", "memory     at most 136 MiB", "on_reject  drop", "8192 messages, 64MiB", "nothing was moved"}},
		{[]string{"version"}, []string{"connectors: memory"}},
		{[]string{"version", "--json"}, []string{`"connectors":["memory"]`}},
	} {
		r := newRig(t)
		r.put(1)
		if code := r.main(soon(t), c.args); code != 0 {
			t.Errorf("%v: exit code %d: %s", c.args, code, r.stderr)
		}
		for _, want := range c.want {
			if !strings.Contains(r.stdout.String(), want) {
				t.Errorf("%v: no %q in\n%s", c.args, want, r.stdout)
			}
		}
		if len(r.to.Partitions()) != 0 {
			t.Errorf("%v moved something", c.args)
		}
	}
}

// TestDrain: the first signal lets what is in flight finish; nothing is left uncommitted.
func TestDrain(t *testing.T) {
	r, ctx := newRig(t), soon(t)
	r.put(1000)
	code := r.start(ctx, bridged...)
	if err := r.to.AwaitWritten(ctx, 1000); err != nil {
		t.Fatal(err, r.stderr)
	}
	r.signals <- syscall.SIGTERM
	if c := await(ctx, t, code); c != 0 {
		t.Errorf("exit code %d:\n%s", c, r.stderr)
	}
	if n := r.from.CommittedSum(); n != 1000 {
		t.Errorf("%d of 1000 are committed", n)
	}
	for _, want := range []string{`"message":"route starts"`, `"memory":"at most `, `"guarantee":`, `"message":"drained`, `"level":"info","route":"from"`} {
		if !strings.Contains(r.stderr.String(), want) {
			t.Errorf("no %s in\n%s", want, r.stderr)
		}
	}
}

// TestEnd: a source that ends for good ends the daemon well.
func TestEnd(t *testing.T) {
	r, ctx := newRig(t), soon(t)
	r.put(10)
	r.from.End()
	if c := await(ctx, t, r.start(ctx, bridged...)); c != 0 || r.from.CommittedSum() != 10 {
		t.Errorf("exit code %d, %d committed:\n%s", c, r.from.CommittedSum(), r.stderr)
	}
}

// freeze puts a message into each partition and makes the sink silent. What it returns is ready when
// the sink has been given both.
func (r *rig) freeze() (held *sync.WaitGroup) {
	held = new(sync.WaitGroup)
	held.Add(2)
	r.faults = func([]*connectors.Batch) connectortest.Fault {
		held.Done()
		return connectortest.Fault{Wait: make(chan struct{})}
	}
	r.put(2)
	return held
}

func TestDrainDeadline(t *testing.T) {
	r, ctx := newRig(t), soon(t)
	held := r.freeze()
	file := write(t, "shutdown: {drain: 100ms}\nroutes: {a: {from: \"memory://from\", to: \"memory://to\"}}\n")
	code := r.start(ctx, "run", "-c", file, "--admin", "off", "--log-format", "json")
	held.Wait()
	r.signals <- os.Interrupt
	if c := await(ctx, t, code); c != exitDrain {
		t.Errorf("exit code %d:\n%s", c, r.stderr)
	}
	for _, want := range []string{
		"2 messages are not committed and will come again",
		`"in_flight":2,"in_flight_bytes":`, `"in_flight_oldest":["a: from/`, `"messages":2,"written":0,"bytes":`,
		`"a: from/0 from 0, 1 messages, oldest `, `"a: from/1 from 0, 1 messages, oldest `,
	} {
		if !strings.Contains(r.stderr.String(), want) {
			t.Errorf("no %s in\n%s", want, r.stderr)
		}
	}
}

// deaf is a sink whose Write does not heed its context.
type deaf struct {
	connectors.Sink
	called, release chan struct{}
}

func (s deaf) Write(context.Context, []*connectors.Batch) error {
	s.called <- struct{}{}
	<-s.release
	return fmt.Errorf("released")
}

// TestDeafConnector: a connector that hangs for good does not keep the process.
func TestDeafConnector(t *testing.T) {
	r, ctx := newRig(t), soon(t)
	r.grace = 100 * time.Millisecond
	called, release := make(chan struct{}, 2), make(chan struct{})
	defer close(release)
	r.wrap = func(s connectors.Sink) connectors.Sink { return deaf{s, called, release} }
	r.put(2)
	file := write(t, "shutdown: {drain: 100ms}\nadmin: {listen: \"off\"}\nroutes: {a: {from: \"memory://from\", to: \"memory://to\"}}\n")
	code := r.start(ctx, "run", "-c", file)
	<-called
	<-called
	r.signals <- syscall.SIGTERM
	if c := await(ctx, t, code); c != exitDrain || !strings.Contains(r.stderr.String(), "2 messages are not committed and will come again") {
		t.Errorf("exit code %d:\n%s", c, r.stderr)
	}
}

func TestSecondSignal(t *testing.T) {
	for signal, want := range map[os.Signal]int{os.Interrupt: 130, syscall.SIGTERM: 143} {
		r, ctx := newRig(t), soon(t)
		held := r.freeze()
		code := r.start(ctx, bridged...)
		held.Wait()
		r.signals <- syscall.SIGTERM
		r.stderr.await(ctx, t, "draining")
		r.signals <- signal
		if c := await(ctx, t, code); c != want {
			t.Errorf("exit code %d, want %d:\n%s", c, want, r.stderr)
		}
		if !strings.Contains(r.stderr.String(), "2 messages are not committed and will come again") {
			t.Errorf("no count in\n%s", r.stderr)
		}
	}
}

// TestHalt follows a refused message from the halt to `sluice resume`.
func TestHalt(t *testing.T) {
	r, ctx := newRig(t), soon(t)
	var mended sync.Map
	r.faults = func([]*connectors.Batch) connectortest.Fault {
		if _, ok := mended.Load(true); ok {
			return connectortest.Fault{}
		}
		return connectortest.Fault{Err: connectors.Permanent(fmt.Errorf("the stream is sealed"))}
	}
	r.put(10)
	code := r.start(ctx, bridged...)
	address, _, _ := strings.Cut(r.stderr.await(ctx, t, `"address":"`), `"`)
	r.stderr.await(ctx, t, "route halted")

	client := newRig(t)
	if c := client.main(ctx, []string{"status", "--url", address}); c != exitFailed || !strings.Contains(client.stdout.String(), "the stream is sealed") {
		t.Errorf("exit code %d:\n%s%s", c, client.stdout, client.stderr)
	}
	if c := client.main(ctx, []string{"resume", "nobody", "--url", address}); c != exitFailed || !strings.Contains(client.stderr.String(), `there is no route "nobody"`) {
		t.Errorf("exit code %d: %s", c, client.stderr)
	}
	mended.Store(true, true)
	if c := client.main(ctx, []string{"resume", "from", "--url", address}); c != 0 || !strings.Contains(client.stdout.String(), "from goes on") {
		t.Errorf("exit code %d: %s", c, client.stderr)
	}
	if err := r.to.AwaitWritten(ctx, 10); err != nil {
		t.Fatal(err)
	}
	client = newRig(t)
	if c := client.main(ctx, []string{"status", "--json", "--url", address}); c != 0 || !strings.Contains(client.stdout.String(), `"routes":[{"route":"from"`) {
		t.Errorf("exit code %d: %s%s", c, client.stdout, client.stderr)
	}
	if c := client.main(ctx, []string{"resume", "from", "--url", address}); c != exitFailed || !strings.Contains(client.stderr.String(), "neither halted nor paused") {
		t.Errorf("exit code %d: %s", c, client.stderr)
	}
	r.signals <- syscall.SIGTERM
	if c := await(ctx, t, code); c != 0 {
		t.Errorf("exit code %d: %s", c, r.stderr)
	}
}

func TestAdminInUse(t *testing.T) {
	l, err := listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := newRig(t)
	args := append(append([]string{}, bridged...), "--admin", l.Addr().String())
	if c := r.main(soon(t), args); c != exitFailed || !strings.Contains(r.stderr.String(), "in use") || !strings.Contains(r.stderr.String(), "--admin") {
		t.Errorf("exit code %d: %s", c, r.stderr)
	}
}
