package nats

import (
	"context"
	"strings"

	"github.com/sluice-bridge/sluice/connectors"
)

// aside is an Env whose connection's news is not the route's.
func aside(env connectors.Env) connectors.Env {
	env.Host = noHost{}
	return env
}

// examineStreamSource looks at what a JetStream source connects to.
func examineStreamSource(cfg JetStreamSourceConfig, env connectors.Env) (*connectors.Examination, error) {
	s := prepareJetStreamSource(cfg, aside(env), defaultPace())
	e := newExaminer(&cfg.Connection, s.conn)
	api, at := apiPrefix+"CONSUMER.", cfg.Stream+"."+cfg.Durable
	n := &needs{
		publish:   []string{apiPrefix + "STREAM.INFO." + cfg.Stream, api + "INFO." + at, api + "MSG.NEXT." + at, "$JS.ACK." + at + ".>"},
		subscribe: []string{"_INBOX.>"},
		wished:    []string{apiPrefix + "STREAM.MSG.GET." + cfg.Stream},
		without:   "the durable cannot be made or owned, so messages come without order, or what was lost upstream is not noticed",
	}
	if !cfg.Shared {
		n.wished = append(n.wished, api+"RESET."+at)
	}
	if !cfg.Shared || cfg.Consumer.Create {
		n.wished = append(n.wished, api+"CREATE."+at)
	}
	checks := []connectors.Check{e.of("server", "nats.version", "nats.login", e.askVersion), e.permissionCheck("durable "+cfg.Durable+" of stream "+cfg.Stream, n)}
	checks = append(checks, e.streamChecks(cfg.Stream, cfg.suggested(), "read", func(ctx context.Context) error {
		_, err := s.durable.streamInfo(ctx)
		return err
	})...)
	checks = append(checks,
		e.of(s.place(), "jetstream.consumer", "jetstream.stream", func(ctx context.Context) []connectors.Finding { return e.askConsumer(ctx, s) }),
		e.of(s.place(), "jetstream.window", "jetstream.consumer", func(ctx context.Context) []connectors.Finding { return e.askWindow(ctx, s) }),
		e.of("stream "+cfg.Stream+" to read", "jetstream.settings", "jetstream.stream", func(ctx context.Context) []connectors.Finding { return e.askUpstream(ctx, cfg.Stream) }),
	)
	return e.examination(checks...), nil
}

// suggested are subjects for a stream that is to be made.
func (c *JetStreamSourceConfig) suggested() string {
	if len(c.Subjects) > 0 {
		return strings.Join(c.Subjects, ",")
	}
	return strings.ToLower(c.Stream) + ".>"
}

// examineStreamSink looks at what a JetStream sink connects to. topics are the subjects of the source.
func examineStreamSink(cfg *JetStreamSinkConfig, subjects *subjects, env connectors.Env, topics []string) (*connectors.Examination, error) {
	env = aside(env)
	s := &jetStreamSink{cfg: *cfg, env: env, subjects: subjects, conn: dial(&cfg.Connection, &env, true)}
	e := newExaminer(&cfg.Connection, s.conn)
	patterns := subjects.patterns(topics)
	n := &needs{
		publish:   append([]string{apiPrefix + "STREAM.INFO." + cfg.Stream}, patterns...),
		subscribe: []string{"_INBOX.>"},
		wished:    []string{apiPrefix + "STREAM.MSG.GET." + cfg.Stream},
		without:   "after a lost connection nobody can tell what the stream has, and what was in flight is written again",
	}
	to := "stream " + cfg.Stream
	checks := []connectors.Check{e.permissionCheck("writing "+to+" by "+strings.Join(patterns, " "), n)}
	checks = append(checks, e.streamChecks(cfg.Stream, strings.Join(patterns, ","), "write", func(ctx context.Context) error {
		_, err := s.readStream(ctx)
		return err
	})...)
	checks = append(checks,
		e.of(to+" for "+strings.Join(patterns, " "), "jetstream.subject", "jetstream.stream", func(ctx context.Context) []connectors.Finding { return e.askSubject(ctx, s, topics) }),
		e.of(to+" to write", "jetstream.settings", "jetstream.stream", func(ctx context.Context) []connectors.Finding { return e.askDownstream(ctx, cfg.Stream) }),
		e.of(to+" to write", "jetstream.speed", "jetstream.stream", func(ctx context.Context) []connectors.Finding { return e.askSpeed(ctx, &s.cfg) }),
	)
	return e.examination(checks...), nil
}

// examineCore looks at what a source or sink without a stream connects to.
func examineCore(cfg *Connection, env connectors.Env, end string, n *needs) (*connectors.Examination, error) {
	env = aside(env)
	e := newExaminer(cfg, dial(cfg, &env, true))
	rights := e.permissionCheck(end, n)
	return e.examination(rights, e.of("server", "nats.payload", "nats.login", func(context.Context) []connectors.Finding {
		e.bound("", 0)
		return connectors.Found(connectors.Fine, "", "max_payload %v", connectors.Size(e.conn.maxPayload()))
	})), nil
}
