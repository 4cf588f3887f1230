package nats

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
)

// A server comes back without the end of a stream, as after a power cut, and gives its sequences to other
// messages before the source looks: those are not what was read, although they are where it was read.
func TestSourceTellsOtherMessages(t *testing.T) {
	t.Parallel()
	st := newStreamTest(t, nil)
	o := *optionsOf(st.server)
	restart := func(port int) {
		t.Helper()
		st.nc.Close()
		stopServer(st.server)
		again := o
		again.Port = port
		st.server = runServer(t, &again)
		st.connect()
	}
	st.publish(1, 100)
	s := st.open(st.config(), newSourceHost(), "a")
	commit(t, s, readAll(t, s, 1, 100, roomy)...)
	st.nc.Close()
	stopServer(st.server)
	old := filepath.Join(t.TempDir(), "old")
	if err := os.CopyFS(old, os.DirFS(o.StoreDir)); err != nil {
		t.Fatal(err)
	}
	restart(o.Port)
	st.publish(101, 50)
	commit(t, s, readAll(t, s, 101, 50, roomy)...)
	st.nc.Close()
	stopServer(st.server)
	if err := errors.Join(os.RemoveAll(o.StoreDir), os.CopyFS(o.StoreDir, os.DirFS(old))); err != nil {
		t.Fatal(err)
	}
	restart(-1) // where the source does not see it
	st.publish(1001, 100)
	restart(o.Port)

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	b, err := s.Fetch(ctx, roomy)
	var h *connectors.HaltError
	if !errors.As(err, &h) || h.Reason != "source_truncated" || h.Way != "sluice position r set --to 101" || !strings.Contains(err.Error(), "150") {
		t.Fatalf("fetched %v, %v; want a halt", b, err)
	}
}
