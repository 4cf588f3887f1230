package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// everyEnd has an end of each kind, a secret in a file, and brokers that are not there.
const everyEnd = `
connections:
  k: {kafka: {brokers: ["127.0.0.1:1"], tls: true, username: u, password: "${file:secret}"}}
  n: {nats: {servers: ["127.0.0.1:1"], tls: true, user: u, password: "${file:secret}"}}
routes:
  a: {source: {kafka: {connection: k, topics: a}}, sink: {jetstream: {connection: n, stream: S}}}
  b: {source: {jetstream: {connection: n, stream: T}}, sink: {kafka: {connection: k, topic: b}}}
  c: {source: {kafka: {connection: k, topics: c}}, sink: {nats: {connection: n, subject: c}}}
  d: {source: {nats: {connection: n, subjects: d}}, sink: {kafka: {connection: k, topic: d}}, accept_loss: [core_source]}
`

// TestRunbook: it has one heading for each alert, each reason of a halt and each code of doctor, and no other.
func TestRunbook(t *testing.T) {
	t.Parallel()
	const deploy = "../../telemetry/deploy/"
	headings := names(t, `(?m)^### (\S+)$`, deploy+"RUNBOOK.md")
	want := names(t, `- alert: (\w+)`, deploy+"rules.yaml")
	for _, dir := range []string{"../../bridge/*.go", "../../connectors/kafka/*.go", "../../connectors/nats/*.go", "../../connectors/lines/*.go"} {
		files, err := filepath.Glob(dir)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, names(t, `(?:connectors\.Halt\(|\bhalt\w+ += )"([a-z_]+)"`, files...)...)
	}
	want = append(want, doctorCodes(t)...)
	slices.Sort(want)
	want = slices.Compact(want)
	if len(want) < 40 {
		t.Fatalf("only %d names were found", len(want))
	}
	for i, name := range headings {
		if slices.Contains(headings[:i], name) {
			t.Errorf("%s stands twice", name)
		}
		if !slices.Contains(want, name) {
			t.Errorf("nothing is called %s", name)
		}
	}
	for _, name := range want {
		if !slices.Contains(headings, name) {
			t.Errorf("%s has no heading", name)
		}
	}
}

// names are what an expression finds in files, tests left out.
func names(t *testing.T, expression string, files ...string) (all []string) {
	t.Helper()
	e := regexp.MustCompile(expression)
	for _, file := range files {
		if matched, _ := filepath.Match("*_test.go", filepath.Base(file)); matched {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range e.FindAllSubmatch(text, -1) {
			all = append(all, string(m[1]))
		}
	}
	return all
}

// doctorCodes are those of all checks, also of those that are skipped because what they depend on failed.
func doctorCodes(t *testing.T) (codes []string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"sluice.yaml": everyEnd, "secret": "x"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := exec.CommandContext(soon(t), os.Args[0], "doctor", "-c", filepath.Join(dir, "sluice.yaml"), "--json", "--timeout", "5s")
	c.Env = append(os.Environ(), beMain+"=1", "OTEL_SDK_DISABLED=true")
	out, _ := c.Output() // what it found is not well
	var answer struct {
		Results []struct{ Code string }
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, r := range answer.Results {
		codes = append(codes, r.Code)
	}
	return codes
}
