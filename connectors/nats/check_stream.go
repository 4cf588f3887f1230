package nats

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
)

// streamSettings is what an operator looks at in an answer of STREAM.INFO.
type streamSettings struct {
	witness // its Cluster
	Config  struct {
		Retention    string        `json:"retention"`
		Discard      string        `json:"discard"`
		MaxAge       time.Duration `json:"max_age"`
		MaxMsgs      int64         `json:"max_msgs"`
		MaxBytes     int64         `json:"max_bytes"`
		MaxMsgSize   int64         `json:"max_msg_size"`
		Replicas     int           `json:"num_replicas"`
		Persist      string        `json:"persist_mode"`
		AllowBatched bool          `json:"allow_batched"`
		Consumers    struct {
			MaxAckPending int `json:"max_ack_pending"`
		} `json:"consumer_limits"`
	} `json:"config"`
	State struct {
		Messages  int64 `json:"messages"`
		Bytes     int64 `json:"bytes"`
		Consumers int   `json:"consumer_count"`
	} `json:"state"`
	Told time.Time `json:"ts"` // nats-server 2.10
}

func (e *examiner) stream(ctx context.Context, name string) (*streamSettings, error) {
	var s streamSettings
	err := e.conn.api(ctx, "STREAM.INFO."+name, nil, &s)
	return &s, err
}

// streamChecks look at a stream, whatever for: JetStream, the stream, and its leader's clock. fit says whether it
// can be read or written.
func (e *examiner) streamChecks(name, suggested, doing string, fit func(context.Context) error) []connectors.Check {
	what := "stream " + name
	return []connectors.Check{
		e.of("JetStream", "jetstream.enabled", "nats.login", e.askJetStream),
		e.of(what+" to "+doing, "jetstream.stream", "jetstream.enabled", func(ctx context.Context) []connectors.Finding {
			return e.askStream(ctx, name, suggested, fit)
		}),
		e.of(what, "jetstream.clock", "jetstream.stream", func(ctx context.Context) []connectors.Finding {
			asked := time.Now()
			s, err := e.stream(ctx, name)
			if err != nil {
				return e.refused(err)
			}
			if s.Told.IsZero() {
				return connectors.Found(connectors.Fine, "", "the server does not tell its time (it is older than 2.10)")
			}
			return connectors.Clock("the server that leads stream "+name, s.Told, asked, time.Now())
		}),
	}
}

// askJetStream asks whether the account has JetStream, and room in it.
func (e *examiner) askJetStream(ctx context.Context) []connectors.Finding {
	var account struct {
		Storage int64 `json:"storage"`
		Limits  struct {
			MaxStorage int64 `json:"max_storage"`
		} `json:"limits"`
	}
	var denied *DeniedError
	err := e.conn.api(ctx, "INFO", nil, &account)
	switch most := account.Limits.MaxStorage; {
	case errors.As(err, &denied): // no route asks it
		return connectors.Found(connectors.Fine, "", "the user may not ask for its account's JetStream")
	case err != nil:
		return e.refused(err)
	case most > 0 && float64(account.Storage) >= nearlyFull*float64(most):
		return connectors.Found(connectors.Warning, "raise the account's disk_storage, or make room: "+e.cli("stream report"),
			"the account's streams hold %v of %v: a full one takes nothing more", connectors.Size(account.Storage), connectors.Size(most))
	}
	return connectors.Found(connectors.Fine, "", "JetStream answers")
}

func (e *examiner) askStream(ctx context.Context, name, suggested string, fit func(context.Context) error) []connectors.Finding {
	err := fit(ctx)
	var found *streamSettings
	if err == nil {
		found, err = e.stream(ctx, name)
	}
	switch {
	case isAPIError(err, errCodeStreamNotFound):
		return connectors.Found(connectors.Failed, e.cli(addStream, name, suggested), "stream %s does not exist", name)
	case errors.Is(err, errUnfit):
		return connectors.Found(connectors.Failed, "name another stream, or change this one: "+e.cli("stream edit %s", name), "%v", err)
	case connectors.IsPermanent(err):
		return connectors.Found(connectors.Failed, e.cli("stream edit %s --discard=new --force", name)+"; or accept_loss: [discard_old] in the route", "%v", err)
	case err != nil:
		return e.refused(err)
	}
	e.bound(name, found.Config.MaxMsgSize)
	return connectors.Found(connectors.Fine, "", "stream %s holds %d messages, %v", name, found.State.Messages, connectors.Size(found.State.Bytes))
}

// lacks is what the evidence of a stall would name.
func (s *streamSettings) lacks(name string) []string {
	w := witness{Cluster: s.Cluster}
	w.Config.MaxMsgs, w.Config.MaxBytes = s.Config.MaxMsgs, s.Config.MaxBytes
	w.State.Messages, w.State.Bytes = s.State.Messages, s.State.Bytes
	return w.lacks(name)
}

// safety says what may take messages away that a stream has, at either end.
func (s *streamSettings) safety(e *examiner, name string) (all []connectors.Finding) {
	add := func(way, format string, args ...any) {
		all = append(all, connectors.Found(connectors.Warning, way, format, args...)...)
	}
	if lacks := s.lacks(name); len(lacks) > 0 {
		add(e.cli("stream info %s", name), "%s", strings.Join(lacks, ", "))
	}
	if s.Config.Persist == "async" {
		add("make the stream anew with the default --persist-mode", "stream %s acknowledges before it has stored (persist_mode async): a server that crashes loses the end", name)
	}
	if at, err := e.server(); err == nil && at.cluster != "" && s.Config.Replicas == 1 {
		add(e.cli("stream edit %s --replicas=3 --force", name), "stream %s has one replica in a cluster: it is away, or gone, with its server", name)
	}
	return all
}

// askUpstream says what may take messages away before a source reads them.
func (e *examiner) askUpstream(ctx context.Context, name string) []connectors.Finding {
	s, err := e.stream(ctx, name)
	if err != nil {
		return e.refused(err)
	}
	all := s.safety(e, name)
	if age := s.Config.MaxAge; age > 0 && age < time.Hour {
		all = append(all, connectors.Found(connectors.Warning, e.cli("stream edit %s --max-age=7d --force", name),
			"stream %s keeps messages for %v: a route that is held back for longer loses them", name, age)...)
	}
	if all == nil {
		return connectors.Found(connectors.Fine, "", "max_age %v, max_msgs %d, max_bytes %d, discard %s", s.Config.MaxAge, s.Config.MaxMsgs, s.Config.MaxBytes, s.Config.Discard)
	}
	return all
}

// askDownstream says what may take messages away that a sink has written.
func (e *examiner) askDownstream(ctx context.Context, name string) []connectors.Finding {
	s, err := e.stream(ctx, name)
	if err != nil {
		return e.refused(err)
	}
	all := s.safety(e, name)
	if s.Config.Retention == "interest" && s.State.Consumers == 0 {
		all = append(all, connectors.Found(connectors.Warning, e.cli("consumer add %s NAME --pull --defaults", name),
			"stream %s keeps what a consumer waits for (retention interest) and has no consumer: what is written is gone at once", name)...)
	}
	if all == nil {
		return connectors.Found(connectors.Fine, "", "retention %s, discard %s, %d replica(s)", s.Config.Retention, s.Config.Discard, s.Config.Replicas)
	}
	return all
}

// askSpeed says what the server could do faster.
func (e *examiner) askSpeed(ctx context.Context, cfg *JetStreamSinkConfig) []connectors.Finding {
	s, err := e.stream(ctx, cfg.Stream)
	if err != nil {
		return e.refused(err)
	}
	at, err := e.server()
	switch {
	case err != nil:
		return e.refused(err)
	case s.Config.AllowBatched && cfg.Mode != "pipelined":
		return connectors.Found(connectors.Fine, "", "stream %s takes fast-ingest batches", cfg.Stream)
	case cfg.Mode == "pipelined":
		return connectors.Found(connectors.Fine, "", "mode: pipelined, as configured")
	case !at.canReset(): // fast ingest came with the same version
		return connectors.Found(connectors.Fine, "nats-server 2.14 or later, and then "+e.cli("stream edit %s --allow-fast --force", cfg.Stream),
			"nats-server %s has no fast-ingest batches; the sink publishes one by one, pipelined", at.version)
	}
	return connectors.Found(connectors.Fine, e.cli("stream edit %s --allow-fast --force", cfg.Stream),
		"stream %s could be written faster and in order at any refusal: it does not allow fast-ingest batches (allow_batched)", cfg.Stream)
}

func (e *examiner) server() (serverInfo, error) {
	e.conn.mu.Lock()
	nc := e.conn.nc
	e.conn.mu.Unlock()
	return serverInfoOf(nc)
}
