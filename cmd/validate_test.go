package cmd

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestValidateFormats: the same findings and warnings, for people, for programs and for a workflow; --strict makes
// warnings fail.
func TestValidateFormats(t *testing.T) {
	wrong := write(t, "routes: {a: {from: \"memory://from\", too: \"memory://to\"}}\n")
	doubtful := write(t, "admin: {token: CANARY1}\nroutes: {a: {from: \"memory://from\", to: \"memory://to\"}}\n")
	fine := write(t, "admin: {token: \"${HOME:-x1}\"}\nroutes: {a: {from: \"memory://from\", to: \"memory://to\"}}\n")
	for _, c := range []struct {
		args []string
		code int
		want []string
	}{
		{[]string{doubtful}, 0, []string{"warnings:", "sluice.yaml:1:16: token stands in the file", "(config.plain_secret)", "ok: 1 route"}},
		{[]string{"--strict", doubtful}, exitConfig, []string{"warnings:", "1 warning, and --strict"}},
		{[]string{"--strict", fine}, 0, []string{"ok: 1 route"}},
		{[]string{"--strict", wrong}, exitConfig, []string{"2 findings"}},
		{[]string{"--format", "github", wrong}, exitConfig, []string{
			"::error file=" + wrong + ",line=1,col=37,title=config.unknown_key::unknown key \"too\" in routes.a%0A→ did you mean \"to\"?\n",
		}},
		{[]string{"--format", "github", "--strict", doubtful}, exitConfig, []string{"::warning file=" + doubtful + ",line=1,col=16,title=config.plain_secret::token"}},
		{[]string{"--format", "github", doubtful}, 0, []string{"::warning "}},
		{[]string{"--format", "xml", fine}, exitConfig, []string{"text, json, github"}},
	} {
		r := newRig(t)
		code := r.main(soon(t), append([]string{"validate"}, c.args...))
		out := r.stdout.String() + r.stderr.String()
		if code != c.code {
			t.Errorf("%v: exit code %d, want %d:\n%s", c.args, code, c.code, out)
		}
		wantWords(t, out, c.want...)
		if strings.Contains(out, "CANARY") {
			t.Errorf("%v: a secret is shown:\n%s", c.args, out)
		}
	}
	r := newRig(t)
	if code := r.main(soon(t), []string{"validate", "--strict", "--format", "json", doubtful}); code != exitConfig {
		t.Errorf("exit code %d", code)
	}
	var answer struct {
		OK       bool
		Findings []any
		Warnings []struct{ Code string }
	}
	if err := json.Unmarshal([]byte(r.stdout.String()), &answer); err != nil || answer.OK || len(answer.Findings) != 0 || len(answer.Warnings) != 1 ||
		answer.Warnings[0].Code != "config.plain_secret" {
		t.Errorf("%v: %s", err, r.stdout)
	}
}

// TestConfigShow: one file, with what was put together and without what is secret; it can be read again.
func TestConfigShow(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a.yaml": "include: [b.yaml]\ndefaults: {window: {max_messages: 5}}\nadmin: {token: CANARY1}\nroutes: {a: {from: \"memory://from\", to: \"memory://to\"}}\n",
		"b.yaml": "routes: {b: {from: \"memory://to\", to: \"memory://dead\"}}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := newRig(t)
	if code := r.main(soon(t), []string{"config", "show", "-c", filepath.Join(dir, "a.yaml"), "--set", "routes.b.headers=none"}); code != 0 {
		t.Fatalf("exit code %d: %s", code, r.stderr)
	}
	text := r.stdout.String()
	if strings.Contains(text, "CANARY") || strings.Contains(text, "defaults") || strings.Contains(text, "include") {
		t.Error(text)
	}
	if n := strings.Count(text, "max_messages: 5"); n != 2 {
		t.Errorf("the defaults are in %d routes:\n%s", n, text)
	}
	again := newRig(t)
	if code := again.main(soon(t), []string{"validate", write(t, text)}); code != 0 || !strings.Contains(again.stdout.String(), "ok: 2 routes") || !strings.Contains(text, "headers: none") {
		t.Errorf("it cannot be read again: %s\n%s", again.stdout, text)
	}
}

// TestInit: nothing is written over, but where that is asked for.
func TestInit(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	args := []string{"init", "memory://from", "memory://to", "-o", file}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{args, 0, "sluice validate " + file},
		{args, exitConfig, "is there already"},
		{append(args, "--force"), 0, "sluice validate"},
		{[]string{"init", "memory://from", "memory://to", "-o", "-"}, 0, "routes:\n  from:\n    source:\n      memory:\n        topic: from\n"},
		{[]string{"init", "memory://from"}, exitConfig, "both FROM and TO"},
		{[]string{"init", "nowhere", "memory://to", "-o", "-"}, exitConfig, "it has no scheme://"},
		{[]string{"init", "-o", "-"}, exitConfig, `unknown connector "kafka"`},
		{[]string{"validate", "--strict", file}, 0, "ok: 1 route"},
	} {
		r := newRig(t)
		if code := r.main(soon(t), c.args); code != c.code || !strings.Contains(r.stdout.String()+r.stderr.String(), c.want) {
			t.Errorf("%v: exit code %d:\n%s%s", c.args, code, r.stdout, r.stderr)
		}
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}
