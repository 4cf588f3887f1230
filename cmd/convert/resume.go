package convert

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/sluice-bridge/sluice/cmd/config"
	"github.com/sluice-bridge/sluice/connectors"
)

// natsServer is one that is asked how far nats-kafka has got.
type natsServer struct {
	conn *nats.Conn
	js   nats.JetStreamContext
}

// connect reaches a server, with the login and TLS of the old file.
func connect(url string, b *block, env func(string) (string, bool)) (*natsServer, error) {
	o := []nats.Option{nats.Name("sluice convert"), nats.MaxReconnects(0)}
	value := func(b *block, name string) string {
		w, _ := b.text(name)
		if !w.variable {
			return w.text
		}
		text, _ := env(w.text)
		return text
	}
	if creds := value(b, "usercredentials"); creds != "" {
		o = append(o, nats.UserCredentials(creds))
	}
	t := b.one("tls")
	if root := value(t, "root"); root != "" {
		o = append(o, nats.RootCAs(root))
	}
	if cert := value(t, "cert"); cert != "" {
		o = append(o, nats.ClientCert(cert, value(t, "key")))
	}
	conn, err := nats.Connect(url, o...)
	if err != nil {
		return nil, fmt.Errorf("--resume-from: %w", err)
	}
	js, err := conn.JetStream()
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("--resume-from: %w", err)
	}
	return &natsServer{conn, js}, nil
}

// streamOf looks up a stream as nats-kafka's client does.
func (s *natsServer) streamOf(subject string) (string, error) {
	name, err := s.js.StreamNameBySubject(subject)
	if err != nil {
		return "", fmt.Errorf("the server knows none: %w", err)
	}
	return name, nil
}

// resumption is what is known of how far nats-kafka has got.
type resumption struct {
	*converter
	server   *natsServer
	registry *connectors.Registry
	env      func(string) (string, bool)
	margin   time.Duration
}

// resume has every route that is kept begin where nats-kafka is.
func (r *resumption) resume(ctx context.Context) error {
	for _, c := range r.connectors {
		for _, w := range []*word{&c.topic, &c.subject, &c.durable, &c.from} {
			if w.variable {
				value, ok := r.env(w.text)
				if !ok {
					return fmt.Errorf("%s: the environment variable %s is not set here, so the brokers cannot be asked", c.place, w.text)
				}
				*w = word{value, false}
			}
		}
		switch {
		case c.broken || c.towards == toKafka && !c.stream:
		case c.towards == toKafka:
			r.durable(c)
		default:
			if err := r.topic(ctx, c); err != nil {
				return err
			}
		}
	}
	return nil
}

// durable begins behind what the durable of nats-kafka has acknowledged.
func (r *resumption) durable(c *connector) {
	if c.durable.empty() {
		c.note("it has no durablename, so nats-kafka begins anew at each start and nothing tells how far it has got: the route begins at source.jetstream.start, and what was delivered comes again")
		return
	}
	k := c.keys["durablename"]
	info, err := r.server.js.ConsumerInfo(c.from.text, c.durable.text)
	if err != nil {
		k.failed("its position cannot be read: %s. nats-kafka deletes it when it is stopped: start that once more, or convert without --resume-from to begin at the start of the stream", err)
		return
	}
	next := info.AckFloor.Stream + 1
	c.set(c.source, "start", fmt.Sprint(next))
	for _, name := range []string{"startatsequence", "startattime"} {
		c.keys[name].obsolete("the durable is past it")
	}
	k.changed(c.ours("source.jetstream.start"), "the route begins at %d, behind what it has acknowledged; %d that were delivered and not acknowledged may come again, and so does what nats-kafka delivers from now on. "+
		"It acknowledges also what Kafka has refused, so what is missing in Kafka before %d stays missing", next, info.NumAckPending, next)
}

// topic goes on where the group is, or else somewhat before the last message that the stream got.
func (r *resumption) topic(ctx context.Context, c *connector) error {
	known, err := r.committed(ctx, c)
	if err != nil {
		return fmt.Errorf("%s: the position of the route %s: %w", c.place, c.name, err)
	}
	if known {
		c.note("the group has offsets, and the route goes on there; stop nats-kafka before it is started, or both share the topic's partitions")
		return nil
	}
	if !c.stream {
		c.note("the group has no offset, and core NATS keeps no message to go by: the route begins at the first message of the topic. Set source.kafka.start (latest, or a time) if subscribers must not get it all again")
		return nil
	}
	subject := c.pattern()
	last, err := r.server.js.GetLastMsg(c.from.text, subject, nats.Context(ctx))
	if err != nil {
		c.note("the group has no offset, and the stream %s has no message of %s to go by (%s): the route begins at the first message of the topic", c.from.text, subject, err)
		return nil
	}
	start := last.Time.Add(-r.margin).UTC().Truncate(time.Second)
	c.set(c.source, "start", start.Format(time.RFC3339))
	c.note("the group has no offset: nats-kafka has never committed any on Kafka 4. The last message of %s in the stream %s was stored at %s, so the route begins at what was written to the topic since %s, %s before. "+
		"What nats-kafka has delivered of that, and delivers from now on, comes again. Where it is further behind than %s, or others write to this subject, give a larger --resume-margin: what lies before is not sent",
		subject, c.from.text, last.Time.UTC().Format(time.RFC3339), start.Format(time.RFC3339), r.margin, r.margin)
	return nil
}

// committed reports whether upstream has a position of the route.
func (r *resumption) committed(ctx context.Context, c *connector) (bool, error) {
	text, err := r.configuration().yaml(reading{
		variable: func(name, _ string) string { value, _ := r.env(name); return value },
		secret:   func(s secret) string { return s.text },
	})
	if err != nil {
		return false, err
	}
	cfg, err := config.Text(r.registry, "what becomes of it", string(text))
	if err != nil {
		return false, fmt.Errorf("an environment variable may not be set here: %w", err)
	}
	for i := range cfg.Bridge.Routes {
		rc := &cfg.Bridge.Routes[i]
		if rc.Name != c.name || rc.Source.Positions == nil {
			continue
		}
		p, err := rc.Source.Positions(ctx, connectors.Env{Route: rc.Name, Logger: zerolog.Nop(), Map: rc.Map})
		if err != nil {
			return false, err
		}
		all, err := p.Committed(ctx)
		if closed := p.Close(ctx); err == nil {
			err = closed
		}
		for _, at := range all {
			if at.Known {
				return true, err
			}
		}
		return false, err
	}
	return false, nil
}
