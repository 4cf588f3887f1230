//go:build integration

package acceptance

import (
	"context"
	"testing"
	"time"

	"github.com/sluice-bridge/sluice/integration/daemon"
)

// Under a load that the sink keeps up with, the root span of a freeze lasts as long as the source had to
// wait: from the full window until the sink answers again.
func TestRootSpanLastsAsLongAsTheStall(t *testing.T) {
	suite.pair.NeedControl(t)
	s := newScene(t, 10*time.Minute)
	const perSecond = 1000
	freeze := seconds(60, 20)
	n := int64(perSecond * (freeze.Seconds() + 6))
	s.create(nil)
	spans := daemon.NewCollector(t)
	// An adaptive window waits again and again while it grows to what has piled up: that is the same episode.
	d := s.start(s.toStream("    window: {size: static}\n"), spans.Environment()...)
	loaded := s.background(func(ctx context.Context) error { return s.topic.Write(ctx, s.load, 0, n, perSecond) })
	s.inStream(2*perSecond, time.Minute)
	s.must(suite.pair.NATS.Process.Freeze())
	frozen := time.Now()
	full := d.Until(s.ctx, t, "stalled", func(r *daemon.Route) bool { return r.State == "stalled" })
	s.sleep(time.Until(frozen.Add(freeze)))
	s.must(suite.pair.NATS.Process.Thaw())
	thaw := time.Now()
	d.Until(s.ctx, t, "no longer stalled", func(r *daemon.Route) bool { return r.State != "stalled" })
	truly := stallTime{full.Since.Add(-time.Second), thaw, time.Now()} // a wait is called a stall after a second
	loaded()
	s.inStream(n, time.Minute)

	var root *daemon.Span
	for root == nil {
		for _, span := range spans.Spans("flowcontrol.stall") {
			if span.End.Sub(span.Begin) > truly.least()/2 {
				root = &span
			}
		}
		s.sleep(100 * time.Millisecond) // fails when the test's time is up
	}
	took := root.End.Sub(root.Begin)
	if !truly.fits(took) {
		t.Errorf("the root span lasts %v, the stall lasted %v", took, truly)
	}
	s.end(d)
	r := s.compareToStream()
	s.clean(r)
	row("nats-server frozen %v under a load of %d/s: root span %.2f s, stall %v: %v",
		freeze, perSecond, took.Seconds(), truly, r)
}
