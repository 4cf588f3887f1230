package integration

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestThirdParty builds a connector that lives in a module of its own, as a stranger would: with
// nothing but the packages that this module offers.
func TestThirdParty(t *testing.T) {
	module := filepath.Join(t.TempDir(), "spool")
	if err := os.CopyFS(module, os.DirFS("testdata/thirdparty")); err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	requireWhatWeRequire(t, root, module)

	t.Run("is small", func(t *testing.T) {
		code, err := os.ReadFile("testdata/thirdparty/spool.go")
		if err != nil {
			t.Fatal(err)
		}
		if lines := strings.Count(string(code), "\n"); lines > 150 {
			t.Errorf("%d lines, want at most 150", lines)
		}
	})
	t.Run("passes the suite", func(t *testing.T) {
		if out := goTool(t, module, "test", "-v", "."); !strings.Contains(out, "--- PASS: TestSource/redelivery") {
			t.Errorf("the suite did not run:\n%s", out)
		}
	})
	daemon := filepath.Join(t.TempDir(), "daemon")
	goTool(t, module, "build", "-o", daemon, "./daemon")
	t.Run("runs from YAML", func(t *testing.T) { runThirdParty(t, daemon) })
	t.Run("a typo has a place", func(t *testing.T) {
		file := write(t, "routes:\n  copy:\n    source: {spool: {dir: in, edn: true}}\n    sink: {spool: {dir: out}}\n")
		out, err := exec.CommandContext(t.Context(), daemon, "run", "-c", file).CombinedOutput()
		var failed *exec.ExitError
		if !errors.As(err, &failed) || failed.ExitCode() != 2 {
			t.Errorf("a typo: %v, want exit code 2\n%s", err, out)
		}
		if want := file + ":3:31"; !strings.Contains(string(out), want) || !strings.Contains(string(out), "edn") {
			t.Errorf("want %s and the key in\n%s", want, out)
		}
	})
}

// runThirdParty moves a directory of files into another, until the source ends.
func runThirdParty(t *testing.T, daemon string) {
	const n = 300
	in, out := t.TempDir(), t.TempDir()
	for i := range n {
		if err := os.WriteFile(filepath.Join(in, fmt.Sprintf("%020d.message", i)), fmt.Appendf(nil, "message %d", i), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := write(t, fmt.Sprintf("routes:\n  copy:\n    source: {spool: {dir: %q, end: true}}\n    sink: {spool: {dir: %q}}\nadmin: {listen: off}\n", in, out))
	if text, err := exec.CommandContext(t.Context(), daemon, "run", "-c", file).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	files, err := filepath.Glob(filepath.Join(out, "*.message"))
	if err != nil || len(files) != n {
		t.Fatalf("%d messages arrived, want %d; %v", len(files), n, err)
	}
	for i, f := range files {
		if value, err := os.ReadFile(f); err != nil || string(value) != fmt.Sprintf("message %d", i) {
			t.Fatalf("message %d is %q, %v", i, value, err)
		}
	}
	if left, err := os.ReadDir(in); err != nil || len(left) != 0 {
		t.Errorf("%d files were not committed; %v", len(left), err)
	}
}

func write(t *testing.T, text string) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "sluice.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// requireWhatWeRequire gives the module of a stranger our requirements and sums, as "go mod tidy" would,
// so that building it loads no module that building ours did not.
func requireWhatWeRequire(t *testing.T, root, module string) {
	t.Helper()
	ours, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	theirs := strings.Replace(string(ours), "module github.com/sluice-bridge/sluice\n", "module example.com/spool\n", 1)
	if err := os.WriteFile(filepath.Join(module, "go.mod"), []byte(theirs), 0o600); err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(module, "go.sum"), sums, 0o600); err != nil {
		t.Fatal(err)
	}
	goTool(t, module, "mod", "edit", "-require=github.com/sluice-bridge/sluice@v0.0.0", "-replace=github.com/sluice-bridge/sluice="+root)
}

// goTool runs the go command in dir.
func goTool(t *testing.T, dir string, args ...string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), "go", args...)
	c.Dir = dir
	c.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}
