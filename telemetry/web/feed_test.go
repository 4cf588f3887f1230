package web

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/sluice-bridge/sluice/flowcontrol"
	"github.com/sluice-bridge/sluice/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// source is a process whose looks are counted.
type source struct {
	looks  atomic.Int64
	routes []string
}

func (s *source) read() telemetry.ProcessStatus {
	n := s.looks.Add(1)
	p := telemetry.ProcessStatus{Instance: "box-1", Time: time.Now()}
	for _, name := range s.routes {
		p.Routes = append(p.Routes, telemetry.RouteStatus{
			Route: name, State: flowcontrol.Stalled, Lag: 5, LagKnown: true,
			Window:   telemetry.WindowStatus{Messages: n, Bytes: 10 * n},
			InFlight: []telemetry.LaneStatus{{Oldest: p.Time.Add(-1500 * time.Millisecond)}},
			Counts:   telemetry.Counts{FetchedMessages: uint64(20 * n), AcknowledgedMessages: uint64(19 * n)},
		})
	}
	return p
}

// next returns an event's name, id and data.
func next(t *testing.T, c *client) (name, id, data string) {
	t.Helper()
	text, ok := <-c.events
	if !ok {
		t.Fatal("the client was dropped")
	}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch key {
		case "event":
			name = value
		case "id":
			id = value
		case "data":
			data = value
		}
	}
	return name, id, data
}

// past is a history event.
type past struct {
	Reset  bool                 `json:"reset"`
	Times  []int64              `json:"times"`
	Routes map[string][][]int64 `json:"routes"`
}

func pastOf(t *testing.T, c *client) past {
	t.Helper()
	name, _, data := next(t, c)
	var p past
	if err := json.Unmarshal([]byte(data), &p); err != nil || name != "history" {
		t.Fatalf("%s event %s: %v", name, data, err)
	}
	return p
}

// The routes are looked at once for all who watch, only while somebody does, and a client that comes back
// gets what it missed.
func TestFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{routes: []string{"a", `b"`}}
		f := NewFeed(s.read)
		defer f.Close()
		time.Sleep(time.Hour)
		if n := s.looks.Load(); n != 0 {
			t.Fatalf("%d looks although nobody watches", n)
		}
		first, second := join(t, f, ""), join(t, f, "other-9/3")
		for _, c := range []*client{first, second} {
			if p := pastOf(t, c); !p.Reset || len(p.Times) != 1 {
				t.Errorf("the first history is %+v", p)
			}
		}
		var id string
		for range 3 {
			_, id, _ = next(t, first)
			next(t, second)
		}
		if n := s.looks.Load(); n != 3 || id != "box-1/3" {
			t.Errorf("%d looks for two clients in two seconds, the last event is %s", n, id)
		}
		f.leave(first)
		f.leave(second)
		time.Sleep(5500 * time.Millisecond)
		back := join(t, f, id)
		p := pastOf(t, back)
		want := [][]int64{
			{3, 3, 3, 3, 3}, {4, 5, 6, 7, 8}, {40, 50, 60, 70, 80}, {80, 100, 120, 140, 160}, {76, 95, 114, 133, 152},
			{5, 5, 5, 5, 5}, {1500, 1500, 1500, 1500, 1500},
		}
		if diff := cmp.Diff(want, p.Routes[`b"`]); diff != "" || p.Reset || len(p.Times) != 5 || len(want) != len(Columns()) {
			t.Errorf("after five seconds away (-want +got):\n%s%+v", diff, p)
		}
		f.leave(back)
		time.Sleep(time.Hour)
		if n := s.looks.Load(); n > 8+61 {
			t.Errorf("%d looks: nobody has watched for an hour", n)
		}
	})
}

func join(t *testing.T, f *Feed, after string) *client {
	t.Helper()
	c, err := f.join(after)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A client that does not take its events is dropped, and holds up nobody.
func TestSlowClientIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := NewFeed((&source{routes: []string{"a"}}).read)
		defer f.Close()
		slow, quick := join(t, f, ""), join(t, f, "")
		for range 2 * backlog {
			next(t, quick)
		}
		for range backlog {
			next(t, slow)
		}
		if text, ok := <-slow.events; ok {
			t.Errorf("the slow client is still served: %.100s", text)
		}
		next(t, quick)
	})
}

func TestLimits(t *testing.T) {
	f := NewFeed((&source{}).read)
	var all []*client
	for range maxClients {
		all = append(all, join(t, f, ""))
	}
	if _, err := f.join(""); !errors.Is(err, errCrowded) {
		t.Errorf("one too many: %v", err)
	}
	f.leave(all[0])
	f.leave(all[0])
	join(t, f, "")
	f.Close()
	if _, err := f.join(""); !errors.Is(err, errClosed) {
		t.Errorf("after the end: %v", err)
	}
	f.Close()
}

// The history is bounded in time and memory, and begins anew with other routes.
func TestHistoryIsBounded(t *testing.T) {
	var h history
	begin := time.Now()
	add := func(seconds, routes int) {
		s := telemetry.ProcessStatus{Time: begin.Add(time.Duration(seconds) * time.Second), Routes: make([]telemetry.RouteStatus, routes)}
		h.add(uint64(seconds), &s)
	}
	for i := range 2000 {
		add(i, 1)
	}
	if n := len(h.moments); n != 901 || h.moments[0].seq != 1099 {
		t.Errorf("%d moments from %d on", n, h.moments[0].seq)
	}
	for i := range 500 {
		add(2000+i, 1000)
	}
	if n := len(h.moments); n != keepMemory/pointMemory/1000 {
		t.Errorf("%d moments of a thousand routes", n)
	}
}

// The stream over HTTP: events in order, the server's own deadlines do not end it, a client that does not
// read is let go, and Close ends it.
func TestStream(t *testing.T) {
	f := NewFeed((&source{routes: []string{"a"}}).read)
	server := httptest.NewUnstartedServer(f)
	server.Config.ReadTimeout = 500 * time.Millisecond
	server.Config.WriteTimeout = 500 * time.Millisecond
	server.Start()
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Last-Event-ID", "none")
	answer, err := server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if got := answer.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("content type %q", got)
	}
	var seen []string
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 1<<20)
	for len(seen) < 5 && lines.Scan() {
		if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			seen = append(seen, name)
		}
	}
	if fmt.Sprint(seen) != "[history status status status status]" {
		t.Errorf("events %v (%v)", seen, lines.Err())
	}
	f.Close()
	if rest, err := io.ReadAll(answer.Body); err != nil {
		t.Errorf("the end: %q %v", rest, err)
	}
	w := httptest.NewRecorder()
	f.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", http.NoBody))
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("after the end: %d", w.Code)
	}
}

// BenchmarkLook is what a second of watching costs, however many watch.
func BenchmarkLook(b *testing.B) {
	for _, n := range []int{1, 200} {
		b.Run(fmt.Sprintf("routes=%d", n), func(b *testing.B) {
			s := &source{}
			for i := range n {
				s.routes = append(s.routes, fmt.Sprintf("route-%d", i))
			}
			f := NewFeed(s.read)
			b.ReportAllocs()
			for b.Loop() {
				f.look()
			}
			b.SetBytes(int64(len(f.last)))
		})
	}
}
