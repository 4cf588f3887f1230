package connectortest

import (
	"fmt"
	"net/url"

	"github.com/sluice-bridge/sluice/connectors"
)

// Memory returns a plugin called "memory" whose ends are topics, which a section chooses by name:
//
//	source: {memory: {topic: orders}}
//
// The short form is memory://orders.
func Memory(topics ...*Topic) connectors.Plugin {
	none := func(connectors.About) memoryConfig { return memoryConfig{} }
	return connectors.Plugin{
		Name: "memory",
		Source: connectors.NewSource(none, func(c memoryConfig, _ connectors.About) (*connectors.SourceSpec, error) {
			t, err := c.choose(topics)
			if err != nil {
				return nil, err
			}
			return t.SourceSpec(), nil
		}),
		Sink: connectors.NewSink(none, func(c memoryConfig, _ connectors.About) (*connectors.SinkSpec, error) {
			t, err := c.choose(topics)
			if err != nil {
				return nil, err
			}
			return t.SinkSpec(), nil
		}),
		URL: func(u *url.URL, _ connectors.End) (map[string]any, error) {
			if u.Host == "" {
				return nil, fmt.Errorf("%s: want memory://TOPIC", u)
			}
			return map[string]any{"topic": u.Host}, nil
		},
	}
}

type memoryConfig struct {
	Topic string `yaml:"topic"`
}

func (c *memoryConfig) choose(topics []*Topic) (*Topic, error) {
	for _, t := range topics {
		if t.name == c.Topic {
			return t, nil
		}
	}
	return nil, connectors.Fieldf("topic", "there is no topic %q in memory", c.Topic)
}
