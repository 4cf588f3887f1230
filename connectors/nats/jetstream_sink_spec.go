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
