//go:build integration

package acceptance

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-bridge/sluice/integration/daemon"
)

// A route whose configuration changes again and again under load is drained and begun anew each time: nothing is lost,
// nothing doubled.
func TestReloadUnderLoad(t *testing.T) {
	both(t, func(s *scene, way *direction) {
		n := messages(600_000, 120_000)
		s.must(way.fill(s, s.ctx, 0, n, 0))
		file := filepath.Join(s.TempDir(), "sluice.yaml")
		write := func(window int) {
			s.Helper()
			s.must(os.WriteFile(file, fmt.Appendf(nil, "%s\n    window: {max_messages: %d}\n", way.config(s), window), 0o600))
		}
		write(window)
		d := suite.sluice.Run(s.T, []string{"run", "-c", file})
		s.daemon = d
		const reloads = 4
		for i := range int64(reloads) {
			s.arrive("the sink", way.arrived(s), n*(i+1)/(reloads+2), time.Minute)
			write(window - 1 - int(i))
			s.must(d.Signal(syscall.SIGHUP))
			d.Until(s.ctx, s.T, "begun anew", func(r *daemon.Route) bool { return r.Window.MessagesLimit == window-1-i })
		}
		s.arrive("the sink", way.arrived(s), n, time.Minute)
		d.Until(s.ctx, s.T, "done", func(r *daemon.Route) bool { return r.Window.Messages == 0 && r.LagKnown && r.Lag == 0 })
		s.end(d)
		r := way.compare(s)
		s.clean(r)
		lines, err := d.Lines()
		s.must(err)
		var done int
		for _, l := range lines {
			if strings.Contains(l.Message(), "operator: reload") && l["outcome"] == "done" {
				done++
			}
		}
		if done != reloads {
			t.Errorf("%d of %d reloads are done", done, reloads)
		}
		row("%s, reloaded %d times under load: %v", way.name, reloads, r)
	})
}
