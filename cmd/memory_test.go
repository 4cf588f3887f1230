package cmd

import (
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/sluice-bridge/sluice/connectors"
)

// tree writes files below a directory of its own and returns that.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
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

func TestCgroupLimit(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		want  int64
		err   string
	}{
		{"none", nil, 0, ""},
		{"version 2, the smallest counts", map[string]string{
			"proc/self/cgroup": "0::/pod/box\n", "sys/fs/cgroup/pod/box/memory.max": "max\n", "sys/fs/cgroup/pod/memory.max": "1048576\n",
			"sys/fs/cgroup/memory.max": "2097152\n",
		}, 1 << 20, ""},
		{"version 2, the group is the root", map[string]string{"proc/self/cgroup": "0::/elsewhere\n", "sys/fs/cgroup/memory.max": "4096\n"}, 4096, ""},
		{"version 2, no limit", map[string]string{"proc/self/cgroup": "0::/x\n", "sys/fs/cgroup/x/memory.max": "max\n"}, 0, ""},
		{"version 1", map[string]string{
			"proc/self/cgroup": "3:cpu,cpuacct:/x\n2:memory:/x\n", "sys/fs/cgroup/memory/x/memory.limit_in_bytes": "8192\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
		}, 8192, ""},
		{"nonsense", map[string]string{"proc/self/cgroup": "nonsense\n0::/../../etc\n", "sys/fs/cgroup/memory.max": "-1"}, 0, `memory.max: "-1" is not a limit of memory`},
		{"long nonsense", map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": strings.Repeat("9", 1<<20)}, 0, "memory.max is larger than 65536 bytes"},
		{"a directory", map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max/x": ""}, 0, "is a directory"},
	} {
		got, err := cgroupLimit(tree(t, c.files))
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %d %v, want %d %s", c.name, got, err, c.want, c.err)
		}
	}
}

func TestFindMemory(t *testing.T) {
	box := func(limit string) map[string]string {
		return map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": limit}
	}
	const mebi = 1 << 20
	for _, c := range []struct {
		env   string
		files map[string]string
		want  memory
		log   string
	}{
		{"", nil, memory{512 * mebi, "--memory-limit", math.MaxInt64, false}, ""},
		{"", box("max"), memory{512 * mebi, "--memory-limit", math.MaxInt64, false}, ""},
		{"", box("1073741824"), memory{1024 * mebi, "cgroup", math.MaxInt64, false}, ""},
		{"off", box("104857600"), memory{100 * mebi, "cgroup", math.MaxInt64, true}, ""},
		{"90MiB", nil, memory{100 * mebi, "GOMEMLIMIT", 90 * mebi, false}, ""},
		{"90MiB", box("52428800"), memory{50 * mebi, "cgroup", 90 * mebi, false}, ""},
		{"90MiB", box("209715200"), memory{100 * mebi, "GOMEMLIMIT", 90 * mebi, false}, ""},
		{"", box("a lot"), memory{512 * mebi, "--memory-limit", math.MaxInt64, false}, "set --memory-limit to it"},
		{"much", nil, memory{512 * mebi, "--memory-limit", math.MaxInt64, false}, "is not understood"},
	} {
		out := newBuffer()
		got := findMemory(zerolog.New(out), func(string) (string, bool) { return c.env, c.env != "" }, 512*mebi, tree(t, c.files))
		if got != c.want || !strings.Contains(out.String(), c.log) || c.log == "" && out.String() != "" {
			t.Errorf("%s %v: %+v, want %+v and %s in\n%s", c.env, c.files, got, c.want, c.log, out)
		}
	}
}

// TestCollectorKeepsToTheLine: the collector keeps to what the routes say they need, and to GOMEMLIMIT.
func TestCollectorKeepsToTheLine(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	for _, c := range []struct {
		memory     memory
		need, want int64
		log        string
	}{
		{memory{512 << 20, "x", math.MaxInt64, false}, 148 << 20, 116 << 20, `"memory":"at most","collector":"116MiB"`},
		{memory{100 << 20, "x", math.MaxInt64, false}, 148 << 20, 90 << 20, "run fewer in a process, or raise the limit"},
		{memory{512 << 20, "x", 80 << 20, false}, 148 << 20, 80 << 20, `"collector":"80MiB"`},
		{memory{512 << 20, "x", math.MaxInt64, true}, 148 << 20, 1, `"memory":"at most"`},
	} {
		debug.SetMemoryLimit(1)
		out := newBuffer()
		c.memory.set(zerolog.New(out), c.need, "at most")
		if got := debug.SetMemoryLimit(-1); got != c.want || !strings.Contains(out.String(), c.log) {
			t.Errorf("%d, want %d and %s in\n%s", got, c.want, c.log, out)
		}
	}
	if m := (memory{limit: 256 << 20}); m.share() >= 244<<20 || connectors.Size(m.share()) < 243<<20 {
		t.Errorf("%d of 256 MiB", m.share())
	}
}

// TestGiveBack: memory goes back once after the windows have been nearly empty for a while, and not while they
// are in use.
func TestGiveBack(t *testing.T) {
	freed := 0
	g := giveBack{free: func() { freed++ }}
	now := time.Now()
	look := func(seconds int, held int64) {
		for range seconds {
			now = now.Add(time.Second)
			g.look(held, now)
		}
	}
	look(60, 1<<20)
	look(60, 64<<20)
	look(5, 1<<20)
	look(60, 16<<20)
	look(9, 1<<20)
	if freed != 0 {
		t.Fatalf("%d times while in use", freed)
	}
	look(60, 1<<20)
	if freed != 1 {
		t.Errorf("%d times after use, want once", freed)
	}
	look(1, 64<<20)
	look(60, 0)
	if freed != 2 {
		t.Errorf("%d times after it was used twice", freed)
	}
}
