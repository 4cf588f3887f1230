//go:build integration

package page

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/performance"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/sluice-bridge/sluice/flowcontrol"
	"github.com/sluice-bridge/sluice/telemetry"
	"github.com/sluice-bridge/sluice/telemetry/web"
)

// crowd is a process of so many routes, of which each does something else.
func crowd(t *testing.T, routes int) string {
	t.Helper()
	began := time.Now()
	var looks atomic.Int64
	feed := web.NewFeed(func() telemetry.ProcessStatus {
		now, n := time.Now(), looks.Add(1)
		s := telemetry.ProcessStatus{Version: "test", Instance: "crowd-1", Started: began, Time: now}
		for i := range routes {
			s.Routes = append(s.Routes, oneOf(i, n, began, now))
		}
		return s
	})
	mux := http.NewServeMux()
	mux.Handle("GET /status/stream", feed)
	mux.Handle("GET /", web.Page())
	server := httptest.NewServer(mux)
	t.Cleanup(func() { feed.Close(); server.Close() })
	return server.URL
}

func oneOf(i int, look int64, began, now time.Time) telemetry.RouteStatus {
	states := []flowcontrol.State{flowcontrol.Flowing, flowcontrol.Idle, flowcontrol.Limited, flowcontrol.Flowing, flowcontrol.Starved}
	s := telemetry.RouteStatus{
		Route: fmt.Sprintf("route-%03d", i), Source: "kafka", Sink: "jetstream", State: states[i%len(states)], Since: began,
		SourceConnected: true, SinkConnected: true, EverConnected: true, Lag: look * int64(i), LagKnown: i%7 > 0,
		Window: telemetry.WindowStatus{Messages: (look * 37 * int64(i)) % 8192, MessagesLimit: 8192, Bytes: 1 << 20, BytesLimit: 64 << 20},
		Counts: telemetry.Counts{FetchedMessages: uint64(look * int64(1000+i)), AcknowledgedMessages: uint64(look * int64(999+i))},
	}
	switch {
	case i == 42:
		s.State, s.Cause, s.Blocker = flowcontrol.Stalled, flowcontrol.CauseMessages, flowcontrol.BlockerRetry
		s.InFlight = []telemetry.LaneStatus{{Partition: "t/1", Messages: 8192, Oldest: began, Offset: 7, Blocker: s.Blocker, Attempts: 12, Error: "maximum bytes exceeded"}}
	case i == 43:
		s.State, s.Detail, s.SinkConnected, s.Down = flowcontrol.Disconnected, "connection refused", false, began
	case i == 44:
		s.State = flowcontrol.Halted
		s.Halted = &telemetry.HaltStatus{Reason: "message_refused", Detail: "the stream refuses it", Way: "sluice resume route-044 --skip", Since: now}
	}
	return s
}

// Two hundred routes: trouble first, a frame well under 100 ms, and a keyboard is enough.
func TestTwoHundredRoutes(t *testing.T) {
	b := open(t, crowd(t, 200), 1440, 900)
	b.until("200 rows", `document.querySelectorAll("#routes tbody tr").length === 200`)
	first := eval[[]string](b, `[...document.querySelectorAll("#routes tbody tr")].slice(0, 3).map((r) => r.dataset.state + " " + r.dataset.route)`)
	if want := []string{"halted route-044", "stalled route-042", "disconnected route-043"}; fmt.Sprint(first) != fmt.Sprint(want) {
		t.Errorf("the table begins with %v, want %v", first, want)
	}
	domain := performance.EnableTimeDomainThreadTicks // CPU time: what else this machine does is not the page's
	b.do(chromedp.Func(func(ctx context.Context, s *chromedp.Target) error {
		_, err := cdp.Call(ctx, s, performance.Enable, performance.EnableParams{TimeDomain: domain})
		return err
	}))
	points := `document.querySelector("#process").textContent`
	begun, before := busy(b), eval[string](b, points)
	const updates = 8
	for i := range updates {
		now := before
		b.until(fmt.Sprintf("update %d", i), points+fmt.Sprintf(` !== %q`, now))
		before = eval[string](b, points)
	}
	if each := (busy(b) - begun) / updates; each > 0.1 {
		t.Errorf("an update takes the page %.0f ms, want less than 100 ms", 1000*each)
	} else {
		t.Logf("an update takes the page %.1f ms", 1000*each)
	}
	b.accessible("200 routes")
	b.picture("many-1440")

	b.do(chromedp.KeyEvent("/"), chromedp.KeyEvent("042"))
	b.until("one row", `document.querySelectorAll("#routes tbody tr:not([hidden])").length === 1`)
	b.do(chromedp.KeyEvent(kb.ArrowDown), chromedp.KeyEvent(kb.Enter))
	b.until("details", `document.querySelector("#detail-title").textContent === "route-042"`)
	if got := b.text("#errors"); got == "None." {
		t.Error("no error is told of a route that is refused")
	}
	b.do(chromedp.KeyEvent("/"), chromedp.KeyEvent(kb.Escape))
	b.until("all rows", `document.querySelectorAll("#routes tbody tr:not([hidden])").length === 200`)
	b.do(chromedp.KeyEvent(kb.ArrowDown), chromedp.KeyEvent(kb.ArrowDown), chromedp.KeyEvent(kb.ArrowDown), chromedp.KeyEvent(kb.ArrowUp), chromedp.KeyEvent(kb.Enter))
	b.until("the second row", `document.querySelector("#detail-title").textContent === "route-042"`)
	b.size(320, 700)
	b.accessible("200 routes, 320 px")
	b.picture("many-320")
}

// busy is how many seconds of CPU the page has had.
func busy(b *tab) float64 {
	b.t.Helper()
	var sum float64
	b.do(chromedp.Func(func(ctx context.Context, s *chromedp.Target) error {
		all, err := cdp.Call(ctx, s, performance.GetMetrics, cdp.Empty{})
		if err != nil {
			return err
		}
		for _, m := range all.Metrics {
			if m.Name == "ScriptDuration" || m.Name == "LayoutDuration" || m.Name == "RecalcStyleDuration" {
				sum += m.Value
			}
		}
		return nil
	}))
	return sum
}
