//go:build integration

package acceptance

import (
	"testing"
	"time"

	"github.com/sluice-bridge/sluice/integration/daemon"
)

// A pause that is longer than a session of the group keeps the members, or the owner of the durable; it finishes
// what was in flight and reads nothing, and after it nothing is lost, reordered or doubled.
func TestPauseKeepsThePlace(t *testing.T) {
	both(t, func(s *scene, way *direction) {
		n := messages(200_000, 40_000)
		s.must(way.fill(s, s.ctx, 0, n, 0))
		d := s.start(way.config(s))
		s.arrive("the sink", way.arrived(s), n/10, time.Minute)
		s.do(d, "pause", s.name, "--reason", "longer than a session")
		rested := d.Until(s.ctx, s.T, "at rest", func(r *daemon.Route) bool { return r.State == "paused" && r.Window.Uncommitted == 0 })
		before := s.place(way)
		s.sleep(12 * time.Second) // the session is 10 s
		r, err := d.Status(s.ctx)
		s.must(err)
		if r.State != "paused" || r.Counts.Fetched != rested.Counts.Fetched || r.Counts.Committed != r.Counts.Fetched || r.Counts.Fetched == n {
			s.Errorf("after 12 s: %+v", r)
		}
		if after := s.place(way); before == "" || after != before {
			s.Errorf("the place was %q and is %q", before, after)
		}
		if code, body, err := d.Get(s.ctx, "/readyz"); err != nil || code != 200 {
			s.Errorf("/readyz says %d %s %v", code, body, err)
		}
		s.do(d, "resume", s.name)
		s.arrive("the sink", way.arrived(s), n, time.Minute)
		s.passed(d)
		s.end(d)
		report := way.compare(s)
		s.clean(report)
		row("%s, paused for 12 s: %v; its place stayed %.80s", way.name, report, before)
	})
}

// A route that its configuration pauses connects, is ready, reads nothing, and goes on when it is told to.
func TestPausedFromTheStart(t *testing.T) {
	both(t, func(s *scene, way *direction) {
		const n = 5000
		s.must(way.fill(s, s.ctx, 0, n, 0))
		d := s.start(way.config(s) + "    paused: true\n")
		d.Until(s.ctx, s.T, "paused and aware of what there is", func(r *daemon.Route) bool {
			return r.State == "paused" && r.SourceConnected && r.SinkConnected && r.LagKnown && r.Lag == n && r.Counts.Fetched == 0
		})
		if code, body, err := d.Get(s.ctx, "/readyz"); err != nil || code != 200 {
			s.Errorf("/readyz says %d %s %v", code, body, err)
		}
		s.do(d, "resume", s.name)
		s.arrive("the sink", way.arrived(s), n, time.Minute)
		s.passed(d)
		s.end(d)
		s.clean(way.compare(s))
	})
}

// place is who the daemon is to the source's broker.
func (s *scene) place(way *direction) string {
	s.Helper()
	if way == &directions[0] {
		members, err := s.topic.Members(s.ctx, "sluice-"+s.name)
		s.must(err)
		return members
	}
	info, err := s.stream.Durable(s.ctx, "sluice-"+s.name)
	s.must(err)
	return info.Config.Metadata["sluice.owner"]
}
