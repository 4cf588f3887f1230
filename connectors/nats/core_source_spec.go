package nats

import (
	"context"
	"strings"

	"github.com/sluice-bridge/sluice/connectors"
)

func coreSourceSpec(c CoreSourceConfig, _ connectors.About) (*connectors.SourceSpec, error) {
	return &connectors.SourceSpec{
		Open: func(_ context.Context, env connectors.Env) (connectors.Source, error) {
			return openCoreSource(&c, &env), nil
		},
		Losses: []connectors.Loss{{
			Name: "core_source",
			Why:  "core NATS keeps nothing: what is published while the route stalls longer than its buffer, or while no daemon runs, is gone",
		}},
		Facts:  coreSourceFacts(&c),
		Remote: true,
		Places: subjectPlaces(c.Servers, c.Subjects...), Subjects: c.Subjects,
		Examine: func(env connectors.Env) (*connectors.Examination, error) {
			return examineCore(&c.Connection, env, "subscribing to "+strings.Join(c.Subjects, " "), &needs{subscribe: c.Subjects})
		},
	}, nil
}

func coreSourceFacts(c *CoreSourceConfig) connectors.Facts {
	f := connectors.Facts{
		Guarantee: "at most once: core NATS delivers what is published while the daemon listens and has room; the rest is dropped, counted where the daemon sees it",
		Order:     "per publisher",
		Memory:    int64(c.Buffer.Bytes), MemoryFor: "buffer of subjects " + strings.Join(c.Subjects, ", "),
	}
	if c.AckMode == "reply" {
		f.Guarantee += "; a requester is answered +ACK once its message is acknowledged downstream, and may repeat it until then"
	}
	return f
}
