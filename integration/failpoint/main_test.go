package failpoint

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-bridge/sluice/integration/brokers"
)

// beDaemon makes the test's own program the daemon with fail points.
const beDaemon = "SLUICE_TEST_BE_DAEMON"

func TestMain(m *testing.M) {
	if os.Getenv(beDaemon) != "" {
		os.Exit(Main(os.Args[1:], os.Stdout, os.Stderr))
	}
	flag.Parse()
	// These tests wait, for pauses and heartbeats, more than they work.
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// daemon is the program under test, started again and again with one configuration.
type daemon struct {
	*brokers.Process
	dir, journal string
}

// newDaemon writes the configuration. program is empty for the test's own.
func newDaemon(t testing.TB, program, yaml string) *daemon {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "sluice.yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	if program == "" {
		program = os.Args[0]
	}
	d := &daemon{dir: dir, Process: &brokers.Process{
		Name: "sluice", Path: program, Log: filepath.Join(dir, "sluice.log"),
		Args: []string{"run", "-c", file, "--log-format", "json"},
	}}
	t.Cleanup(func() {
		if d.journal != "" {
			_ = d.Kill()
		}
		if t.Failed() {
			t.Logf("log of %s:\n%s", t.Name(), d.Tail(40))
		}
	})
	return d
}

// start starts it with a fail point, or none.
func (d *daemon) start(p Plan) error {
	journal, err := os.CreateTemp(d.dir, "journal-")
	if err != nil {
		return err
	}
	d.journal = journal.Name()
	d.Env = []string{beDaemon + "=1", planEnv + "=" + p.String(), journalEnv + "=" + d.journal, "OTEL_SDK_DISABLED=true"}
	return journal.Close()
}

// wait polls until ok, for what has no other way to be waited for.
func wait(ctx context.Context, ok func() (bool, error)) error {
	for {
		if done, err := ok(); err != nil || done {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// await is wait, for as long as the daemon lives.
func (d *daemon) await(ctx context.Context, ok func() (bool, error)) error {
	return wait(ctx, func() (bool, error) {
		select {
		case <-d.Exited():
			return false, fmt.Errorf("it ended with %d", d.ExitCode())
		default:
			return ok()
		}
	})
}

// until starts the daemon and waits until done.
func (d *daemon) until(ctx context.Context, t testing.TB, done func() (bool, error)) {
	t.Helper()
	must(t, d.start(Plan{}))
	must(t, d.Start())
	must(t, d.await(ctx, done))
}

// end ends the daemon softly.
func (d *daemon) end(t testing.TB) {
	t.Helper()
	must(t, d.Signal(syscall.SIGTERM))
	if code := d.ExitCode(); code != 0 {
		t.Errorf("exit code %d after SIGTERM", code)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
