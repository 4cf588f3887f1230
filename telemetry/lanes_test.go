package telemetry

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-bridge/sluice/flowcontrol"
)

// A partition that is paused beside others that flow is an episode of its own: in the spans, and in what a
// status lists, but not in the time that the source waited.
func TestPausedLaneIsAnEpisode(t *testing.T) {
	var going, ended []StallStatus
	var begin time.Time
	_, spans := play(t, func(c *script) {
		c.connect()
		c.sleep(time.Second)
		begin = time.Now()
		c.set(func(s *RouteStatus) {
			s.InFlight = []LaneStatus{
				{Partition: "orders/3", Messages: 100, Oldest: begin.Add(-time.Second), Blocker: flowcontrol.BlockerRetry, Paused: true, PausedSince: begin},
				{Partition: "orders/1", Messages: 9, Oldest: begin, Blocker: flowcontrol.BlockerAck},
			}
		})
		c.sleep(7 * time.Second)
		going = c.route.stalls()
		c.set(func(s *RouteStatus) { s.InFlight = s.InFlight[1:] })
		c.sleep(3 * time.Second)
		ended = c.route.stalls()
		_, waited, stalls, _ := c.route.status()
		if len(waited) != 0 || stalls != 1 {
			t.Errorf("the route waited %v in %d spans", waited, stalls)
		}
	})
	want := StallStatus{Begin: begin, Cause: flowcontrol.CauseLane, Blocker: flowcontrol.BlockerRetry, Partition: "orders/3"}
	if len(going) != 1 || !going[0].End.IsZero() || going[0].Stalled < 6 {
		t.Fatalf("while it lasts: %+v", going)
	}
	got := ended[0]
	if took := got.End.Sub(got.Begin); took < 7*time.Second || took > 8*time.Second || got.TraceID == "" {
		t.Errorf("lasted %v: %+v", took, got)
	}
	got.End, got.Waited, got.Longest, got.Stalled, got.TraceID = time.Time{}, 0, 0, 0, ""
	if diff := cmp.Diff([]StallStatus{want}, append([]StallStatus{got}, ended[1:]...)); diff != "" {
		t.Error(diff)
	}
	roots, segments := named(spans, SpanStall), named(spans, SpanProgress)
	if len(roots) != 1 || len(segments) != 2 { // of which the second ends with the root
		t.Fatalf("%d roots, %d segments", len(roots), len(segments))
	}
	for _, span := range append(roots, segments...) {
		if attr(span, AttrCause) != "lane" || attr(span, AttrBlocker) != "sink.retry" || attr(span, AttrOldestPartition) != "orders/3" {
			t.Errorf("%s: %v", span.Name(), span.Attributes())
		}
	}
}
