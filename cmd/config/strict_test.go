package config

import (
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/sluice-bridge/sluice/connectors"
)

// TestNoValue: a tls whose keys are all commented out is not the same as none: what a connection says would be lost.
func TestNoValue(t *testing.T) {
	type connection struct {
		TLS  connectors.TLS `yaml:"tls"`
		Name string         `yaml:"name"`
	}
	for text, found := range map[string]bool{"tls:\n  # ca_file: ca.pem\nname:\n": true, "tls: ~": true, "name:": false, "tls: {}": false, "tls: false": false} {
		var n yaml.Node
		if err := yaml.Unmarshal([]byte(text), &n); err != nil {
			t.Fatal(err)
		}
		l := &lint{}
		l.keys(section{doc: &document{name: "f"}, key: n.Content[0], value: n.Content[0], path: "connections.c.kafka"}, reflect.TypeFor[connection]())
		if got := len(l.findings) == 1 && strings.Contains(l.findings[0].Text, "connections.c.kafka.tls has no value"); got != found || len(l.findings) > 1 {
			t.Errorf("%q: %+v", text, l.findings)
		}
	}
}

// TestSeedIsHidden: the seed of a key that stands where its file should is not shown with its line.
func TestSeedIsHidden(t *testing.T) {
	seed := "SU" + strings.Repeat("A2", 28)
	if got := mask("nkey_file: "+seed+" # mine", true); strings.Contains(got, seed) || !strings.Contains(got, "# mine") {
		t.Error(got)
	}
}
