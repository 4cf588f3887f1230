package bridge

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/connectortest"
)

// deafSource is a source that brings nothing while it is deaf, although there is lag.
type deafSource struct {
	connectors.Source
	mu       sync.Mutex
	deaf     bool
	help     bool // a restart helps
	vain     bool // a restart is known not to help
	refusals int
	restarts []time.Time
	changed  chan struct{}
}

func (s *deafSource) Lag() (int64, bool) { return s.Source.(connectors.Lagger).Lag() }

func (s *deafSource) Fetch(ctx context.Context, room connectors.Room) (*connectors.Batch, error) {
	for {
		s.mu.Lock()
		deaf, changed := s.deaf, s.changed
		s.mu.Unlock()
		if !deaf {
			b, err := s.hear(ctx, room, changed)
			if b != nil || ctx.Err() != nil || !errors.Is(err, context.Canceled) {
				return b, err
			}
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// hear fetches until the source goes deaf.
func (s *deafSource) hear(ctx context.Context, room connectors.Room, changed <-chan struct{}) (*connectors.Batch, error) {
	hearing, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-changed:
			cancel()
		case <-hearing.Done():
		}
	}()
	return s.Source.Fetch(hearing, room)
}

func (s *deafSource) Restart(error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.vain {
		s.refusals++
		return false
	}
	s.restarts = append(s.restarts, time.Now())
	if s.help {
		s.set(false)
	}
	return true
}

// set is called with mu held.
func (s *deafSource) set(deaf bool) {
	s.deaf = deaf
	close(s.changed)
	s.changed = make(chan struct{})
}

// setDeaf returns when the source has noticed.
func (s *deafSource) setDeaf(deaf, help bool) {
	s.mu.Lock()
	s.help = help
	s.set(deaf)
	s.mu.Unlock()
	synctest.Wait()
}

func (s *deafSource) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.restarts)
}

// deafRoute is a route over a source that can be made deaf once it is open.
func deafRoute(source, sink *connectortest.Topic) (RouteConfig, *deafSource) {
	rc, s := between(source, sink), &deafSource{changed: make(chan struct{})}
	open := rc.Source.Open
	rc.Source = &connectors.SourceSpec{Open: func(ctx context.Context, env connectors.Env) (connectors.Source, error) {
		inner, err := open(ctx, env)
		s.Source = inner
		return s, err
	}}
	return rc, s
}

// TestWatchdogRestarts: a source that brings nothing although there is something begins anew after a
// minute, and that helps.
func TestWatchdogRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := filled("orders", 1, 100), connectortest.NewTopic("out", 0)
		rc, deaf := deafRoute(source, sink)
		s := start(t, rc)
		s.until("committed", func(*Route) bool { return source.CommittedSum() == 100 })
		time.Sleep(2 * time.Hour)
		if deaf.count() > 0 {
			t.Fatal("an idle source was restarted")
		}
		deaf.setDeaf(true, true)
		begin := time.Now()
		source.Put(0, make([]connectors.Message, 50)...)
		s.until("committed", func(*Route) bool { return source.CommittedSum() == 150 })
		if d := time.Since(begin); deaf.count() != 1 || d < watchFirst || d > watchFirst+5*time.Second {
			t.Errorf("%d restarts, it took %v", deaf.count(), d)
		}
		s.end()
	})
}

// TestWatchdogIsBounded: what a restart does not help is restarted ever more rarely, also when it comes
// and goes.
func TestWatchdogIsBounded(t *testing.T) {
	for name, flap := range map[string]time.Duration{"for good": 0, "by turns": 5 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				source, sink := connectortest.NewTopic("orders", 1), connectortest.NewTopic("out", 0, connectortest.WithDiscard())
				rc, deaf := deafRoute(source, sink)
				s := start(t, rc)
				synctest.Wait()
				deaf.setDeaf(true, false)
				source.Put(0, make([]connectors.Message, 10)...)
				for begin := time.Now(); time.Since(begin) < 12*time.Hour; {
					time.Sleep(max(flap, time.Minute))
					if flap > 0 {
						deaf.setDeaf(false, false)
						time.Sleep(time.Second)
						deaf.setDeaf(true, false)
						source.Put(0, make([]connectors.Message, 10)...)
					}
				}
				all := deaf.restarts
				if len(all) < 3 {
					t.Fatalf("restarts at %v", all)
				}
				for i, first := range all {
					n := 0
					for _, at := range all[i:] {
						if at.Sub(first) < time.Hour {
							n++
						}
					}
					if n > 5 {
						t.Errorf("%d restarts within an hour of the %dth", n, i+1)
					}
				}
				deaf.setDeaf(false, false)
				s.end()
			})
		})
	}
}

// TestWatchdogTakesNo: a source that knows that a restart cannot help is asked again, and restarted when it
// can.
func TestWatchdogTakesNo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := connectortest.NewTopic("orders", 1), connectortest.NewTopic("out", 0)
		rc, deaf := deafRoute(source, sink)
		s := start(t, rc)
		synctest.Wait()
		deaf.setDeaf(true, true)
		deaf.vain = true
		source.Put(0, make([]connectors.Message, 10)...)
		time.Sleep(time.Hour)
		if deaf.count() > 0 || deaf.refusals == 0 {
			t.Errorf("%d restarts, %d refusals", deaf.count(), deaf.refusals)
		}
		deaf.mu.Lock()
		deaf.vain = false
		deaf.mu.Unlock()
		time.Sleep(time.Second)
		if deaf.count() != 1 || source.CommittedSum() != 10 {
			t.Errorf("%d restarts, %d committed", deaf.count(), source.CommittedSum())
		}
		s.end()
	})
}

// TestWatchdogWaitsForRoom: a route that waits for room is not starved.
func TestWatchdogWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := filled("orders", 1, 1000), connectortest.NewTopic("out", 0)
		rc, deaf := deafRoute(source, sink)
		stuck := on()
		rc.Sink = connectortest.FaultySink(rc.Sink, func([]*connectors.Batch) connectortest.Fault {
			if stuck.Load() {
				return connectortest.Fault{Err: errNo}
			}
			return connectortest.Fault{}
		})
		s := start(t, rc)
		time.Sleep(3 * time.Hour)
		if deaf.count() > 0 {
			t.Error("a route without room was restarted")
		}
		stuck.Store(false)
		s.until("committed", func(*Route) bool { return source.CommittedSum() == 1000 })
		s.end()
	})
}
