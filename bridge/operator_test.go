package bridge

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/rs/zerolog"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/connectortest"
	"github.com/sluice-bridge/sluice/flowcontrol"
	"github.com/sluice-bridge/sluice/telemetry"
)

func halted(r *Route) bool { return r.Status().State == flowcontrol.Halted }

// logged is a log that a test reads.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// lines returns the lines that hold a field with a value.
func (l *logged) lines(t *testing.T, field string, value any) (found []map[string]any) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for text := range strings.Lines(l.text.String()) {
		line := map[string]any{}
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatal(err)
		}
		if line[field] == value {
			found = append(found, line)
		}
	}
	return found
}

func startLogged(t *testing.T, level zerolog.Level, routes ...RouteConfig) (*started, *logged) {
	t.Helper()
	log := &logged{}
	return startWith(t, zerolog.New(log).Level(level), routes...), log
}

// TestSkip: exactly the message that blocked is given up, whatever the sink would say of it now.
func TestSkip(t *testing.T) {
	for name, c := range map[string]struct {
		target, drop, mended, undecodable bool
		sunk, letters                     int64
	}{
		"to the dead letters":           {target: true, sunk: 599, letters: 1},
		"dropped":                       {drop: true, sunk: 599},
		"dropped although it could not": {target: true, drop: true, sunk: 599},
		"mended meanwhile":              {target: true, mended: true, sunk: 599, letters: 1},
		"undecodable":                   {target: true, undecodable: true, sunk: 599, letters: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				source, sink, letters := filled("orders", 3, 200), connectortest.NewTopic("out", 0), connectortest.NewTopic("dead", 0)
				rc, broken := between(source, sink), on()
				if c.undecodable {
					rc.Source = undecodable(rc.Source, "orders/1", 55)
				} else {
					rc.Sink = connectortest.FaultySink(rc.Sink, refuse("orders/1", 55, broken))
				}
				if c.target {
					rc.DeadLetter = letters.SinkSpec()
				}
				s := start(t, rc)
				s.until("halted", halted)
				h := s.Status()[0].Halted
				if h == nil || h.Reason != "message_refused" || h.Place == nil || *h.Place != (telemetry.Place{Partition: "orders/1", Offset: 55}) ||
					!strings.Contains(h.Way, "sluice resume orders --skip") || strings.Contains(h.Way, "--drop") == c.target {
					t.Errorf("halted as %+v", h)
				}
				broken.Store(!c.mended)
				if _, err := s.Resume("orders", Resume{Skip: true, Drop: c.drop}); err != nil {
					t.Fatal(err)
				}
				s.until("committed", func(*Route) bool { return source.CommittedSum() == 600 })
				s.end()
				dead := letters.Messages("orders/1")
				if n := distinct(sink); n != c.sunk || int64(len(dead)) != c.letters {
					t.Errorf("%d in the sink, %d dead letters; want %d and %d", n, len(dead), c.sunk, c.letters)
				}
				for _, m := range sink.Messages("orders/1") {
					if m.Offset == 55 {
						t.Error("the message that was given up is in the sink")
					}
				}
				if len(dead) == 1 && (string(dead[0].Value) != "55" || !hasHeader(dead[0], letterReason)) {
					t.Errorf("dead letter %+v", dead[0])
				}
				counts := s.Status()[0].Counts
				if counts.DeadLettered != uint64(c.letters) || (counts.Dropped == 1) != c.drop {
					t.Errorf("%+v", counts)
				}
			})
		})
	}
}

// distinct counts the messages of a sink, those that are there twice once.
func distinct(sink *connectortest.Topic) (n int64) {
	for _, p := range sink.Partitions() {
		seen := map[int64]bool{}
		for _, m := range sink.Messages(p) {
			seen[m.Offset] = true
		}
		n += int64(len(seen))
	}
	return n
}

// undecodable makes a source that cannot decode one message, which comes alone then.
func undecodable(spec *connectors.SourceSpec, partition string, offset int64) *connectors.SourceSpec {
	wrapped := *spec
	wrapped.Open = func(ctx context.Context, env connectors.Env) (connectors.Source, error) {
		s, err := spec.Open(ctx, env)
		return &badSource{s, partition, offset}, err
	}
	return &wrapped
}

type badSource struct {
	connectors.Source
	partition string
	offset    int64
}

func (s *badSource) Fetch(ctx context.Context, room connectors.Room) (*connectors.Batch, error) {
	room.Messages = 1
	b, err := s.Source.Fetch(ctx, room)
	if b != nil && b.Partition == s.partition && b.Messages[0].Offset == s.offset {
		b.Reject = errNo
	}
	return b, err
}

func (s *badSource) Recycle(b *connectors.Batch) { s.Source.(connectors.Recycler).Recycle(b) }

// TestSkipRefuses: what cannot be skipped stays halted, with the way out.
func TestSkipRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := filled("orders", 1, 100), connectortest.NewTopic("out", 0)
		rc := between(source, sink)
		rc.Sink = connectortest.FaultySink(rc.Sink, refuse("orders/0", 42, on()))
		sealed := filled("sealed", 1, 100)
		whole := between(sealed, connectortest.NewTopic("out", 0))
		whole.DeadLetter = sink.SinkSpec()
		whole.Sink = connectortest.FaultySink(whole.Sink, func([]*connectors.Batch) connectortest.Fault {
			return connectortest.Fault{Err: connectors.Halt("stream_sealed", "unseal it", errNo)}
		})
		s := start(t, rc, whole)
		s.until("halted", func(*Route) bool { return halted(s.routes[0]) && halted(s.routes[1]) })
		if h := s.Status()[1].Halted; h.Reason != "stream_sealed" || h.Way != "unseal it" || h.Place != nil {
			t.Errorf("halted as %+v", h)
		}
		for route, want := range map[string]string{"orders": "dead_letter: {sink: {...}}", "sealed": "not halted by a single message"} {
			if _, err := s.Resume(route, Resume{Skip: true}); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", route, err, want)
			}
		}
		if !halted(s.routes[0]) || len(s.Status()[0].Actions) > 0 {
			t.Error("a refused resume has done something")
		}
		s.end()
	})
}

// TestUnnamedHalts: what a connector has no name for is told by where it happened.
func TestUnnamedHalts(t *testing.T) {
	for want, change := range map[string]func(*RouteConfig){
		"sink_failed": func(rc *RouteConfig) {
			rc.Sink = connectortest.FaultySink(rc.Sink, func([]*connectors.Batch) connectortest.Fault {
				return connectortest.Fault{Err: connectors.Permanent(errNo)}
			})
		},
		"source_failed": func(rc *RouteConfig) { rc.Source = failing(rc.Source, failingSource{fetch: errNo}) },
		"commit_failed": func(rc *RouteConfig) { rc.Source = failing(rc.Source, failingSource{commit: errNo}) },
		"open_failed": func(rc *RouteConfig) {
			rc.Source = &connectors.SourceSpec{Open: func(context.Context, connectors.Env) (connectors.Source, error) {
				return nil, connectors.Permanent(errNo)
			}}
		},
	} {
		t.Run(want, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rc := between(filled("orders", 1, 100), connectortest.NewTopic("out", 0))
				change(&rc)
				s, log := startLogged(t, zerolog.InfoLevel, rc)
				s.until("halted", halted)
				if h := s.Status()[0].Halted; h.Reason != want || !strings.Contains(h.Way, "sluice resume orders") || h.Since.IsZero() {
					t.Errorf("halted as %+v", h)
				}
				if lines := log.lines(t, "reason", want); len(lines) != 1 || lines[0]["way"] == "" {
					t.Errorf("log lines %v", lines)
				}
				s.end()
			})
		})
	}
}

func failing(spec *connectors.SourceSpec, f failingSource) *connectors.SourceSpec {
	wrapped := *spec
	wrapped.Open = func(ctx context.Context, env connectors.Env) (connectors.Source, error) {
		s, err := spec.Open(ctx, env)
		f.Source = s
		return &f, err
	}
	return &wrapped
}

type failingSource struct {
	connectors.Source
	fetch, commit error
}

func (s *failingSource) Fetch(ctx context.Context, room connectors.Room) (*connectors.Batch, error) {
	if s.fetch != nil {
		return nil, connectors.Permanent(s.fetch)
	}
	return s.Source.Fetch(ctx, room)
}

func (s *failingSource) Commit(ctx context.Context, done []*connectors.Batch) error {
	if s.commit != nil {
		return connectors.Permanent(s.commit)
	}
	return s.Source.Commit(ctx, done)
}

// TestAudit: what an operator has done leaves a line that no level hides, and stays in the status.
func TestAudit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, broken := filled("orders", 1, 100), on()
		rc := between(source, connectortest.NewTopic("out", 0))
		rc.Sink = connectortest.FaultySink(rc.Sink, refuse("orders/0", 42, broken))
		s, log := startLogged(t, zerolog.ErrorLevel, rc)
		for i := range 10 {
			s.until("halted", halted)
			broken.Store(i < 9)
			if _, err := s.Resume("orders", Resume{By: Operator{Who: "ann@desk (10.0.0.1)", Why: "sink mended"}}); err != nil {
				t.Fatal(err)
			}
		}
		s.until("committed", func(*Route) bool { return source.CommittedSum() == 100 })
		if h := s.Status()[0].Halted; h != nil {
			t.Errorf("still halted as %+v", h)
		}
		s.end()
		lines := log.lines(t, "audit", true)
		if len(lines) != 10 {
			t.Fatalf("%d audit lines, want 10", len(lines))
		}
		for field, want := range map[string]string{
			"who": "ann@desk (10.0.0.1)", "why": "sink mended", "what": "resume", "route": "orders",
			"before": "halted: message_refused: orders/0 offset 42 was refused: no", "after": "goes on at the committed position",
		} {
			if lines[0][field] != want {
				t.Errorf("%s is %q, want %q", field, lines[0][field], want)
			}
		}
		if actions := s.Status()[0].Actions; len(actions) != statusActions || actions[0].Who != "ann@desk (10.0.0.1)" {
			t.Errorf("%+v", actions)
		}
	})
}
