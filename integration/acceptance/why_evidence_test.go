//go:build integration

package acceptance

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/sluice-bridge/sluice/integration/brokers"
	"github.com/sluice-bridge/sluice/integration/daemon"
)

// A stream that has lost its leader and two of three servers: what stalls the route is said with names.
func TestWhyEvidence(t *testing.T) {
	s := newScene(t, 3*time.Minute)
	servers, err := brokers.StartNATSCluster(s.ctx, t.TempDir(), 3)
	s.must(err)
	for _, server := range servers {
		t.Cleanup(func() { _ = server.Process.Kill() })
	}
	s.stream.URL = servers[0].URL
	s.create(func(c *jetstream.StreamConfig) { c.Replicas = 3 })
	s.load.Size = 400
	s.must(s.topic.Write(s.ctx, s.load, 0, 500, 0))
	d := s.start(s.toStream("    window: {max_messages: 400, size: static}\n"))
	s.inStream(500, time.Minute)
	s.must(servers[1].Process.Kill())
	s.must(servers[2].Process.Kill())
	s.must(s.topic.Write(s.ctx, s.load, 500, 2500, 0))
	stalled := d.Until(s.ctx, t, "stalled", func(r *daemon.Route) bool { return r.State == "stalled" })
	told := d.Until(s.ctx, t, "giving evidence", func(r *daemon.Route) bool { return r.Evidence != "" })
	took := time.Since(stalled.Since)
	if took > late()+100*time.Millisecond { // the look itself
		t.Errorf("the first evidence came %v after the stall", took)
	}
	names := d.Until(s.ctx, t, "naming what is missing", func(r *daemon.Route) bool {
		return strings.Contains(r.Evidence, "has no leader") || strings.Contains(r.Evidence, servers[1].Name) || strings.Contains(r.Evidence, "not answer")
	})
	row("why: two of three servers killed: after %v %q, later %q", took.Round(10*time.Millisecond), told.Evidence, names.Evidence)
}
