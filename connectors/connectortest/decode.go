package connectortest

import (
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/sluice-bridge/sluice/connectors"
)

// Decode returns a strict decoder of YAML sections: those that come later win, as a source's section
// wins over the connection it names.
func Decode(sections ...string) connectors.Decode {
	return func(into any) error {
		for _, s := range sections {
			if s == "" {
				continue
			}
			if err := yaml.Load([]byte(s), into, yaml.WithKnownFields()); err != nil {
				return err
			}
		}
		return nil
	}
}

// SourceSpec is the plugin's source as these sections configure it.
func SourceSpec(t testing.TB, p connectors.Plugin, sections ...string) *connectors.SourceSpec {
	t.Helper()
	spec, err := p.Source(Decode(sections...), About())
	if err != nil {
		t.Fatalf("%s source: %v", p.Name, err)
	}
	return spec
}

// SinkSpec is the plugin's sink as these sections configure it.
func SinkSpec(t testing.TB, p connectors.Plugin, sections ...string) *connectors.SinkSpec {
	t.Helper()
	spec, err := p.Sink(Decode(sections...), About())
	if err != nil {
		t.Fatalf("%s sink: %v", p.Name, err)
	}
	return spec
}
