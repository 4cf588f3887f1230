package nats

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/sluice-bridge/sluice/connectors"
)

// logPatience is how long a log waits for a connection.
const logPatience = 2 * connectTimeout

// streamLog reads a stream again, with the ordered consumer of nats.go, which nothing else here uses, and
// message by message where that would disturb or does not get on. It undoes what a sink did to carry a
// message (restore). One caller.
type streamLog struct {
	conn    *conn
	durable durable
	filters []string // of a source; nil: all subjects
	bound   bool     // the durable may have filters that the configuration does not name
}

// openSourceLog opens what a source reads. It begins to connect and returns at once.
func openSourceLog(cfg *JetStreamSourceConfig, env *connectors.Env) connectors.Log {
	l := openLog(&cfg.Connection, env, cfg.Stream)
	l.durable.name, l.filters, l.bound = cfg.Durable, cfg.Subjects, len(cfg.Subjects) == 0
	return l
}

// openSinkLog opens the stream that a sink writes.
func openSinkLog(cfg *JetStreamSinkConfig, env *connectors.Env) connectors.Log {
	return openLog(&cfg.Connection, env, cfg.Stream)
}

func openLog(cfg *Connection, env *connectors.Env, stream string) *streamLog {
	aside := *env
	aside.Host = noHost{} // what this connection meets is not news of the route
	c := dial(cfg, &aside, true)
	return &streamLog{conn: c, durable: durable{conn: c, stream: stream}}
}

// Close implements connectors.Log.
func (l *streamLog) Close(ctx context.Context) error {
	l.conn.close(ctx)
	return nil
}

// connection waits for the connection, at most logPatience.
func (l *streamLog) connection(ctx context.Context) (*nats.Conn, error) {
	limited, cancel := context.WithTimeout(ctx, logPatience)
	defer cancel()
	nc, _, err := l.conn.await(limited)
	return nc, err
}

// Ranges implements connectors.Log: a stream is one partition, called after it.
func (l *streamLog) Ranges(ctx context.Context) ([]connectors.Range, error) {
	nc, err := l.connection(ctx)
	if err != nil {
		return nil, err
	}
	at, err := serverInfoOf(nc)
	if err != nil {
		return nil, err
	}
	info, err := l.durable.streamInfo(ctx)
	if err != nil {
		return nil, forbidden(err)
	}
	r := connectors.Range{
		Partition: l.durable.stream, Origin: at.origin(info.Created, l.durable.stream),
		First: int64(max(1, info.State.FirstSeq)), End: int64(info.State.LastSeq) + 1,
		// What somebody has deleted from a sink by hand is missing there.
		Sparse: info.sparse() || l.durable.name != "" && info.State.Deleted > 0,
	}
	r.First = min(r.First, r.End)
	return []connectors.Range{r}, nil
}

// forbidden marks as Permanent what the user may not do.
func forbidden(err error) error {
	var denied *DeniedError
	if errors.As(err, &denied) {
		return connectors.Permanent(err)
	}
	return err
}

// subjects returns what the source's durable reads, where the configuration leaves that to the durable.
func (l *streamLog) subjects(ctx context.Context) ([]string, error) {
	if !l.bound {
		return l.filters, nil
	}
	info, err := l.durable.info(ctx)
	switch {
	case err == nil:
		l.filters = info.config.filters()
	case !isAPIError(err, errCodeConsumerNotFound):
		return nil, err
	}
	l.bound = false
	return l.filters, nil
}

// Find implements connectors.Log. It asks for about twenty messages.
func (l *streamLog) Find(ctx context.Context, partition string, t time.Time) (int64, error) {
	all, err := l.Ranges(ctx)
	if err != nil {
		return 0, err
	}
	if partition != l.durable.stream {
		return 0, l.foreign(partition)
	}
	low, high := all[0].First, all[0].End
	found := high
	for low < high {
		middle := low + (high-low)/2
		m, err := l.get(ctx, middle)
		switch {
		case err != nil:
			return 0, err
		case m == nil || m.Sequence >= high:
			high = middle
		case m.Time.Before(t):
			low = m.Sequence + 1
		default:
			found, high = m.Sequence, middle
		}
	}
	return found, nil
}

func (l *streamLog) foreign(partition string) error {
	return fmt.Errorf("%q is not a partition of stream %s; it has one, which is called %s", partition, l.durable.stream, l.durable.stream)
}

// stored is one message as the JetStream API gives it.
type stored struct {
	Subject  string    `json:"subject"`
	Sequence int64     `json:"seq"`
	Headers  []byte    `json:"hdrs"`
	Data     []byte    `json:"data"`
	Time     time.Time `json:"time"`
}

// get returns the first message at sequence or later, nil if there is none. It asks the stream's leader: a
// direct get may be answered by a replica that is behind (ADR-31).
func (l *streamLog) get(ctx context.Context, sequence int64) (*stored, error) {
	if _, err := l.connection(ctx); err != nil {
		return nil, err
	}
	filters, err := l.subjects(ctx)
	if err != nil {
		return nil, err
	}
	if len(filters) == 0 {
		filters = []string{">"}
	}
	var first *stored
	for _, filter := range filters {
		var got struct {
			Message stored `json:"message"`
		}
		body := map[string]any{"seq": max(1, sequence), "next_by_subj": filter}
		err := l.conn.api(ctx, "STREAM.MSG.GET."+l.durable.stream, body, &got)
		switch {
		case isAPIError(err, errCodeNoMessage):
		case err != nil:
			return nil, err
		case first == nil || got.Message.Sequence < first.Sequence:
			first = &got.Message
		}
	}
	return first, nil
}

// message restores what was stored. Headers that cannot be read are left out, as nats.go does with a
// message that is delivered.
func (s *stored) message() *connectors.Message {
	m := &connectors.Message{Subject: s.Subject, Value: s.Data, Time: s.Time, Offset: s.Sequence}
	if m.Value == nil {
		m.Value = []byte{}
	}
	var h nats.Header
	if len(s.Headers) > 0 {
		h, _ = nats.DecodeHeadersMsg(s.Headers)
	}
	restore(m, h)
	return m
}

// noHost is told what nobody needs to know.
type noHost struct{}

func (noHost) Assign(context.Context, string) (int64, bool, error)  { return 0, false, nil }
func (noHost) Revoke(context.Context, ...string)                    {}
func (noHost) Unpositioned(context.Context, connectors.Range) error { return nil }
func (noHost) Gap(string, int64, int64) error                       { return nil }
func (noHost) Report(connectors.Event)                              {}
