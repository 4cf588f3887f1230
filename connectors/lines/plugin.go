package lines

import (
	"context"
	"net/url"

	"github.com/sluice-bridge/sluice/connectors"
)

// Plugin returns the connector, for connectors.NewRegistry. The short form is lines:///var/log/x.log.
func Plugin() connectors.Plugin {
	return connectors.Plugin{
		Name:   "lines",
		Source: connectors.NewSource(defaults, newSource),
		Sink:   connectors.NewSink(defaults, newSink),
		URL: func(u *url.URL, _ connectors.End) (map[string]any, error) {
			return map[string]any{"path": u.Host + u.Path}, nil
		},
	}
}

// Config is the section of either end. The tags are the keys that a file may have; any other is
// refused with its line and column, without a word of ours.
type Config struct {
	Path   string `yaml:"path"`   // of the file
	Follow bool   `yaml:"follow"` // source: go on when the file grows; else it ends with the file
}

// defaults is what a key has that the file leaves out.
func defaults(connectors.About) Config { return Config{} }

// Validate finds what the types cannot. It would join several faults, so that nobody has to find them
// one by one.
func (c *Config) Validate() error {
	if c.Path == "" {
		return connectors.Fieldf("path", "name the file")
	}
	return nil
}

func newSource(c Config, _ connectors.About) (*connectors.SourceSpec, error) {
	return &connectors.SourceSpec{
		Open:   func(context.Context, connectors.Env) (connectors.Source, error) { return openSource(c) },
		Claims: []string{"lines " + c.Path}, // two routes would overwrite each other's position
		Facts: connectors.Facts{
			Guarantee: "at least once: the position is saved after the sink's acknowledgement",
			Order:     "that of the file",
			Touches:   []string{"file " + c.Path + positionSuffix},
			Memory:    maxLine,
			MemoryFor: "a read buffer",
		},
	}, nil
}

func newSink(c Config, _ connectors.About) (*connectors.SinkSpec, error) {
	return &connectors.SinkSpec{
		Open: func(context.Context, connectors.Env) (connectors.Sink, error) { return openSink(c.Path) },
		Facts: connectors.Facts{
			Guarantee: "acknowledged once it is on disk",
			Order:     "that of each partition",
			Touches:   []string{"file " + c.Path + ", which grows"},
		},
	}, nil
}
