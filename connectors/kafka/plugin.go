package kafka

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/sluice-bridge/sluice/connectors"
)

// Plugin returns the connector.
func Plugin() connectors.Plugin {
	return connectors.Plugin{
		Name:          "kafka",
		Connection:    "kafka",
		NewConnection: func() any { c := defaultConnection(); return &c },
		Source:        connectors.NewSource(defaultSource, sourceSpec),
		Sink:          connectors.NewSink(defaultSink, sinkSpec),
		URL:           fromURL,
	}
}

func sourceSpec(c SourceConfig, _ connectors.About) (*connectors.SourceSpec, error) {
	spec := &connectors.SourceSpec{
		Open: func(ctx context.Context, env connectors.Env) (connectors.Source, error) {
			return openSource(ctx, c, env)
		},
		Facts:  sourceFacts(&c),
		Remote: true,
		Places: placesOf(c.Brokers, c.Topics...),
		Named:  true,
		Log:    func(context.Context, connectors.Env) (connectors.Log, error) { return openSourceLog(&c) },
	}
	spec.Positions = func(context.Context, connectors.Env) (connectors.Positions, error) { return openPositions(&c) }
	spec.Subjects = c.Topics
	spec.Examine = func(env connectors.Env) (*connectors.Examination, error) { return examineSource(&c, &env) }
	for _, t := range c.Topics {
		spec.Claims = append(spec.Claims, fmt.Sprintf("kafka group %s on topic %s", c.Group, t))
	}
	return spec, nil
}

func sinkSpec(c SinkConfig, about connectors.About) (*connectors.SinkSpec, error) {
	switch {
	case c.Topic == "" && about.Map.Topic == nil:
		return nil, connectors.Fieldf("topic", "is required, or map.topic")
	case c.Topic != "" && about.Map.Topic != nil:
		return nil, connectors.Fieldf("topic", "is set although map.topic is set too: keep one of them")
	}
	if p := about.Map.Partition; p != nil && p.Constant() {
		if _, err := strconv.ParseUint(p.String(), 10, 31); err != nil {
			return nil, fmt.Errorf("map.partition is %.40q, want the number of a partition, or an expression that gives one", p)
		}
	}
	spec := &connectors.SinkSpec{
		Open: func(_ context.Context, env connectors.Env) (connectors.Sink, error) {
			return openSink(c, env)
		},
		Facts:  sinkFacts(&c, about, 0),
		Remote: true,
		Maps:   []string{"topic", "key", "partition"},
		Log: func(_ context.Context, env connectors.Env) (connectors.Log, error) {
			return openSinkLog(&c, newMapper(&c, &env))
		},
		ReadBack: func(name string, held []connectors.Range) (*connectors.SourceSpec, error) {
			return readBack(&c, name, held)
		},
		Examine: func(env connectors.Env, _ []string) (*connectors.Examination, error) {
			return examineSink(&c, about, &env)
		},
	}
	if topic := writesTo(&c, about.Map); topic != "" {
		spec.Places, spec.Named = placesOf(c.Brokers, topic), true
	}
	return spec, nil
}

// fromURL turns kafka://[user@]h1:9092,h2/topic?group=g into the section it stands for. What is behind
// the question mark are keys of the section.
func fromURL(u *url.URL, end connectors.End) (map[string]any, error) {
	section := map[string]any{}
	var brokers []any
	for b := range strings.SplitSeq(u.Host, ",") {
		if b != "" {
			brokers = append(brokers, b)
		}
	}
	if len(brokers) == 0 {
		return nil, fmt.Errorf("%s: a broker is missing; write kafka://host:9092/topic", u.Redacted())
	}
	section["brokers"] = brokers
	if _, ok := u.User.Password(); ok || u.Query().Has("password") {
		return nil, fmt.Errorf("kafka://%s%s: a password does not belong in a URL, which others can see; write the route in a file", u.Host, u.Path)
	}
	if u.User != nil {
		section["username"] = u.User.Username()
	}
	topic := strings.Trim(u.Path, "/")
	switch {
	case topic == "":
		return nil, fmt.Errorf("%s: the topic is missing; write kafka://host:9092/topic", u.Redacted())
	case strings.Contains(topic, "/"):
		return nil, fmt.Errorf("%s: %q is not a topic; write kafka://host:9092/topic", u.Redacted(), topic)
	case end == connectors.SourceEnd:
		section["topics"] = topic
	default:
		section["topic"] = topic
	}
	for key, values := range u.Query() {
		if _, taken := section[key]; taken || len(values) != 1 {
			return nil, fmt.Errorf("%s: %s is given more than once", u.Redacted(), key)
		}
		section[key] = values[0]
	}
	return section, nil
}
