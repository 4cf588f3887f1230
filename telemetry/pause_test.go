package telemetry

import (
	"strings"
	"testing"
	"time"

	"github.com/sluice-bridge/sluice/flowcontrol"
)

func (c *script) pause(why string) {
	c.set(func(s *RouteStatus) {
		s.Paused, s.Blocker = &PauseStatus{Since: time.Now(), Who: "ann@desk (127.0.0.1)", Why: why}, flowcontrol.BlockerOperator
	})
	c.clock.Enter(flowcontrol.Paused, time.Now())
}

// A pause is a span with who and why, seen while it lasts, and no stall; the stall that it ended says so.
func TestPauseIsASpan(t *testing.T) {
	log, spans := play(t, func(c *script) {
		c.connect()
		c.full(flowcontrol.BlockerAck)
		c.sleep(3 * time.Second)
		c.pause("the stream moves")
		c.room()
		c.sleep(6 * time.Second)
		if n := len(named(c.spans.GetSpans().Snapshots(), SpanPauseProgress)); n != 1 {
			t.Errorf("%d segments after 6 s", n)
		}
		c.sleep(time.Minute)
		c.set(func(s *RouteStatus) { s.Paused, s.Blocker = nil, flowcontrol.BlockerNone })
		c.clock.Enter(flowcontrol.Flowing, time.Now())
		c.sleep(time.Second)
		c.pause("again")
		c.sleep(time.Second)
	})
	roots := named(spans, SpanPause)
	if len(roots) != 2 || len(named(spans, SpanPauseProgress)) != 4 {
		t.Fatalf("%d pauses, %d segments", len(roots), len(named(spans, SpanPauseProgress)))
	}
	if d := lasted(roots[0]); d < 66*time.Second || d > 67*time.Second {
		t.Errorf("lasts %v", d)
	}
	for i, want := range []string{"ann@desk (127.0.0.1) the stream moves resumed", "ann@desk (127.0.0.1) again shutdown"} {
		if got := attr(roots[i], AttrOperator) + " " + attr(roots[i], AttrReason) + " " + attr(roots[i], AttrOutcome); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	stalls := named(spans, SpanStall)
	if len(stalls) != 1 || attr(stalls[0], AttrOutcome) != OutcomePaused || lasted(stalls[0]) != 3*time.Second {
		t.Errorf("stalls %v", stalls)
	}
	for _, want := range []string{"info route paused by the operator who=ann@desk (127.0.0.1) why=the stream moves", "info route is no longer paused seconds=66"} {
		if !strings.Contains(log, want) {
			t.Errorf("no %s in %s", want, log)
		}
	}
}
