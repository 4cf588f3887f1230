package bridge

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/rs/zerolog"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/connectortest"
)

// lend gives the test the host of every run.
func lend(spec *connectors.SourceSpec, hosts chan<- connectors.Host) *connectors.SourceSpec {
	wrapped := *spec
	wrapped.Open = func(ctx context.Context, env connectors.Env) (connectors.Source, error) {
		hosts <- env.Host
		return spec.Open(ctx, env)
	}
	return &wrapped
}

func TestGapsAreToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hosts := make(chan connectors.Host, 1)
		rc := between(filled("orders", 1, 10), connectortest.NewTopic("out", 0))
		rc.Source = lend(rc.Source, hosts)
		s, log := startLogged(t, zerolog.WarnLevel, rc)
		host := <-hosts
		for _, g := range [][2]int64{{10, 40}, {10, 40}, {10, 45}, {7, 7}} {
			if err := host.Gap("orders/0", g[0], g[1]); err != nil {
				t.Fatal(err)
			}
		}
		if err := host.Gap("orders/1", 10, 11); err != nil {
			t.Fatal(err)
		}
		status := s.Status()[0]
		if status.Counts.GapMessages != 36 || status.Counts.Gaps != 3 || len(status.Gaps) != 2 {
			t.Errorf("%+v, gaps %+v", status.Counts, status.Gaps)
		}
		if g := status.Gaps[0]; g.Partition != "orders/0" || g.From != 10 || g.To != 45 || g.Time.IsZero() {
			t.Errorf("%+v", g)
		}
		if lines := log.lines(t, "partition", "orders/0"); len(lines) != 2 {
			t.Errorf("%d lines, want one for the gap and one for what it grew by: %v", len(lines), lines)
		}
		for i := range int64(200) {
			_ = host.Gap("orders/2", 2*i, 2*i+1)
		}
		if status := s.Status()[0]; len(status.Gaps) != statusGaps || status.Counts.GapMessages != 236 || status.Gaps[statusGaps-1].From != 398 {
			t.Errorf("%d gaps in the status, %d messages", len(status.Gaps), status.Counts.GapMessages)
		}
		s.end()
	})
}

func TestGapHalts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hosts := make(chan connectors.Host, 1)
		rc := between(filled("orders", 1, 10), connectortest.NewTopic("out", 0))
		rc.Source, rc.HaltOnGap = lend(rc.Source, hosts), true
		s := start(t, rc)
		err := (<-hosts).Gap("orders/0", 10, 40)
		var named *connectors.HaltError
		if !errors.As(err, &named) || !connectors.IsPermanent(err) {
			t.Fatalf("Gap: %v", err)
		}
		s.until("halted", halted)
		if h := s.Status()[0].Halted; h.Reason != "gap" || h.Way != "sluice resume orders" ||
			h.Detail != "orders/0: [10, 40) vanished before it was read, at most 30 messages; resume goes on behind it" {
			t.Errorf("%+v", h)
		}
		if _, err := s.Resume("orders", Resume{}); err != nil {
			t.Fatal(err)
		}
		host := <-hosts
		if err := host.Gap("orders/0", 10, 42); err != nil {
			t.Errorf("the gap that was accepted, grown since: %v", err)
		}
		if n := s.Status()[0].Counts.GapMessages; n != 32 {
			t.Errorf("%d messages in gaps, want 32", n)
		}
		if err := host.Gap("orders/0", 50, 51); err == nil {
			t.Error("another gap does not halt")
		}
		s.until("halted", halted)
		s.end()
	})
}
