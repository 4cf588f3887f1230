package bridge

import (
	"context"
	"flag"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/flowcontrol"
)

var (
	ring1Seed  = flag.Uint64("ring1.seed", 0, "run only this seed")
	ring1Seeds = flag.Uint64("ring1.seeds", 150, "how many seeds to run")
)

// TestRing1 runs a whole route over models of both brokers: rebalances, errors, lost answers, partial
// failures, refusals, stalls and kills, in virtual time. A failing seed is run again with -ring1.seed.
// With -short, as under the race detector, the seeds are as many as need be for each number of partitions
// to meet each way to end three times: accesses that may race do so in each of them.
func TestRing1(t *testing.T) {
	first, last := uint64(1), *ring1Seeds
	if testing.Short() {
		last = min(last, 45)
	}
	if *ring1Seed != 0 {
		first, last = *ring1Seed, *ring1Seed
	}
	for seed := first; seed <= last; seed++ {
		synctest.Test(t, func(t *testing.T) { scenario(t, seed) })
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func scenario(t *testing.T, seed uint64) {
	w := newWorld(seed, 1+int(seed%5), 400, connectors.Room{Messages: 64, Bytes: 4096})
	kills := w.roll(4, "kills")
	for life := range kills + 1 {
		if life == kills {
			w.mu.Lock()
			w.faults = seed%3 == 0 // some scenarios end while things still go wrong
			w.mu.Unlock()
		}
		w.life(t, life, life == kills)
		if t.Failed() || len(w.breaches) > 0 {
			break
		}
	}
	w.verify(t)
}

// life is one daemon, from start to a kill or, the last one, to the end of the work.
func (w *world) life(t *testing.T, life int, last bool) {
	var source *modelSource
	sink := &modelSink{w: w}
	b, err := New(Config{
		Instance: "model",
		Routes: []RouteConfig{{
			Name: "model", OnReject: DeadLetter,
			Window:   flowcontrol.Cost{Messages: int64(w.window.Messages), Bytes: w.window.Bytes},
			Adaptive: w.seed%2 == 0,
			Source: &connectors.SourceSpec{Remote: true, Open: func(ctx context.Context, env connectors.Env) (connectors.Source, error) {
				s, err := w.openSource(ctx, env)
				source = s.(*modelSource)
				return s, err
			}},
			Sink: &connectors.SinkSpec{Open: func(context.Context, connectors.Env) (connectors.Sink, error) { return sink, nil }},
			DeadLetter: &connectors.SinkSpec{Open: func(context.Context, connectors.Env) (connectors.Sink, error) {
				return &modelLetters{w}, nil
			}},
		}},
	}, zerolog.Nop(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	synctest.Wait()
	if !last {
		time.Sleep(time.Duration(w.roll(30_000, "kill", life)) * time.Millisecond)
		if w.roll(2, "softly", life) == 0 {
			stop()
			if err := <-done; err == nil && source.atClose > 0 {
				t.Errorf("a drain that went well left %d messages in the sink uncommitted", source.atClose)
			}
			return
		}
		source.kill()
		sink.dead.Store(true)
		b.Abandon()
		<-done
		stop()
		return
	}
	for deadline := time.Now().Add(time.Hour); !w.complete(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("nothing moves any more: %+v", b.Status()[0])
			break
		}
		w.checkStatus(t, b)
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("the soft end: %v", err)
	}
}

func (w *world) complete() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.parts {
		if p.committed < p.total {
			return len(w.breaches) > 0
		}
	}
	return true
}

// checkStatus holds what the route says against the bounds (I2).
func (w *world) checkStatus(t *testing.T, b *Bridge) {
	s := b.Status()[0]
	if s.Window.Messages > s.Window.MessagesLimit {
		t.Errorf("I2: %d messages in a window of %d", s.Window.Messages, s.Window.MessagesLimit)
	}
	if s.Window.Messages < 0 || s.Window.Bytes < 0 {
		t.Errorf("the window was given more than was taken: %+v", s.Window)
	}
	var sum time.Duration
	for _, d := range s.Clock.Times {
		sum += d
	}
	if sum < 0 {
		t.Errorf("the clock runs backwards: %v", s.Clock.Times)
	}
}

// verify compares the sink with the source, message by message.
func (w *world) verify(t *testing.T) {
	for _, breach := range w.breaches {
		t.Error(breach)
	}
	if t.Failed() {
		return
	}
	for _, p := range w.parts {
		newest := int64(-1)
		seen := map[int64]bool{}
		for _, o := range p.sink {
			if !seen[o] && o < newest {
				t.Errorf("%s: offset %d first appears behind %d", p.name, o, newest)
			}
			if !seen[o] {
				newest = o
			}
			seen[o] = true
		}
		for o := range p.total {
			copies := p.have[o] + p.letters[o]
			if copies == 0 {
				t.Errorf("%s: offset %d is lost", p.name, o)
			}
			if p.have[o] > 0 && p.letters[o] > 0 {
				t.Errorf("%s: offset %d is in both sinks", p.name, o)
			}
			if copies-1 > p.allowed[o] {
				t.Errorf("%s: offset %d arrived %d times; what went wrong explains %d", p.name, o, copies, 1+p.allowed[o])
			}
		}
	}
}

// TestOutageOfADay: a sink that is away for a day of virtual time stalls the route, and nothing else.
func TestOutageOfADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(7, 2, 4000, connectors.Room{Messages: 256, Bytes: 1 << 20})
		w.faults = false
		gate := make(chan struct{})
		b, err := New(Config{Routes: []RouteConfig{{
			Name: "model", OnReject: Drop,
			Window: flowcontrol.Cost{Messages: 256, Bytes: 1 << 20},
			Source: &connectors.SourceSpec{Open: w.openSource},
			Sink: &connectors.SinkSpec{Open: func(context.Context, connectors.Env) (connectors.Sink, error) {
				return &gatedSink{modelSink{w: w}, gate}, nil
			}},
		}}}, zerolog.Nop(), nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(context.Background())
		defer stop()
		done := make(chan error, 1)
		go func() { done <- b.Run(ctx) }()
		time.Sleep(24 * time.Hour)
		s := b.Status()[0]
		if s.State != flowcontrol.Stalled || s.Blocker != flowcontrol.BlockerRetry {
			t.Errorf("after a day: %v by %v, want stalled by sink.retry", s.State, s.Blocker)
		}
		if e := s.Clock.Current; e.Waited < 23*time.Hour || e.Seq != 1 {
			t.Errorf("after a day: episode %+v, want one of a day", e)
		}
		close(gate)
		for deadline := time.Now().Add(time.Hour); !b.committed(8000) && time.Now().Before(deadline); {
			time.Sleep(time.Second)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if c := b.Status()[0].Counts; c.CommittedMessages != 8000 {
			t.Errorf("committed %d of 8000", c.CommittedMessages)
		}
	})
}

func (b *Bridge) committed(n uint64) bool { return b.Status()[0].Counts.CommittedMessages >= n }

// gatedSink fails every Write until the gate opens.
type gatedSink struct {
	modelSink
	gate chan struct{}
}

func (s *gatedSink) Write(ctx context.Context, batches []*connectors.Batch) error {
	select {
	case <-s.gate:
	default:
		return errModel
	}
	err := s.modelSink.Write(ctx, batches)
	if err != nil && strings.Contains(err.Error(), "never") {
		return err
	}
	return err
}
