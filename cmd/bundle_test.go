package cmd

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// unpack returns the files of a bundle.
func unpack(t *testing.T, archive []byte) map[string]string {
	t.Helper()
	gz, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for all := tar.NewReader(gz); ; {
		h, err := all.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(all)
		if err != nil {
			t.Fatal(err)
		}
		files[strings.TrimPrefix(h.Name, "sluice-debug/")] = string(text)
	}
}

// TestBundle: everything is in it, it tells of the last quarter of an hour, and it leaves an audit line.
func TestBundle(t *testing.T) {
	r, ctx := newRig(t), soon(t)
	r.put(100)
	config := write(t, `
routes: {from: {from: "memory://from", to: "memory://to"}}
admin: {listen: "127.0.0.1:0", token: CANARY-token}
log: {format: json}
`)
	code := r.start(ctx, "run", "-c", config)
	address, _, _ := strings.Cut(r.stderr.await(ctx, t, `"address":"`), `"`)
	if err := r.from.AwaitCommitted(ctx, 100); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "b.tar.gz")
	client := func(token string, args ...string) (int, string) {
		c := newRig(t)
		c.app.env = func(k string) (string, bool) { return token, k == "SLUICE_TOKEN" && token != "" }
		return c.main(ctx, append(args, "--url", address)), c.stdout.String() + c.stderr.String()
	}
	if c, said := client("", "debug", "bundle", "-o", file); c != exitFailed || !strings.Contains(said, "admin token") {
		t.Errorf("without the token: %d %s", c, said)
	}
	if c, said := client("CANARY-token", "pause", "from", "--reason", "a look at it"); c != 0 {
		t.Errorf("pause: %d %s", c, said)
	}
	r.stderr.await(ctx, t, "route paused by the operator")
	if c, said := client("CANARY-token", "debug", "bundle", "-o", file, "--reason", "ticket 7"); c != 0 || !strings.Contains(said, file) {
		t.Errorf("%d %s", c, said)
	}
	if c, said := client("CANARY-token", "debug", "bundle", "-o", file); c != exitFailed || !strings.Contains(said, "exists") {
		t.Errorf("over a file that exists: %d %s", c, said)
	}
	archive, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	files := unpack(t, archive)
	for name, want := range map[string]string{
		"version.json": `"connectors"`, "config.yaml": `token: "***"`, "status.json": `"state": "paused"`, "metrics.txt": "sluice_committed_messages_total",
		"history.json": `"state": "paused"`, "goroutines.txt": "goroutine ", "environment.json": `"files_limit"`,
	} {
		if !strings.Contains(files[name], want) {
			t.Errorf("%s has no %s: %.2000s", name, want, files[name])
		}
	}
	for name, text := range files {
		if strings.Contains(text, "CANARY") {
			t.Errorf("%s holds a secret: %s", name, text)
		}
	}
	var e environment
	if err := json.Unmarshal([]byte(files["environment.json"]), &e); err != nil || e.FilesOpen == 0 || e.FilesLimit == 0 || e.Resident == 0 || e.CPUs == 0 {
		t.Errorf("%v %+v", err, e)
	}
	if text := r.stderr.String(); strings.Count(text, `"what":"debug bundle"`) != 2 || !strings.Contains(text, `"why":"ticket 7"`) || !strings.Contains(text, "(127.0.0.1, with the token)") {
		t.Errorf("audit lines in\n%s", text)
	}
	r.signals <- syscall.SIGTERM
	if c := await(ctx, t, code); c != 0 {
		t.Errorf("exit code %d:\n%s", c, r.stderr)
	}
}
