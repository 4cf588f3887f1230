package bridge

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/connectortest"
	"github.com/sluice-bridge/sluice/flowcontrol"
)

// knowing is a sink that does not answer and can say why, after a while.
type knowing struct {
	connectors.Sink
	takes time.Duration
	asked chan time.Time
}

func (k *knowing) Write(ctx context.Context, _ []*connectors.Batch) error {
	<-ctx.Done()
	return ctx.Err()
}

func (k *knowing) Evidence(ctx context.Context) string {
	k.asked <- time.Now()
	select {
	case <-time.After(k.takes):
		return "ORDERS has no leader"
	case <-ctx.Done():
		return "nobody answers"
	}
}

// Who holds the room is asked within a second of a stall, every few seconds while it lasts, and no longer than
// it is worth; the status never waits for that.
func TestEvidence(t *testing.T) {
	for name, c := range map[string]struct {
		takes time.Duration
		want  string
	}{"quick": {10 * time.Millisecond, "ORDERS has no leader"}, "silent": {time.Hour, "nobody answers"}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sink := &knowing{takes: c.takes, asked: make(chan time.Time, 100)}
				rc := between(filled("in", 1, 1000), connectortest.NewTopic("out", 1))
				open := rc.Sink.Open
				spec := *rc.Sink
				spec.Open = func(ctx context.Context, env connectors.Env) (s connectors.Sink, err error) {
					sink.Sink, err = open(ctx, env)
					return sink, err
				}
				rc.Sink = &spec
				b, err := New(Config{Instance: "test", Routes: []RouteConfig{rc}}, zerolog.Nop(), nil)
				if err != nil {
					t.Fatal(err)
				}
				done := make(chan error, 1)
				go func() { done <- b.Run(t.Context()) }()
				r := b.routes[0]
				for r.Status().State != flowcontrol.Stalled {
					time.Sleep(10 * time.Millisecond)
				}
				stalled := r.Status().Since
				if early := r.Status().Evidence; early != "" {
					t.Errorf("evidence at once: %q", early)
				}
				time.Sleep(time.Until(stalled.Add(time.Second)))
				if got := r.Status().Evidence; got != c.want {
					t.Errorf("evidence %q after a second, want %q", got, c.want)
				}
				time.Sleep(time.Until(stalled.Add(22 * time.Second)))
				if n := len(sink.asked); n < 4 || n > 5 {
					t.Errorf("asked %d times in 22 s", n)
				}
				b.Abandon()
				<-done
				if got := r.Status().Evidence; got != "" {
					t.Errorf("%q after the end", got)
				}
			})
		})
	}
}
