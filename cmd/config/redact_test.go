package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What is shown of a configuration says what it does and holds no secret, however one is written.
func TestRedacted(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "sluice.yaml")
	for name, text := range map[string]string{
		filepath.Join(dir, "pass"):  "CANARY-file\n",
		filepath.Join(dir, "topic"): "CANARY-not-a-password\n",
		file: `
# password: CANARY-comment
connections:
  fake: {kafka: {brokers: ["a:1", "b:2"], username: me, password: &p "${file:pass}", pin: CANARY-pin}}
routes:
  one:
    source: {kafka: {brokers: ["${BROKER}"], password: CAN, topics: ["${file:topic}"], group: g}}
    sink: {jetstream: {brokers: ["a:1", "me:CANARY-@bare@b:2", "CANARY-bare@c:3,d:4"], password: "CANARY-line\nCANARY-more", stream: T}}
admin: {token: "${TOKEN}", listen: "off"}
telemetry: {endpoint: "http://me:CANARY-url@localhost:4317/v1?a=b&token=CANARY%2Bparameter", headers: {x-key: CANARY-header, plain: "${UNSET:-CANARY-default}"}}
`,
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env := map[string]string{"BROKER": "c:3", "TOKEN": "CANARY-token"}
	cfg, err := Files(fakes(t), func(k string) (string, bool) { v, ok := env[k]; return v, ok }, file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"c:3", "username: me", `password: "***"`, "${file:" + filepath.Join(dir, "pass") + "}", "x-key: \"***\"", "group: g", "://me:***@localhost:4317/v1?a=b&token=***", "me:***@b:2", "***@c:3,d:4", "# " + file} {
		if !strings.Contains(cfg.Redacted, want) {
			t.Errorf("no %q in\n%s", want, cfg.Redacted)
		}
	}
	for _, secret := range []string{"CANARY-f", "CANARY-c", "CANARY-l", "CANARY-m", "CANARY-t", "CANARY-url", "CANARY-h", "CANARY-d", "CANARY-n", "CANARY-p", "CANARY-b", "CANARY-@", "CANARY%", "bare@", "password: CAN"} {
		for _, f := range cfg.Warnings {
			if strings.Contains(f.Text+f.Hint+f.Source, secret) {
				t.Errorf("%s in %+v", secret, f)
			}
		}
		if text := cfg.Redacted + cfg.Merged; strings.Contains(text, secret) {
			t.Errorf("%s in\n%s", secret, text)
		}
	}
}
