package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-bridge/sluice/cmd"
	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/kafka"
	"github.com/sluice-bridge/sluice/connectors/lines"
	"github.com/sluice-bridge/sluice/connectors/nats"
)

// canary is what no output may hold.
const canary = "CANARY"

// A configuration that is wrong is shown with its faults, and never with its secrets: not on the line at
// fault, not in what is said of it, whatever is wrong.
func TestFindingsHoldNoSecrets(t *testing.T) {
	registry, err := connectors.NewRegistry(kafka.Plugin(), nats.JetStream(), nats.Core(), lines.Plugin())
	if err != nil {
		t.Fatal(err)
	}
	kafkaOf := func(section string) string {
		return "connections:\n  k: {kafka: {brokers: [\"h:1\"], " + section + "}}\n"
	}
	natsOf := func(section string) string { return "connections:\n  n:\n    nats:\n" + section }
	for name, text := range map[string]string{
		"a wrong key beside it":          kafkaOf(`username: me, password: CANARY, clientid: x`),
		"two words":                      natsOf("      servers: [h]\n      user: u\n      password: two CANARY words\n"),
		"two words, at fault":            natsOf("      servers: [h]\n      password: two CANARY words\n"),
		"a comma, at fault":              natsOf("      servers: [h]\n      password: a,CANARY\n"),
		"an escaped quote, at fault":     natsOf("      servers: [h]\n      password: \"a\\\"CANARY\"\n"),
		"a doubled quote, at fault":      natsOf("      servers: [h]\n      password: 'a''CANARY'\n"),
		"a block, at fault":              natsOf("      servers: [h]\n      password: >-\n        CANARY\n        CANARY\n"),
		"a list":                         natsOf("      servers: [h]\n      user: u\n      password: [CANARY]\n"),
		"a mapping":                      natsOf("      servers: [h]\n      user: u\n      password: {x: CANARY}\n"),
		"a default, at fault":            natsOf("      servers: [h]\n      password: \"${NOT_SET:-CANARY}\"\n"),
		"from the environment, at fault": natsOf("      servers: [h]\n      password: \"${SECRET}\"\n"),
		"from the environment, a list":   natsOf("      servers: [h]\n      user: u\n      password: [\"${SECRET}\"]\n"),
		"a misspelt key":                 natsOf("      servers: [h]\n      user: u\n      pasword: CANARY\n"),
		"a key that there is not":        natsOf("      servers: [h]\n      user: u\n      token: CANARY\n"),
		"under a key that there is not":  natsOf("      servers: [h]\n      auth: {password: CANARY}\n"),
		"twice":                          natsOf("      servers: [h]\n      user: u\n      password: CANARY\n      password: CANARY\n"),
		"not YAML":                       natsOf("      servers: [h]\n      user: u\n      password: \"CANARY and more\n"),
		"not YAML, a tab":                natsOf("      servers: [h]\n\t      password: CANARY and CANARY\n"),
		"in a URL, not YAML":             natsOf("\t      servers: [\"nats://u:CANARY@h\"]\n"),
		"in a URL, port":                 natsOf("      servers: [\"nats://u:CANARY@h:99999\"]\n"),
		"in a URL, scheme":               natsOf("      servers: [\"tls://u:CANARY@h\"]\n"),
		"in a URL, not one":              natsOf("      servers: [\"nats://u:CANARY@h:port\"]\n"),
		"in a URL, with an @":            natsOf("      servers: [\"nats://u:a@CANARY@h/x\"]\n"),
		"in a URL, with a slash":         natsOf("      servers: [\"nats://u:a/CANARY@h\"]\n"),
		"in a URL, alone":                natsOf("      servers: [\"nats://CANARY@h/x\"]\n"),
		"in a URL, no mapping":           natsOf("      servers: {x: \"nats://u:CANARY@h\"}\n"),
		"in a URL of the environment":    natsOf("      servers: [\"${URL}/x\"]\n"),
		"in a short form":                "routes: {r: {from: \"lines:///x\", to: \"jetstream://u:CANARY@h:1/\"}}\n",
		"in a short form, port":          "routes: {r: {from: \"lines:///x\", to: \"jetstream://u:CANARY@h:port/S\"}}\n",
		"in a short form, scheme":        "routes: {r: {from: \"lines:///x\", to: \"jetstrem://u:CANARY@h:1/S\"}}\n",
		"in a short form, Kafka":         "routes: {r: {from: \"kafka://u:CANARY@h:1/t\", to: \"lines:///x\"}}\n",
		"in a short form, parameter":     "routes: {r: {from: \"kafka://h:1/t?password=CANARY\", to: \"lines:///x\", wrong: 1}}\n",
		"in a short form, alone":         "routes: {r: {from: \"lines:///x\", to: \"jetstream://CANARY@h:1/\"}}\n",
		"a header":                       "telemetry: {headers: {x-team: CANARY}, endpont: x}\n",
		"a header, a list":               "telemetry:\n  headers:\n    x-team: [CANARY]\n",
		"headers that are none":          "telemetry:\n  headers: \"x-team=CANARY\"\n",
		"headers that are a list":        "telemetry:\n  headers: [\"x-team=CANARY\"]\n",
		"the collector's URL":            "telemetry: {endpoint: \"ftp://u:CANARY@h\"}\n",
		"the token":                      "admin: {listen: nowhere, token: CANARY}\n",
		"the token, a list":              "admin:\n  token: [CANARY]\n",
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "sluice.yaml")
			if !strings.Contains(text, "routes:") {
				text += "routes: {r: {from: \"lines:///x\", to: \"lines:///y\", window: wrong}}\n"
			}
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			t.Setenv("SECRET", canary)
			t.Setenv("URL", "nats://u:"+canary+"@h")
			for _, args := range [][]string{{"validate", file}, {"validate", "--json", file}, {"run", "-c", file}, {"run", "--dry-run", "-c", file}} {
				var out bytes.Buffer
				if code := cmd.Main(registry, args, &out, &out); code != 2 {
					t.Errorf("%v: exit code %d", args, code)
				}
				if strings.Contains(out.String(), canary) {
					t.Fatalf("%v shows it:\n%s", args[:1], &out)
				}
			}
		})
	}
}

// A configuration that is right is shown as a plan, without its secrets.
func TestPlanHoldsNoSecrets(t *testing.T) {
	registry, err := connectors.NewRegistry(kafka.Plugin(), nats.JetStream(), nats.Core(), lines.Plugin())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file, password := filepath.Join(dir, "sluice.yaml"), filepath.Join(dir, "password")
	text := `
connections:
  k: {kafka: {brokers: ["h:1"], username: me, password: CANARY}}
  n: {nats: {servers: ["h:2"], user: me, password: "${file:password}"}}
  u: {nats: {servers: ["nats://me:CANARY@h:3", "nats://CANARY@h:4"]}}
routes:
  there: {source: {kafka: {topics: orders}}, sink: {jetstream: {connection: u, stream: ORDERS}}, dead_letter: {to: "jetstream://me:CANARY@h:2/DEAD"}}
  back: {source: {jetstream: {connection: n, stream: OTHER}}, sink: {kafka: {topic: back}}}
  short: {from: "jetstream://CANARY@h:2/THIRD", to: "lines:///x"}
admin: {token: "${SECRET}"}
telemetry: {endpoint: "http://me:CANARY@h:4318", headers: {authorization: "Bearer CANARY"}}
`
	for path, text := range map[string]string{file: text, password: canary + "\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("SECRET", canary)
	for _, args := range [][]string{{"validate", file}, {"validate", "--json", file}, {"run", "--dry-run", "-c", file}} {
		var out bytes.Buffer
		if code := cmd.Main(registry, args, &out, &out); code != 0 || out.Len() == 0 {
			t.Errorf("%v: exit code %d: %s", args, code, &out)
		}
		if strings.Contains(out.String(), canary) {
			t.Errorf("%v shows it:\n%s", args, &out)
		}
	}
}
