package bridge

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/connectortest"
	"github.com/sluice-bridge/sluice/flowcontrol"
)

// readable gives a sink a log that passes through change.
func readable(spec *connectors.SinkSpec, change func(connectors.Log) connectors.Log) *connectors.SinkSpec {
	wrapped := *spec
	wrapped.Log = func(ctx context.Context, env connectors.Env) (connectors.Log, error) {
		l, err := spec.Log(ctx, env)
		return change(l), err
	}
	return &wrapped
}

// countedLog counts what is read and fails while err is set.
type countedLog struct {
	connectors.Log
	read *atomic.Int64
	err  func() error
}

func (l *countedLog) Ranges(ctx context.Context) ([]connectors.Range, error) {
	if l.err != nil && l.err() != nil {
		return nil, l.err()
	}
	return l.Log.Ranges(ctx)
}

func (l *countedLog) Read(ctx context.Context, partition string, from, to int64, visit func(*connectors.Message) error) error {
	l.read.Add(to - from)
	return l.Log.Read(ctx, partition, from, to, visit)
}

// member makes a topic whose sources ask the bridge where they have no position.
func member(name string, partitions, messages int) *connectortest.Topic {
	topic := connectortest.NewTopic(name, partitions, connectortest.WithAssign(), connectortest.WithBatch(10))
	for p := range partitions {
		for i := range messages {
			topic.Put(p, connectors.Message{Value: fmt.Append(nil, i)})
		}
	}
	return topic
}

// TestPositionLost: a source that has no position although the sink holds its messages begins nothing.
func TestPositionLost(t *testing.T) {
	for name, c := range map[string]struct {
		forget      []string
		replace     bool // the topic by a shorter one of the same name
		reason, way string
		detail      string
	}{
		"of every partition": {
			forget: []string{"orders/0", "orders/1"}, reason: "position_lost", way: "sluice position orders set --to sink",
			detail: "orders/0 has no committed position, but the sink holds its messages up to 99",
		},
		"of one": {
			forget: []string{"orders/1"}, reason: "position_lost", way: "sluice position orders set --to sink",
			detail: "orders/1 has no committed position, but the sink holds its messages up to 99",
		},
		"and the topic is another": {
			replace: true, reason: "source_recreated", way: "sluice position orders set --to earliest",
			detail: "orders/0 has no committed position and ends at 50, but the sink holds its messages up to 99",
		},
		"of none": {},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				source, sink := member("orders", 2, 100), connectortest.NewTopic("out", 0)
				rc := between(source, sink)
				rc.Headers = true
				s := start(t, rc)
				s.until("committed", func(*Route) bool { return source.CommittedSum() == 200 })
				s.end()
				for _, p := range c.forget {
					source.Forget(p)
				}
				if c.replace {
					source = member("orders", 2, 50)
					rc.Source = source.SourceSpec()
				}
				s = start(t, rc)
				if c.reason == "" {
					source.Put(0, connectors.Message{Value: []byte("more")})
					s.until("going on", func(*Route) bool { return source.CommittedSum() == 201 })
					s.end()
					return
				}
				s.until("halted", halted)
				if h := s.Status()[0].Halted; h.Reason != c.reason || h.Way != c.way || !strings.Contains(h.Detail, c.detail) {
					t.Errorf("halted as %+v", h)
				}
				s.end()
				if n := sink.Written(); n != 200 {
					t.Errorf("%d messages were written, want 200", n)
				}
			})
		})
	}
}

// TestFirstStart: where the sink holds nothing of the source it begins, after as small a look as can be.
func TestFirstStart(t *testing.T) {
	for name, c := range map[string]struct {
		others int // messages of others in the sink
		deep   bool
		looked int64
		lines  int
	}{
		"empty sink":                        {},
		"a few messages of others":          {others: 100, looked: 100},
		"many messages of others":           {others: 3 * tailFirst, looked: 3 * tailFirst, lines: 1},
		"the source's own are behind those": {others: 3 * tailFirst, deep: true, looked: 3*tailFirst + 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				source, sink := member("orders", 3, 10), connectortest.NewTopic("out", 1)
				if c.deep {
					sink.Put(0, connectors.Message{Headers: []connectors.Header{{Key: connectors.OriginHeader, Value: []byte("memory:orders/0/7;hops=1")}}})
				}
				for range c.others {
					sink.Put(0, connectors.Message{Headers: []connectors.Header{{Key: connectors.OriginHeader, Value: []byte("memory:elsewhere/0/1;hops=1")}}})
				}
				var read atomic.Int64
				rc := between(source, sink)
				rc.Headers = true
				rc.Sink = readable(rc.Sink, func(l connectors.Log) connectors.Log { return &countedLog{Log: l, read: &read} })
				s, log := startLogged(t, zerolog.InfoLevel, rc)
				if c.deep {
					s.until("halted", halted)
				} else {
					s.until("committed", func(*Route) bool { return source.CommittedSum() == 30 })
				}
				s.end()
				if n := read.Load(); n != c.looked {
					t.Errorf("looked at %d positions, want %d", n, c.looked)
				}
				if lines := log.lines(t, "positions", float64(c.looked)); len(lines) != c.lines && !c.deep {
					t.Errorf("log lines %v", lines)
				}
			})
		})
	}
}

// TestSinkThatCannotBeLookedAt: one that is away is waited for; one that may not be read does not keep the
// route, which says that nobody would notice.
func TestSinkThatCannotBeLookedAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := member("orders", 1, 10), connectortest.NewTopic("out", 0)
		var read atomic.Int64
		refused, forbidden := errors.New("connection refused"), connectors.Permanent(errors.New("not authorized"))
		var away atomic.Pointer[error]
		away.Store(&refused)
		rc := between(source, sink)
		rc.Headers = true
		rc.Sink = readable(rc.Sink, func(l connectors.Log) connectors.Log {
			return &countedLog{Log: l, read: &read, err: func() error { return *away.Load() }}
		})
		s, log := startLogged(t, zerolog.InfoLevel, rc)
		time.Sleep(time.Hour)
		status := s.Status()[0]
		if source.CommittedSum() > 0 || status.State != flowcontrol.Disconnected || !strings.Contains(status.Detail, "connection refused") {
			t.Errorf("while the sink is away: %+v", status)
		}
		if lines := log.lines(t, "error", "connection refused"); len(lines) != 1 {
			t.Errorf("log lines %v", lines)
		}
		away.Store(&forbidden)
		s.until("committed", func(*Route) bool { return source.CommittedSum() == 10 })
		if status := s.Status()[0]; status.State == flowcontrol.Disconnected {
			t.Errorf("after the sink came: %+v", status)
		}
		if lines := log.lines(t, "error", "not authorized"); len(lines) != 1 {
			t.Errorf("log lines %v", lines)
		}
		s.end()
	})
}

func TestUnnoticed(t *testing.T) {
	rc := between(member("orders", 1, 0), connectortest.NewTopic("out", 0))
	for want, change := range map[string]func(*RouteConfig){
		"headers: none": func(rc *RouteConfig) { rc.Headers = false },
		"cannot be read again": func(rc *RouteConfig) {
			sink := *rc.Sink
			sink.Log = nil
			rc.Sink, rc.Headers = &sink, true
		},
		"": func(rc *RouteConfig) { rc.Headers = true },
	} {
		rc := rc
		change(&rc)
		b, err := New(Config{Instance: "test", Routes: []RouteConfig{rc}}, zerolog.Nop(), nil)
		if err != nil {
			t.Fatal(err)
		}
		const says = "a position that upstream lost would not be noticed: "
		g := b.Status()[0].Guarantee
		if strings.Contains(g, says) != (want != "") || !strings.Contains(g, want) {
			t.Errorf("%q: guarantee %q", want, g)
		}
	}
}

// TestHeldIsBounded: hostile headers do not fill the memory, nor hide what is asked for.
func TestHeldIsBounded(t *testing.T) {
	sink := connectortest.NewTopic("out", 1)
	put := func(origin string) {
		sink.Put(0, connectors.Message{Headers: []connectors.Header{{Key: connectors.OriginHeader, Value: []byte(origin + "/1;hops=1")}}})
	}
	put("memory:orders/1")
	for i := range 3 * heldOrigins {
		put(fmt.Sprintf("memory:junk%d", i))
	}
	put("memory:orders/0")
	b, err := New(Config{Instance: "test", Routes: []RouteConfig{between(member("orders", 2, 0), sink)}}, zerolog.Nop(), nil)
	if err != nil {
		t.Fatal(err)
	}
	h := newHeld()
	for _, c := range []struct {
		origin string
		found  bool
	}{{"memory:orders/0", true}, {"memory:nothing", false}, {"memory:orders/1", true}} {
		if _, found, err := h.find(t.Context(), b.routes[0], c.origin); found != c.found || err != nil {
			t.Errorf("%s: found %v, %v", c.origin, found, err)
		}
	}
	if n := len(h.highest); n > heldOrigins+2 {
		t.Errorf("%d origins are remembered", n)
	}
}
