package cmd

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-bridge/sluice/connectors"
)

// doctored is a rig whose ends can be examined. bad is what the source's broker says, "" for nothing.
func doctored(t *testing.T, bad *string) *rig {
	r := newRig(t)
	plugin := r.registry.Plugins()[0]
	source := plugin.Source
	plugin.Source = func(d connectors.Decode, a connectors.About) (*connectors.SourceSpec, error) {
		spec, err := source(d, a)
		if err != nil {
			return nil, err
		}
		changed := *spec
		changed.Examine = func(connectors.Env) (*connectors.Examination, error) {
			return &connectors.Examination{Close: func(context.Context) {}, Checks: []connectors.Check{
				{Code: "memory.topic", About: "topic from", Ask: func(context.Context) []connectors.Finding {
					if *bad != "" {
						return connectors.Found(connectors.Failed, "make it", "%s", *bad)
					}
					return nil
				}},
				{Code: "memory.rights", About: "topic from", After: []string{"memory.topic"}, Ask: func(context.Context) []connectors.Finding { return nil }},
			}}, nil
		}
		return &changed, nil
	}
	var err error
	if r.registry, err = connectors.NewRegistry(plugin); err != nil {
		t.Fatal(err)
	}
	return r
}

const examinedRoute = `
routes:
  a: {from: "memory://from", to: "memory://to"}
admin: {listen: "off"}
`

func TestDoctor(t *testing.T) {
	bad := ""
	r, file := doctored(t, &bad), write(t, examinedRoute)
	if code := r.main(soon(t), []string{"doctor", "-c", file}); code != 0 || !strings.Contains(r.stdout.String(), "  ✓ memory.rights        topic from\n") ||
		!strings.Contains(r.stdout.String(), "Summary: 7 passed\n") || !strings.Contains(r.stdout.String(), "routes.a.from ("+file+":3)") {
		t.Errorf("all is well: %d\n%s%s", code, r.stdout, r.stderr)
	}
	bad = "topic from does not exist"
	from := len(r.stdout.String())
	if code := r.main(soon(t), []string{"doctor", "-c", file}); code != exitEnvironment {
		t.Errorf("exit code %d", code)
	}
	if got := r.stdout.String()[from:]; !strings.Contains(got, "✗ memory.topic         topic from\n      topic from does not exist\n      → make it\n") ||
		!strings.Contains(got, "Summary: 5 passed · 1 failed · 1 skipped\n") {
		t.Error(got)
	}
	from = len(r.stdout.String())
	code := r.main(soon(t), []string{"doctor", "-c", file, "--json", "--check", "memory"})
	var answer doctorAnswer
	if err := json.Unmarshal([]byte(r.stdout.String()[from:]), &answer); err != nil {
		t.Fatal(err)
	}
	if code != exitEnvironment || answer.OK || answer.Command != "doctor" || len(answer.Results) != 2 || answer.Results[0].Way != "make it" || answer.Summary.Skipped != 1 {
		t.Errorf("%d, %+v", code, answer)
	}
	if code := r.main(soon(t), []string{"doctor", "-c", file, "--check", "nothing"}); code != exitConfig ||
		!strings.Contains(r.stderr.String(), `no check is called "nothing"; there is config.file, memory.topic, memory.rights`) {
		t.Errorf("%d\n%s", code, r.stderr)
	}
	// A route of the command line is one too.
	from = len(r.stdout.String())
	if code := r.main(soon(t), []string{"doctor", "--from", "memory://from", "--to", "memory://to", "--check", "memory"}); code != exitEnvironment ||
		!strings.Contains(r.stdout.String()[from:], "routes.from.from (command line:1)") {
		t.Errorf("%d\n%s%s", code, r.stdout.String()[from:], r.stderr)
	}
	// The same through validate, which first says that the configuration is one.
	from = len(r.stdout.String())
	if code := r.main(soon(t), []string{"validate", "--connect", file}); code != exitEnvironment || !strings.Contains(r.stdout.String()[from:], "✗ memory.topic") {
		t.Errorf("validate --connect: %d\n%s", code, r.stdout.String()[from:])
	}
}

func TestDoctorRefuses(t *testing.T) {
	bad := ""
	r, file := doctored(t, &bad), write(t, "routes:\n  a: {from: \"memory://from\", two: \"memory://to\"}\n")
	if code := r.main(soon(t), []string{"doctor", "-c", file}); code != exitConfig || !strings.Contains(r.stdout.String(), `unknown key "two"`) {
		t.Errorf("%d\n%s%s", code, r.stdout, r.stderr)
	}
	from := len(r.stdout.String())
	code := r.main(soon(t), []string{"doctor", "-c", file, "--json"})
	var answer doctorAnswer
	if err := json.Unmarshal([]byte(r.stdout.String()[from:]), &answer); err != nil || code != exitConfig || answer.OK || len(answer.Findings) == 0 {
		t.Errorf("%d, %v, %+v", code, err, answer)
	}
	if code := r.main(soon(t), []string{"doctor"}); code != exitConfig {
		t.Errorf("without a file: %d", code)
	}
	if code := r.main(soon(t), []string{"doctor", "-c", file, "--timeout", "0s"}); code != exitConfig {
		t.Errorf("without time: %d", code)
	}
}

// The machine: who can read a secret, who has the admin port, who takes traces, and how much memory there is.
func TestDoctorMachine(t *testing.T) {
	bad := ""
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.NotFoundHandler()} //nolint:gosec // it has no clients but ours
	go func() { _ = server.Serve(busy) }()
	t.Cleanup(func() { server.Close() })
	secret := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(secret, []byte("t\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(secret, 0o644); err != nil {
		t.Fatal(err)
	}
	r := doctored(t, &bad)
	t.Setenv("OTEL_SDK_DISABLED", "")
	r.env = func(name string) (string, bool) {
		return map[string]string{"GOMEMLIMIT": "64MiB"}[name], name == "GOMEMLIMIT"
	}
	file := write(t, fmt.Sprintf(`
routes:
  a: {from: "memory://from", to: "memory://to", window: {max_bytes: 1GiB}}
admin: {listen: %q, token: "${file:%s}"}
telemetry: {endpoint: "http://127.0.0.1:1"}
`, busy.Addr(), secret))
	code := r.main(soon(t), []string{"doctor", "-c", file})
	for _, want := range []string{
		"⚠ config.secret        the secret of " + file + ":4", "→ chmod o-rwx " + secret, "⚠ telemetry.endpoint", "✗ admin.listen", "is in use by another program",
	} {
		if !strings.Contains(r.stdout.String(), want) {
			t.Errorf("no %q", want)
		}
	}
	if code != exitEnvironment || t.Failed() {
		t.Errorf("%d\n%s%s", code, r.stdout, r.stderr)
	}
}

// A daemon that runs has its port rightly.
func TestDoctorBesideADaemon(t *testing.T) {
	bad := ""
	r := doctored(t, &bad)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := free.Addr().String()
	free.Close()
	file := write(t, strings.Replace(examinedRoute, `"off"`, `"`+at+`"`, 1))
	ctx := soon(t)
	ended := r.start(ctx, "run", "-c", file)
	r.stderr.await(ctx, t, "admin listens")
	if code := r.main(ctx, []string{"doctor", "-c", file, "--check", "admin"}); code != 0 || !strings.Contains(r.stdout.String(), "a sluice runs at "+at) {
		t.Errorf("%d\n%s", code, r.stdout)
	}
	r.signals <- os.Interrupt
	await(ctx, t, ended)
}
