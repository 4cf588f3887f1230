package nats

import (
	"context"

	"github.com/sluice-bridge/sluice/connectors"
)

func jetStreamSinkSpec(c JetStreamSinkConfig, about connectors.About) (*connectors.SinkSpec, error) {
	subjects, err := sinkSubjects(about.Map.Subject, c.Subject)
	if err != nil {
		return nil, err
	}
	return &connectors.SinkSpec{
		Open: func(ctx context.Context, env connectors.Env) (connectors.Sink, error) {
			return openJetStreamSink(&c, subjects, &env), nil
		},
		Facts:  jetStreamSinkFacts(&c, true, defaultMaxPayload, formUnknown),
		Remote: true,
		Maps:   []string{"subject"},
		Places: placesOf(c.Servers, "stream "+c.Stream),
		Named:  true,
		Log: func(_ context.Context, env connectors.Env) (connectors.Log, error) {
			return openSinkLog(&c, &env), nil
		},
		ReadBack: func(name string, held []connectors.Range) (*connectors.SourceSpec, error) {
			return readBack(&c, subjects, name, held)
		},
		Examine: func(env connectors.Env, topics []string) (*connectors.Examination, error) {
			return examineStreamSink(&c, subjects, env, topics)
		},
	}, nil
}

// sinkSubjects returns the subjects of a sink: of map.subject, else of the sink's own, else the
// default.
func sinkSubjects(mapped *connectors.Template, own string) (*subjects, error) {
	template := mapped
	if template == nil && own != "" {
		var err error
		if template, err = connectors.ParseTemplate(own); err != nil {
			return nil, &connectors.FieldError{Path: "subject", Err: err}
		}
	}
	s, err := newSubjects(template)
	switch {
	case err == nil:
		return s, nil
	case mapped == nil:
		return nil, &connectors.FieldError{Path: "subject", Err: err}
	}
	return nil, err
}

func jetStreamSinkFacts(cfg *JetStreamSinkConfig, headers bool, maxPayload int64, f form) connectors.Facts {
	facts := connectors.Facts{
		Guarantee: "at least once: a message is acknowledged when the stream has stored it; after a lost connection the stream is read, so that only a kill of this process doubles what is in flight",
		Order:     "of the partition or key",
		Touches:   []string{"stream " + cfg.Stream + " (writes only)"},
		Memory:    2*(frameBuffer+5*maxPayload/4) + doubtMemory,
		MemoryFor: "two encoded pieces of 256 KiB and one message more, and 4 MiB to learn what a lost connection left behind",
	}
	if !headers {
		facts.Guarantee = "at least once: a message is acknowledged when the stream has stored it; without headers nobody can tell what a lost connection left behind, so at most what is in flight is doubled then"
	}
	switch f {
	case formFast:
		facts.Order += ", as fast-ingest batches"
	case formPipelined:
		facts.Order += ", as pipelined publishes: where a message is refused for the moment, or the stream's leader changes, later ones may stand before it, and then again behind it"
	}
	return facts
}
