package telemetry

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-bridge/sluice/flowcontrol"
)

// named returns the spans called name.
func named(spans []sdktrace.ReadOnlySpan, name string) (list []sdktrace.ReadOnlySpan) {
	for _, s := range spans {
		if s.Name() == name {
			list = append(list, s)
		}
	}
	return list
}

func lasted(s sdktrace.ReadOnlySpan) time.Duration { return s.EndTime().Sub(s.StartTime()) }

func TestStallIsOneSpanOfTrueLength(t *testing.T) {
	for _, length := range []time.Duration{100 * time.Millisecond, 370 * time.Millisecond, 3 * time.Second, 3*time.Minute + 7*time.Millisecond} {
		var began time.Time
		_, spans := play(t, func(c *script) {
			c.connect()
			c.sleep(1234 * time.Millisecond)
			began = time.Now()
			c.full(flowcontrol.BlockerAck)
			c.sleep(length)
			c.room()
			c.sleep(5 * time.Second)
		})
		roots := named(spans, SpanStall)
		if len(roots) != 1 {
			t.Fatalf("%v: %d root spans", length, len(roots))
		}
		root := roots[0]
		if lasted(root) != length || !root.StartTime().Equal(began) {
			t.Errorf("%v: the root lasts %v from %v, began %v", length, lasted(root), root.StartTime(), began)
		}
		if root.Parent().IsValid() || !root.SpanContext().IsSampled() {
			t.Errorf("%v: not a sampled root", length)
		}
		got := []string{attr(root, AttrRoute), attr(root, AttrSource), attr(root, AttrSink), attr(root, AttrCause),
			attr(root, AttrOutcome), attr(root, AttrWaits), attr(root, AttrWaited), attr(root, AttrLongest)}
		d := fmt.Sprint(length.Seconds())
		if diff := cmp.Diff([]string{"orders", "kafka", "jetstream", "window.messages", OutcomeResumed, "1", d, d}, got); diff != "" {
			t.Errorf("%v: attributes (-want +got):\n%s", length, diff)
		}
	}
}

func TestShortWaitsMakeNoSpan(t *testing.T) {
	_, spans := play(t, func(c *script) {
		c.connect()
		for range 5 {
			c.full(flowcontrol.BlockerAck)
			c.sleep(99 * time.Millisecond)
			c.room()
			c.sleep(2 * time.Second)
		}
	})
	if len(spans) != 0 {
		t.Errorf("%d spans", len(spans))
	}
}

// Waits with less than a second between them are one episode, and what it waited is their sum.
func TestEpisodeOfManyWaits(t *testing.T) {
	_, spans := play(t, func(c *script) {
		c.connect()
		for range 20 {
			c.full(flowcontrol.BlockerAck)
			c.sleep(100 * time.Millisecond)
			c.room()
			c.sleep(400 * time.Millisecond)
		}
		c.sleep(3 * time.Second)
	})
	roots := named(spans, SpanStall)
	if len(roots) != 1 {
		t.Fatalf("%d roots", len(roots))
	}
	if got, want := lasted(roots[0]), 19*500*time.Millisecond+100*time.Millisecond; got != want {
		t.Errorf("lasts %v, want %v", got, want)
	}
	if got := attr(roots[0], AttrWaited) + " " + attr(roots[0], AttrWaits) + " " + attr(roots[0], AttrLongest); got != "2 20 0.1" {
		t.Errorf("waited, waits, longest = %s", got)
	}
}

func TestSegmentsArriveWhileTheStallLasts(t *testing.T) {
	_, spans := play(t, func(c *script) {
		c.connect()
		c.full(flowcontrol.BlockerAck)
		for _, look := range []struct {
			sleep time.Duration
			want  int
		}{{4 * time.Second, 0}, {3 * time.Second, 1}, {5 * time.Second, 2}, {10 * time.Second, 3}, {20 * time.Second, 4}, {time.Minute, 5}, {time.Minute, 6}} {
			c.sleep(look.sleep)
			got := c.spans.GetSpans().Snapshots()
			if len(named(got, SpanProgress)) != look.want || len(named(got, SpanStall)) != 0 {
				t.Errorf("after %v: %d segments, want %d, and %d roots", time.Since(c.begin), len(named(got, SpanProgress)), look.want, len(named(got, SpanStall)))
			}
		}
		c.set(func(s *RouteStatus) {
			s.Blocker, s.InFlight[0].Blocker = flowcontrol.BlockerDisconnected, flowcontrol.BlockerDisconnected
			s.Evidence = "ORDERS has no leader"
		})
		c.sleep(time.Minute)
		c.room()
		c.sleep(4 * time.Second)
	})
	root := named(spans, SpanStall)[0]
	last := named(spans, SpanProgress)[len(named(spans, SpanProgress))-1]
	if attr(root, AttrEvidence) != "ORDERS has no leader" || attr(last, AttrEvidence) != "ORDERS has no leader" {
		t.Error("what was found out while the stall lasted is not in its spans")
	}
	var sum time.Duration
	var lengths, blockers []string
	at := root.StartTime()
	for _, s := range named(spans, SpanProgress) {
		if s.Parent().SpanID() != root.SpanContext().SpanID() || s.SpanContext().TraceID() != root.SpanContext().TraceID() {
			t.Error("a segment is not a child of the root")
		}
		if !s.StartTime().Equal(at) {
			t.Errorf("a segment starts at %v, want %v", s.StartTime(), at)
		}
		at = s.EndTime()
		sum += lasted(s)
		lengths = append(lengths, lasted(s).String())
		blockers = append(blockers, attr(s, AttrBlocker))
	}
	if sum != lasted(root) || lasted(root) != 222*time.Second {
		t.Errorf("the segments sum to %v, the root lasts %v", sum, lasted(root))
	}
	if got := strings.Join(lengths, " "); got != "5s 5s 10s 20s 1m0s 1m0s 1m0s 2s" {
		t.Errorf("segments: %s", got)
	}
	if got := strings.Join(blockers, " "); got != "sink.ack sink.ack sink.ack sink.ack sink.ack sink.ack sink.disconnected sink.disconnected" {
		t.Errorf("blockers: %s", got)
	}
	if attr(root, AttrBlocker) != "sink.ack" {
		t.Errorf("the root's blocker is %s, not the longest", attr(root, AttrBlocker))
	}
	if got := attr(named(spans, SpanProgress)[0], AttrOldestPartition) + "@" + attr(named(spans, SpanProgress)[0], AttrOldestOffset); got != "orders/3@42" {
		t.Errorf("oldest in flight: %s", got)
	}
}

// What comes after a long wait within the same half second is not blamed for it.
func TestWaitIsPutDownToWhoHeldTheRoom(t *testing.T) {
	_, spans := play(t, func(c *script) {
		c.connect()
		c.sleep(100 * time.Millisecond)
		c.full(flowcontrol.BlockerAck)
		c.sleep(800 * time.Millisecond) // polls after 400 ms of it
		c.room()
		c.full(flowcontrol.BlockerCommit)
		c.clock.Wait(flowcontrol.CauseUncommitted, time.Now())
		c.sleep(50 * time.Millisecond)
		c.room()
		c.set(func(s *RouteStatus) { s.Blocker = flowcontrol.BlockerCommit })
		c.sleep(3 * time.Second)
	})
	root := named(spans, SpanStall)[0]
	if got := attr(root, AttrCause) + " " + attr(root, AttrBlocker); got != "window.messages sink.ack" {
		t.Errorf("cause, blocker = %s", got)
	}
}

func TestStopEndsTheSpan(t *testing.T) {
	_, spans := play(t, func(c *script) {
		c.connect()
		c.full(flowcontrol.BlockerAck)
		c.sleep(7 * time.Second)
		c.route.Stop("revoked")
		c.route.Stop("again")
	})
	root := named(spans, SpanStall)[0]
	if attr(root, AttrOutcome) != "revoked" || lasted(root) != 7*time.Second {
		t.Errorf("outcome %s, lasts %v", attr(root, AttrOutcome), lasted(root))
	}
}

func TestLinksToTheOldestInFlight(t *testing.T) {
	sc := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled, Remote: true})
	for _, sampled := range []bool{true, false} {
		_, spans := play(t, func(c *script) {
			c.connect()
			c.full(flowcontrol.BlockerAck)
			c.set(func(s *RouteStatus) {
				s.InFlight[0].OldestTrace = sc.WithTraceFlags(sc.TraceFlags().WithSampled(sampled))
			})
			c.sleep(time.Second)
			c.room()
			c.sleep(3 * time.Second)
		})
		links := named(spans, SpanStall)[0].Links()
		if (len(links) == 1) != sampled || sampled && links[0].SpanContext.TraceID() != sc.TraceID() {
			t.Errorf("sampled %v: links %v", sampled, links)
		}
	}
}

func TestStallIsKnownWhileItLasts(t *testing.T) {
	_, spans := play(t, func(c *script) {
		c.connect()
		begin := time.Now()
		old := begin.Add(-time.Hour)
		if sc, d := c.route.DelayedBy(old, begin); sc.IsValid() || d != 0 {
			t.Error("a stall before the first")
		}
		c.full(flowcontrol.BlockerAck)
		c.sleep(3 * time.Second)
		sc, d := c.route.DelayedBy(old, time.Now())
		if !sc.IsValid() || d != 3*time.Second {
			t.Errorf("during: %v, %v", sc.IsValid(), d)
		}
		c.room()
		end := time.Now()
		c.sleep(time.Hour)
		if again, d := c.route.DelayedBy(old, time.Now()); !again.Equal(sc) || d != 3*time.Second {
			t.Errorf("after: %v, %v", again.Equal(sc), d)
		}
		if _, wait := c.route.DelayedBy(end.Add(-time.Second), time.Now()); wait != time.Second {
			t.Errorf("a message of the stall's last second was delayed by %v", wait)
		}
		if link, wait := c.route.DelayedBy(end.Add(time.Second), time.Now()); link.IsValid() || wait != 0 {
			t.Errorf("a message from after the stall was delayed by %v", wait)
		}
	})
	if len(named(spans, SpanStall)) != 1 {
		t.Error("no root")
	}
}

// A process that was suspended misses polls. What happened meanwhile still becomes a span each, or at
// least none of them twice.
func TestMissedPolls(t *testing.T) {
	var roots int
	r := newTracker(sdktrace.NewTracerProvider().Tracer(""), "orders", func(*mark) { roots++ }, func(context.Context, string, holdup, time.Duration) {})
	begin := time.Unix(1000, 0)
	episode := func(seq uint64, ended bool) flowcontrol.Episode {
		e := flowcontrol.Episode{Seq: seq, Begin: begin.Add(time.Duration(seq) * time.Hour), Waited: time.Minute, Waits: 1}
		if ended {
			e.End = e.Begin.Add(time.Minute)
		}
		return e
	}
	look := func(current, last flowcontrol.Episode) {
		s := RouteStatus{Clock: flowcontrol.Reading{Current: current, Last: last}}
		r.observe(begin.Add(100*time.Hour), &s)
	}
	look(episode(1, false), flowcontrol.Episode{})
	look(episode(4, false), episode(3, true)) // 1 is over, 2 was never seen
	look(flowcontrol.Episode{}, episode(4, true))
	look(flowcontrol.Episode{}, episode(4, true))
	if r.stalls != 3 || roots != 6 { // each is marked at its begin and its end
		t.Errorf("%d spans, %d marks", r.stalls, roots)
	}
}

// The latest stalls are listed with who held them, the one that goes on included, and no more than a bound.
func TestStallsAreListed(t *testing.T) {
	play(t, func(c *script) {
		c.connect()
		for range keptStalls + 2 {
			c.full(flowcontrol.BlockerRetry)
			c.sleep(200 * time.Millisecond)
			c.room()
			c.sleep(2 * time.Second)
		}
		c.full(flowcontrol.BlockerAck)
		began := time.Now()
		c.sleep(3 * time.Second)
		all := c.tel.Stalls("orders")
		if len(all) != keptStalls+1 {
			t.Fatalf("%d stalls", len(all))
		}
		want := []StallStatus{
			{Begin: began.Add(-2200 * time.Millisecond), End: began.Add(-2 * time.Second), Cause: flowcontrol.CauseMessages, Blocker: flowcontrol.BlockerRetry, Waited: 0.2, Longest: 0.2},
			{Begin: began, Cause: flowcontrol.CauseMessages, Blocker: flowcontrol.BlockerAck, Waited: 3, Longest: 3, Stalled: 2},
		}
		got := all[keptStalls-1:]
		for i := range got {
			if len(got[i].TraceID) != 32 {
				t.Errorf("trace id %q", got[i].TraceID)
			}
			got[i].TraceID = ""
		}
		within := cmp.Comparer(func(a, b float64) bool { return a-b < 0.6 && b-a < 0.6 }) // as of the last poll
		if diff := cmp.Diff(want, got, within); diff != "" {
			t.Errorf("stalls (-want +got):\n%s", diff)
		}
		if none := c.tel.Stalls("other"); none != nil {
			t.Errorf("stalls of no route: %v", none)
		}
	})
}

// TestStallOfARouteThatBeginsAnew: what was told before is not told again, and what was counted stays so.
func TestStallOfARouteThatBeginsAnew(t *testing.T) {
	waited := `flowcontrol_wait_time_seconds_total{flowcontrol_blocker="sink.ack",flowcontrol_cause="window.messages",sluice_route="orders"}`
	log, spans := play(t, func(c *script) {
		c.connect()
		for i, quiet := range []time.Duration{time.Minute, 0} {
			c.full(flowcontrol.BlockerAck)
			c.sleep(3 * time.Second)
			c.room()
			c.sleep(quiet)
			c.route.Stop(OutcomeReloaded)
			c.clock.EndEpisode(time.Now())
			c.route = c.tel.Watch("orders", zerolog.New(&c.out), c.read)
			c.sleep(3 * time.Second)
			v, _ := scrape(t, c.tel)
			if want := float64(3 * (i + 1)); v[waited] != want || v[`flowcontrol_stalls_total{sluice_route="orders"}`] != float64(i+1) {
				t.Errorf("waited %v, want %v; %v stalls", v[waited], want, v[`flowcontrol_stalls_total{sluice_route="orders"}`])
			}
			if n := len(c.tel.Stalls("orders")); n != i+1 {
				t.Errorf("%d stalls are shown, want %d", n, i+1)
			}
		}
	})
	if roots := named(spans, SpanStall); len(roots) != 2 {
		t.Errorf("%d root spans", len(roots))
	}
	if n := strings.Count(log, "window was filled"); n != 2 {
		t.Errorf("%d lines of two fillings:\n%s", n, log)
	}
}
