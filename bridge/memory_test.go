package bridge

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/connectortest"
	"github.com/sluice-bridge/sluice/flowcontrol"
)

// TestBudgetIsShared: eight routes whose windows are far more than there is memory for, and one whose sink is
// dead from the start. It holds what it could get; the others go at their sinks' pace; together they keep to
// the budget.
func TestBudgetIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const routes, perSecond, size = 8, 1000, 4 << 10
		cfg := Config{Instance: "test", Memory: processMemory + int64(windowMemory*routes*(2<<20))}
		value := make([]byte, size)
		for i := range routes {
			topic := connectortest.NewTopic(fmt.Sprint("in", i), 1, connectortest.WithBatch(10))
			for range 30 * perSecond {
				topic.Put(0, connectors.Message{Value: value})
			}
			rc, dead := paced(1, 1, time.Millisecond, time.Second/perSecond)
			rc.Name, rc.Source = topic.Name(), topic.SourceSpec()
			rc.Adaptive, rc.Window = false, flowcontrol.Cost{Messages: 8192, Bytes: 16 << 20}
			dead.Store(i == 0)
			cfg.Routes = append(cfg.Routes, rc)
		}
		b, err := New(cfg, zerolog.Nop(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if need, line := b.Memory(); need > cfg.Memory || !strings.Contains(line, "1.5 x 16 MiB budget of 128 MiB windows") {
			t.Errorf("%d needed of %d: %s", need, cfg.Memory, line)
		}
		done := make(chan error, 1)
		go func() { done <- b.Run(t.Context()) }()
		const watched = 20
		stalled := 0 // samples, of the second half
		for i := range watched * 10 {
			time.Sleep(time.Second / 10)
			var held int64
			for k, r := range b.Status() {
				held += r.Window.Bytes
				if k == 0 && i >= watched*5 && r.State == flowcontrol.Stalled {
					stalled++
				}
			}
			if held > b.bytes {
				t.Fatalf("%d bytes held of %d", held, b.bytes)
			}
		}
		for i, r := range b.Status() {
			if i == 0 {
				// Now and then the others leave a little more to it, which is no sign of life of its sink.
				if stalled < watched*5*9/10 || r.Cause != flowcontrol.CauseBudget || r.Blocker != flowcontrol.BlockerAck || r.Holder != "" {
					t.Errorf("stalled in %d of %d samples; %v by %v, %v with %+v", stalled, watched*5, r.State, r.Cause, r.Blocker, r.Window)
				}
				if !strings.Contains(r.Memory, "x 8.5 MiB window") {
					t.Errorf("%s", r.Memory)
				}
			} else if r.Cause == flowcontrol.CauseBudget && (r.Holder != "in0" || r.Blocker != flowcontrol.BlockerAck) {
				t.Errorf("%s waits for memory that in0 has: %q, %v", r.Route, r.Holder, r.Blocker)
			} else if n := r.Counts.AcknowledgedMessages; n < watched*perSecond*9/10 {
				t.Errorf("%s: %d messages in %d s, its sink takes %d a second; %v by %v with %+v", r.Route, n, watched, perSecond, r.State, r.Cause, r.Window)
			}
		}
		b.Abandon()
		<-done
	})
}

// TestBudgetIsNotNeeded: where there is memory for all windows, each has what the configuration says.
func TestBudgetIsNotNeeded(t *testing.T) {
	rc := between(filled("in", 1, 1), connectortest.NewTopic("out", 0))
	for _, limit := range []int64{0, 1 << 30} {
		b, err := New(Config{Routes: []RouteConfig{rc}, Memory: limit}, zerolog.Nop(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if need, line := b.Memory(); b.routes[0].budget != nil || line != "at most 41.5 MiB = 1.5 x 1 MiB windows + 0 MiB held by the ends of 1 route(s) + 40 MiB process" {
			t.Errorf("%d: %s", need, line)
		}
	}
}
