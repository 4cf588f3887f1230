package cmd

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/flowcontrol"
	"github.com/sluice-bridge/sluice/telemetry"
)

// TestScreen: log lines go above the line of progress, which is never left half written.
func TestScreen(t *testing.T) {
	out := newBuffer()
	s := &screen{out: out}
	log := newLogger(s, zerolog.InfoLevel, true, false)
	log.Info().Msg("before")
	s.show(strings.Repeat("x", 200))
	s.show(strings.Repeat("x", 200))
	log.Info().Msg("during")
	s.show("")
	log.Info().Msg("after")
	text := out.String()
	for _, want := range []string{"INF before\n", clearLine + strings.Repeat("x", 79) + clearLine, "INF during\n" + strings.Repeat("x", 79) + clearLine, "INF after\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %q", want, text)
		}
	}
	if strings.Count(text, "\n") != 3 {
		t.Errorf("%q", text)
	}
}

func TestJSONLog(t *testing.T) {
	out := newBuffer()
	log := newLogger(out, zerolog.WarnLevel, false, false)
	log.Info().Msg("quiet")
	log.Warn().Str("route", "a").Msg("loud")
	if text := out.String(); !strings.HasPrefix(text, `{"level":"warn","route":"a","time":"2`) || strings.Contains(text, "quiet") {
		t.Error(text)
	}
}

func TestDescribe(t *testing.T) {
	now := time.Now()
	s := telemetry.RouteStatus{
		Route: "orders", State: flowcontrol.Stalled, Since: now.Add(-42 * time.Second), Cause: flowcontrol.CauseMessages,
		Blocker: flowcontrol.BlockerAck, Window: telemetry.WindowStatus{Messages: 90, MessagesNow: 100, MessagesLimit: 100, Bytes: 1, BytesLimit: 10},
	}
	if got, want := describe(&s, 12345, now), "orders 12,345/s, window 90 %, stalled for 42s by sink.ack"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	s.Ended = true
	if got := describe(&s, 0, now); got != "orders has ended" {
		t.Error(got)
	}
}

func TestCgroupLimit(t *testing.T) {
	tree := func(files map[string]string) string {
		root := t.TempDir()
		for name, text := range files {
			path := filepath.Join(root, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return root
	}
	for _, c := range []struct {
		name  string
		files map[string]string
		want  int64
	}{
		{"none", nil, 0},
		{"version 2, the smallest counts", map[string]string{
			"proc/self/cgroup": "0::/pod/box\n", "sys/fs/cgroup/pod/box/memory.max": "max\n", "sys/fs/cgroup/pod/memory.max": "1048576\n",
			"sys/fs/cgroup/memory.max": "2097152\n",
		}, 1 << 20},
		{"version 2, the group is the root", map[string]string{"proc/self/cgroup": "0::/elsewhere\n", "sys/fs/cgroup/memory.max": "4096\n"}, 4096},
		{"version 1", map[string]string{
			"proc/self/cgroup": "3:cpu,cpuacct:/x\n2:memory:/x\n", "sys/fs/cgroup/memory/x/memory.limit_in_bytes": "8192\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
		}, 8192},
		{"nonsense", map[string]string{"proc/self/cgroup": "nonsense\n0::/../../etc\n", "sys/fs/cgroup/memory.max": "-1"}, 0},
	} {
		got, ok := cgroupLimit(tree(c.files))
		if ok != (c.want > 0) || ok && got != c.want {
			t.Errorf("%s: %d %v, want %d", c.name, got, ok, c.want)
		}
	}
}

// TestMemoryLimit: the collector keeps to what the routes say they need, unless the operator decides.
func TestMemoryLimit(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	for _, c := range []struct {
		env      string
		fallback connectors.Size
		need     int64
		want     int64
		log      string
	}{
		{"", 512 << 20, 148 << 20, 116 << 20, `"collector":"116MiB"`},
		{"", 100 << 20, 148 << 20, 90 << 20, "lower their window.max_bytes"},
		{"1GiB", 100 << 20, 148 << 20, 1, "GOMEMLIMIT"},
	} {
		debug.SetMemoryLimit(1)
		out := newBuffer()
		setMemoryLimit(zerolog.New(out), func(string) (string, bool) { return c.env, c.env != "" }, c.fallback, c.need)
		if n, limited := cgroupLimit("/"); limited && n < int64(c.fallback) {
			t.Skip("the cgroup of this test is smaller")
		}
		if got := debug.SetMemoryLimit(-1); got != c.want || !strings.Contains(out.String(), c.log) {
			t.Errorf("%d, want %d and %s in\n%s", got, c.want, c.log, out)
		}
	}
}
