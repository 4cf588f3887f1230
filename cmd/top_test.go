package cmd

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"
)

// two are two answers of /status a second apart: one route moves 1000 a second, one is stalled, one hostile.
func two() (first, second *topAnswer) {
	begin := time.Date(2026, 11, 29, 10, 0, 0, 0, time.UTC)
	at := func(second int) *topAnswer {
		text := fmt.Sprintf(`{"version": "1", "instance": "box-1", "time": %q, "routes": [
			{"route": "orders", "state": "flowing", "since": %[2]q, "lag": 12, "lag_known": true, "window": {"messages": 10, "messages_limit": 100},
			 "counts": {"fetched_messages": %[3]d, "fetched_bytes": %[3]d, "acknowledged_messages": %[3]d}},
			{"route": "payments", "unread": {"age_seconds": 5, "loss_seconds": 600, "limit": "max_age of the stream"}, "state": "stalled", "since": %[2]q, "cause": "window.messages", "blocker": "sink.ack", "window": {"messages": 94, "messages_limit": 100},
			 "in_flight": [{"partition": "payments/3", "messages": 94, "offset": 41, "oldest": %[2]q, "error": "slow"}],
			 "stalls": [{"begin": %[2]q, "cause": "window.messages", "blocker": "sink.ack", "stalled": 2.5, "trace_id": "abc"}]},
			{"route": "z\u001b[31m", "state": "halted", "since": %[2]q, "halted": {"reason": "message_refused", "way": "sluice resume z"}}]}`,
			begin.Add(time.Duration(second)*time.Second).Format(time.RFC3339Nano), begin.Add(-4*time.Second).Format(time.RFC3339Nano), 1000*second)
		a := &topAnswer{}
		if err := json.Unmarshal([]byte(text), a); err != nil {
			panic(err)
		}
		return a
	}
	return at(1), at(2)
}

func newBoard() *board {
	b := &board{pattern: "*", sort: sortTrouble}
	first, second := two()
	b.take(first)
	b.take(second)
	return b
}

// The table has trouble first, rates over the time between two looks, and nothing that speaks to a terminal.
func TestTopTable(t *testing.T) {
	b := newBoard()
	got := strings.Join(b.table(200, 10), "\n")
	for _, part := range []string{"! halted", "■ stalled", "▶ flowing", "1,000", "sink.ack · window.messages", "message_refused", "now"} {
		if !strings.Contains(got, part) {
			t.Errorf("no %q in\n%s", part, got)
		}
	}
	if strings.Contains(got, "\x1b") || strings.Index(got, "halted") > strings.Index(got, "stalled") || strings.Index(got, "stalled") > strings.Index(got, "flowing") {
		t.Errorf("not in order, or not plain:\n%q", got)
	}
	for width := 1; width < 130; width++ {
		for height := 2; height < 30; height += 9 {
			for _, open := range []bool{false, true} {
				b.open, b.away = open, fmt.Errorf("no daemon answers")
				lines := b.picture(width, height)
				if len(lines) > height {
					t.Fatalf("%d lines on a terminal of %d", len(lines), height)
				}
				for _, line := range lines {
					if n := utf8.RuneCountInString(line); n > width {
						t.Fatalf("%d runes on a terminal of %d: %q", n, width, line)
					}
				}
			}
		}
	}
}

func TestTopKeys(t *testing.T) {
	b := newBoard()
	b.press("j")
	b.press("\x1b[B")
	b.press("\r")
	text := strings.Join(b.picture(150, 30), "\n")
	for _, want := range []string{"payments: stalled for 6.0s", "payments/3 at 41: 94 messages, oldest 6.0s  slow", "stalled now for 6.0s by sink.ack, window.messages was full  trace abc"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	b.press("s")
	if b.lines()[0].Route != "orders" || b.sort != sortName {
		t.Errorf("by name the first is %s", b.lines()[0].Route)
	}
	b.press("p")
	if !b.held || b.press("x") || !b.press("q") || !b.press("\x03") {
		t.Error("keys do something else")
	}
	b.pattern = "pay*"
	if all := b.lines(); len(all) != 1 || all[0].Route != "payments" {
		t.Errorf("pay* shows %d routes", len(all))
	}
	restarted, _ := two()
	restarted.Instance = "box-2"
	b.pattern = "*"
	b.take(restarted)
	if l := b.lines()[2]; l.Out != 0 {
		t.Errorf("rates over a restart: %+v", l)
	}
}

// Where the output is no terminal top prints one table; --json prints lines for programs.
func TestTopPiped(t *testing.T) {
	first, second := two()
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answer := first
		if asked.Add(1)%2 == 0 {
			answer = second
		}
		writeJSON(w, http.StatusOK, answer)
	}))
	defer server.Close()
	r := newRig(t)
	if c := r.main(soon(t), []string{"top", "--interval", "100ms", "--url", server.URL}); c != 0 || strings.Count(r.stdout.String(), "\n") != 4 {
		t.Errorf("exit code %d:\n%s%s", c, r.stdout, r.stderr)
	}
	r = newRig(t)
	if c := r.main(soon(t), []string{"top", "--once", "--json", "--interval", "100ms", "--routes", "orders", "--url", server.URL}); c != 0 {
		t.Errorf("exit code %d:\n%s%s", c, r.stdout, r.stderr)
	}
	var lines []topLine
	if err := json.Unmarshal([]byte(r.stdout.String()), &lines); err != nil || len(lines) != 1 || lines[0].Out != 1000 || *lines[0].Lag != 12 {
		t.Errorf("%v: %s", err, r.stdout)
	}
	for _, args := range [][]string{{"--interval", "1ms"}, {"--sort", "x"}, {"--routes", "["}} {
		r = newRig(t)
		if c := r.main(soon(t), append([]string{"top"}, args...)); c != exitConfig {
			t.Errorf("%v: exit code %d", args, c)
		}
	}
	r = newRig(t)
	if c := r.main(soon(t), []string{"top", "--url", "127.0.0.1:1"}); c != exitEnvironment {
		t.Errorf("no daemon: exit code %d", c)
	}
}

// status --wait ready waits for a daemon that starts, and says why one is not ready.
func TestStatusWaits(t *testing.T) {
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/status":
			writeText(w, http.StatusOK, `{"routes": []}`)
		case asked.Add(1) < 3:
			writeText(w, http.StatusServiceUnavailable, `{"ready":false,"routes":[{"route":"a","blocker":"sink.disconnected"}]}`)
		}
	}))
	defer server.Close()
	r := newRig(t)
	if c := r.main(soon(t), []string{"status", "--wait", "ready", "--url", server.URL}); c != 0 || asked.Load() != 3 {
		t.Errorf("exit code %d after %d questions: %s", c, asked.Load(), r.stderr)
	}
	asked.Store(-1000)
	r = newRig(t)
	if c := r.main(soon(t), []string{"status", "--wait", "ready", "--timeout", "300ms", "--url", server.URL}); c != exitFailed || !strings.Contains(r.stderr.String(), "sink.disconnected") {
		t.Errorf("not in time: exit code %d: %s", c, r.stderr)
	}
	r = newRig(t)
	if c := r.main(soon(t), []string{"status", "--wait", "ready", "--timeout", "300ms", "--url", "127.0.0.1:1"}); c != exitEnvironment || !strings.Contains(r.stderr.String(), "no daemon answers") {
		t.Errorf("no daemon: exit code %d: %s", c, r.stderr)
	}
	r = newRig(t)
	if c := r.main(soon(t), []string{"status", "--wait", "steady"}); c != exitConfig {
		t.Errorf("a wrong word: exit code %d", c)
	}
}
