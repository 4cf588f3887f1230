package nats

import (
	"context"

	"github.com/sluice-bridge/sluice/connectors"
)

// connectionKind is the kind of connection both connectors share.
const connectionKind = "nats"

func newConnection() any { return &Connection{} }

// JetStream returns the connector that reads and writes streams, called "jetstream".
func JetStream() connectors.Plugin {
	return connectors.Plugin{
		Name: "jetstream", Connection: connectionKind, NewConnection: newConnection,
		Source: connectors.NewSource(jetStreamSourceDefaults, jetStreamSourceSpec),
		Sink:   connectors.NewSink(jetStreamSinkDefaults, jetStreamSinkSpec),
		URL:    jetStreamURL,
	}
}

// Core returns the connector that subscribes and publishes without a stream, called "nats".
func Core() connectors.Plugin {
	return connectors.Plugin{
		Name: "nats", Connection: connectionKind, NewConnection: newConnection,
		Source: connectors.NewSource(coreSourceDefaults, coreSourceSpec),
		Sink:   connectors.NewSink(coreSinkDefaults, coreSinkSpec),
		URL:    coreURL,
	}
}

func jetStreamSourceDefaults(about connectors.About) JetStreamSourceConfig {
	return JetStreamSourceConfig{
		Durable:  "sluice-" + about.Route,
		Start:    "earliest",
		Consumer: Consumer{Create: true},
	}
}

func jetStreamSourceSpec(c JetStreamSourceConfig, _ connectors.About) (*connectors.SourceSpec, error) {
	return &connectors.SourceSpec{
		Open: func(_ context.Context, env connectors.Env) (connectors.Source, error) {
			return newJetStreamSource(c, env, defaultPace()), nil
		},
		Claims: []string{"jetstream durable " + c.Durable + " on stream " + c.Stream},
		Facts:  sourceFacts(&c),
		Remote: true,
		Places: placesOf(c.Servers, "stream "+c.Stream),
		Named:  true,
		Log: func(_ context.Context, env connectors.Env) (connectors.Log, error) {
			return openSourceLog(&c, &env), nil
		},
		Positions: func(_ context.Context, env connectors.Env) (connectors.Positions, error) {
			return openPositions(c, env), nil
		},
		Subjects: c.Subjects,
		Examine:  func(env connectors.Env) (*connectors.Examination, error) { return examineStreamSource(c, env) },
	}, nil
}

func jetStreamSinkDefaults(connectors.About) JetStreamSinkConfig {
	return JetStreamSinkConfig{Mode: "auto"}
}

func coreSourceDefaults(connectors.About) CoreSourceConfig {
	return CoreSourceConfig{
		AckMode: "none",
		Buffer:  Buffer{Messages: defaultBufferCount, Bytes: defaultBufferBytes},
	}
}

func coreSinkDefaults(connectors.About) CoreSinkConfig {
	return CoreSinkConfig{FlushWindow: defaultFlushWindow}
}
