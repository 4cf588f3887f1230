package config

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/sluice-bridge/sluice/connectors"
)

// The connectors of these tests have the shape of the real ones and open nothing: a configuration that
// connects fails the test.

type fakeConnection struct {
	Brokers  []string          `yaml:"brokers"`
	Username string            `yaml:"username"`
	Password string            `yaml:"password"`
	PIN      connectors.Secret `yaml:"pin"`
	TLS      *fakeTLS          `yaml:"tls"`
	Buffer   connectors.Size   `yaml:"buffer"`
}

type fakeTLS struct {
	CAFile string `yaml:"ca_file"`
}

func (c *fakeConnection) Validate() error {
	var errs []error
	if len(c.Brokers) == 0 {
		errs = append(errs, connectors.Fieldf("brokers", "is required, such as localhost:9092"))
	}
	for _, b := range c.Brokers {
		if !strings.Contains(b, ":") {
			errs = append(errs, connectors.Fieldf("brokers", "%q has no port", b))
		}
	}
	return errors.Join(errs...)
}

type fakeSource struct {
	fakeConnection `yaml:",inline"`
	Topics         []string            `yaml:"topics"`
	Group          string              `yaml:"group"`
	MaxWait        connectors.Duration `yaml:"max_wait"`
	Session        struct {
		Timeout connectors.Duration `yaml:"timeout"`
	} `yaml:"session"`
}

func (c *fakeSource) Validate() error {
	err := c.fakeConnection.Validate()
	if len(c.Topics) == 0 {
		err = errors.Join(err, connectors.Fieldf("topics", "is required"))
	}
	return err
}

type fakeSink struct {
	fakeConnection `yaml:",inline"`
	Stream         string `yaml:"stream"`
}

func (c *fakeSink) Validate() error {
	err := c.fakeConnection.Validate()
	if c.Stream == "" {
		err = errors.Join(err, connectors.Fieldf("stream", "is required"))
	}
	return err
}

func fakePlugin(name, kind string, losses ...connectors.Loss) connectors.Plugin {
	maps := []string{"subject"}
	if kind == "kafka" {
		maps = []string{"topic", "key", "partition"}
	}
	return connectors.Plugin{
		Name: name, Connection: kind,
		NewConnection: func() any { return &fakeConnection{} },
		Source: connectors.NewSource(
			func(a connectors.About) fakeSource { return fakeSource{Group: "sluice-" + a.Route} },
			func(c fakeSource, a connectors.About) (*connectors.SourceSpec, error) {
				spec := &connectors.SourceSpec{
					Losses: losses,
					Open: func(context.Context, connectors.Env) (connectors.Source, error) {
						panic("opened")
					},
					Facts: connectors.Facts{Guarantee: fmt.Sprint(c)},
					Named: kind == "kafka" || name == "jetstream",
				}
				for _, b := range c.Brokers {
					for _, topic := range c.Topics {
						spec.Places = append(spec.Places, topic+" at "+name+" "+b)
					}
				}
				for _, topic := range c.Topics {
					spec.Claims = append(spec.Claims, fmt.Sprintf("%s group %s on %s", name, c.Group, topic))
				}
				return spec, nil
			}),
		Sink: connectors.NewSink(
			func(connectors.About) fakeSink { return fakeSink{} },
			func(c fakeSink, a connectors.About) (*connectors.SinkSpec, error) {
				spec := &connectors.SinkSpec{
					Open: func(context.Context, connectors.Env) (connectors.Sink, error) {
						panic("opened")
					},
					Facts: connectors.Facts{Guarantee: fmt.Sprint(c)},
					Maps:  maps,
					Named: kind == "kafka" || name == "jetstream",
				}
				for _, b := range c.Brokers {
					spec.Places = append(spec.Places, c.Stream+" at "+name+" "+b)
				}
				return spec, nil
			}),
		URL: func(u *url.URL, end connectors.End) (map[string]any, error) {
			place := strings.Trim(u.Path, "/")
			if place == "" {
				return nil, fmt.Errorf("write %s://host:port/place", name)
			}
			values := map[string]any{"brokers": strings.Split(u.Host, ",")}
			if end == connectors.SourceEnd {
				values["topics"] = []any{place}
			} else {
				values["stream"] = place
			}
			for k, v := range u.Query() {
				values[k] = v[0]
			}
			return values, nil
		},
	}
}

func fakes(t testing.TB) *connectors.Registry {
	t.Helper()
	r, err := connectors.NewRegistry(
		fakePlugin("kafka", "kafka"), fakePlugin("jetstream", "nats"),
		fakePlugin("nats", "nats", connectors.Loss{Name: "core_source", Why: "what is published while nobody listens is gone"}),
		connectors.Plugin{Name: "lines", Source: fakePlugin("lines", "").Source},
	)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
