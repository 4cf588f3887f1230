package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-io/nkeys"
)

// A daemon that logs in by tokens, keys and creds, in vain, shows none of them either, nor the token that it was given.
func TestLoginsAreNotShown(t *testing.T) {
	t.Parallel()
	ctx := soon(t)
	s := startSecured(ctx, t)
	kafka, nats := s.kafka.ListenAddrs()[0], s.nats.Addr().String()
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"access_token": "CANARY-bearer", "expires_in": 3600}`))
	}))
	t.Cleanup(issuer.Close)
	dir := t.TempDir()
	user, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := user.Seed()
	if err != nil {
		t.Fatal(err)
	}
	creds := fmt.Sprintf("-----BEGIN NATS USER JWT-----\nCANARY.jwt.text\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n%s\n------END USER NKEY SEED------\n", seed)
	for name, text := range map[string]string{"user.nk": string(seed), "user.creds": creds, "client": "CANARY-client\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, login := range map[string]string{
		"token": `token: "CANARY-login"`, "creds": "creds_file: " + filepath.Join(dir, "user.creds"), "key": "nkey_file: " + filepath.Join(dir, "user.nk"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := soon(t)
			c := newCollector(t, http.StatusOK)
			file := filepath.Join(dir, name+".yaml")
			if err := os.WriteFile(file, fmt.Appendf(nil, `
routes:
  there:
    source: {kafka: {brokers: ["%s"], topics: orders, sasl: {mechanism: OAUTHBEARER, endpoint: "%s", client_id: me, client_secret: "${file:client}"}}}
    sink: {jetstream: {servers: ["%s"], stream: ORDERS, subject: orders, %s}}
  back:
    source: {jetstream: {servers: ["%[3]s"], stream: ORDERS, %[4]s}}
    sink: {kafka: {brokers: ["%[1]s"], topic: back, sasl: {mechanism: SCRAM-SHA-512, username: me, password: CANARY-scram}}}
admin: {listen: "127.0.0.1:0", token: CANARY-token}
log: {level: trace, format: json}
telemetry: {endpoint: "%[5]s", protocol: http/protobuf, metrics: otlp}
`, kafka, issuer.URL, nats, login, c.URL), 0o600); err != nil {
				t.Fatal(err)
			}
			env := []string{"OTEL_METRIC_EXPORT_INTERVAL=200", "GOTRACEBACK=all"}
			outputs := map[string]string{}
			p := startWith(ctx, t, env, "run", "-c", file)
			p.watch(ctx, t, c, failing, outputs)
			if err := p.Process.Signal(syscall.SIGQUIT); err != nil {
				t.Fatal(err)
			}
			p.code(t)
			outputs["log"] = p.out.String()
			d := startWith(ctx, t, env, "doctor", "-c", file, "--timeout", "3s")
			d.code(t)
			outputs["doctor"] = d.out.String()
			if !strings.Contains(outputs["log"], "goroutine ") || !strings.Contains(outputs["doctor"], "Summary: ") {
				t.Errorf("there was little to look at: %q", outputs)
			}
			for what, text := range outputs {
				for _, secret := range []string{canary, string(seed)} {
					if i := strings.Index(text, secret); i >= 0 {
						t.Errorf("%s holds a secret: ...%s", what, text[max(0, i-200):min(len(text), i+50)])
					}
				}
			}
		})
	}
}
