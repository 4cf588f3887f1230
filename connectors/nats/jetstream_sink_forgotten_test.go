package nats

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/sluice-bridge/sluice/connectors"
)

// A server comes back without what it had stored and acknowledged, as after a power cut: the sink says
// how much, and writes on.
func TestSinkTellsWhatServerForgot(t *testing.T) {
	t.Parallel()
	p := startProcess(t, 0)
	st := newSinkTest(t, p.url(), nil)
	s := st.open(st.config(), st.env())
	write(t, s, lane(0, 0, 100, 0))
	old := filepath.Join(t.TempDir(), "old")
	p.freeze()
	if err := os.CopyFS(old, os.DirFS(p.what.Dir)); err != nil {
		t.Fatal(err)
	}
	p.thaw()
	write(t, s, lane(0, 100, 50, 0))
	p.kill()
	if err := os.RemoveAll(p.what.Dir); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(p.what.Dir, os.DirFS(old)); err != nil {
		t.Fatal(err)
	}
	p.start()
	if e := st.host.awaitKind(t, connectors.Dropped); e.N != 50 || e.Text != "stream T" || e.Err == nil {
		t.Errorf("reported %+v, want 50 messages of stream T", e)
	}
	write(t, s, lane(0, 150, 10, 0))
	if n := len(st.stored()["0"]); n != 110 {
		t.Errorf("the stream holds %d messages, want 110", n)
	}
	if all := st.host.all(connectors.Dropped); len(all) != 1 {
		t.Errorf("reported %d times", len(all))
	}
}
