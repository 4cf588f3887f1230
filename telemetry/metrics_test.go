package telemetry

import (
	"bufio"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/sluice-bridge/sluice/flowcontrol"
)

// scrape returns what /metrics answers: values by series, and the TYPE lines.
func scrape(t *testing.T, tel *Telemetry) (values map[string]float64, types []string) {
	t.Helper()
	w := httptest.NewRecorder()
	tel.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	values = map[string]float64{}
	lines := bufio.NewScanner(w.Body)
	for lines.Scan() {
		line := lines.Text()
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			types = append(types, rest)
		}
		if i := strings.LastIndexByte(line, ' '); i > 0 && line[0] != '#' {
			v, err := strconv.ParseFloat(line[i+1:], 64)
			if err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			values[line[:i]] = v
		}
	}
	return values, types
}

func TestPrometheusNames(t *testing.T) {
	play(t, func(c *script) {
		c.connect()
		seconds := 90.0
		c.set(func(s *RouteStatus) {
			s.LagKnown, s.Unread = true, &UnreadStatus{Age: &seconds, CaughtUp: &seconds, Loss: &seconds}
		})
		c.route.Delivered(time.Second)
		c.full(flowcontrol.BlockerAck)
		c.sleep(time.Second)
		c.room()
		c.sleep(3 * time.Second)
		c.route.Wrote(time.Millisecond, 100)
		_, types := scrape(t, c.tel)
		types = slices.DeleteFunc(types, func(name string) bool { // of the system, and of the Go release
			return strings.HasPrefix(name, "process_") || strings.HasPrefix(name, "go_")
		})
		slices.Sort(types)
		golden(t, "prometheus", strings.Join(types, "\n")+"\n")
	})
}

func TestMetricsOfAStall(t *testing.T) {
	const route = `{sluice_route="orders"}`
	play(t, func(c *script) {
		c.connect()
		c.sleep(10 * time.Second)
		c.full(flowcontrol.BlockerAck)
		c.sleep(21 * time.Second)
		v, _ := scrape(t, c.tel)
		for series, want := range map[string]float64{
			`flowcontrol_source_time_seconds_total{flowcontrol_state="flowing",sluice_route="orders"}`: 10,
			`flowcontrol_source_time_seconds_total{flowcontrol_state="limited",sluice_route="orders"}`: 1,
			`flowcontrol_source_time_seconds_total{flowcontrol_state="stalled",sluice_route="orders"}`: 20,
			`flowcontrol_source_time_seconds_total{flowcontrol_state="halted",sluice_route="orders"}`:  0,

			`flowcontrol_stall_age_seconds{flowcontrol_blocker="sink.ack",flowcontrol_cause="window.messages",sluice_route="orders"}`: 20,

			`flowcontrol_stalls_total` + route:              1,
			`flowcontrol_window_message_usage` + route:      8000,
			`flowcontrol_window_message_limit` + route:      8192,
			`flowcontrol_window_crossings_total` + route:    1,
			`flowcontrol_message_age_seconds` + route:       21,
			`flowcontrol_window_memory_limit_bytes` + route: 64 << 20,

			`sluice_connected{sluice_end="sink",sluice_route="orders"}`: 1,
		} {
			if got, ok := v[series]; !ok || got != want {
				t.Errorf("%s = %v (%v), want %v", series, got, ok, want)
			}
		}
		var sum float64
		for series, value := range v {
			if strings.HasPrefix(series, "flowcontrol_source_time_seconds_total") {
				sum += value
			}
		}
		if sum != time.Since(c.begin).Seconds() {
			t.Errorf("the states sum to %v, wall time is %v", sum, time.Since(c.begin))
		}
		if got := v[`flowcontrol_wait_time_seconds_total{flowcontrol_blocker="sink.ack",flowcontrol_cause="window.messages",sluice_route="orders"}`]; got < 20.5 || got > 21 {
			t.Errorf("waited %v while it lasts, want 21 or half a second less", got)
		}
		c.room()
		c.sleep(4 * time.Second)
		v, _ = scrape(t, c.tel)
		if got := v[`flowcontrol_stall_age_seconds`+route]; got != 0 {
			t.Errorf("age %v after the stall", got)
		}
		if got := v[`flowcontrol_stall_duration_seconds_sum{flowcontrol_blocker="sink.ack",flowcontrol_cause="window.messages",sluice_route="orders"}`]; got != 21 {
			t.Errorf("duration %v, want 21", got)
		}
	})
}

// The counts of a route that has stopped stay, and what was going on does not.
func TestMetricsAfterStop(t *testing.T) {
	play(t, func(c *script) {
		c.connect()
		c.set(func(s *RouteStatus) { s.Counts.CommittedMessages = 77 })
		c.full(flowcontrol.BlockerAck)
		c.sleep(3 * time.Second)
		c.route.Stop(OutcomeShutdown)
		c.sleep(time.Minute)
		v, _ := scrape(t, c.tel)
		if got := v[`sluice_committed_messages_total{sluice_route="orders"}`]; got != 77 {
			t.Errorf("committed %v, want 77", got)
		}
		for series := range v {
			if strings.HasPrefix(series, "flowcontrol_stall_age") || strings.HasPrefix(series, "flowcontrol_window_message_usage") {
				t.Errorf("%s is still there", series)
			}
		}
		again := c.tel.Watch("orders", zerolog.Nop(), c.read)
		if n := len(c.tel.snapshot()); n != 1 {
			t.Errorf("%d routes after the second Watch", n)
		}
		again.Stop(OutcomeShutdown)
	})
}

func TestWroteAllocatesNothing(t *testing.T) {
	play(t, func(c *script) {
		if n := testing.AllocsPerRun(100, func() { c.route.Wrote(time.Millisecond, 64); c.route.Delivered(time.Second) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}
