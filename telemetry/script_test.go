package telemetry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/sluice-bridge/sluice/flowcontrol"
)

// script is a route whose status a test writes, on a real clock of flowcontrol in virtual time.
type script struct {
	t     *testing.T
	tel   *Telemetry
	route *Route
	clock *flowcontrol.Clock
	spans *tracetest.InMemoryExporter
	out   output
	begin time.Time

	mu sync.Mutex
	s  RouteStatus
}

// play runs f in virtual time on a route that is connected, and returns what was logged and exported.
func play(t *testing.T, f func(*script)) (log string, spans []sdktrace.ReadOnlySpan) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := &script{t: t, begin: time.Now(), clock: flowcontrol.NewClock(flowcontrol.Disconnected, time.Now())}
		c.s = RouteStatus{
			Route: "orders", Source: "kafka", Sink: "jetstream", Down: time.Now(),
			Window: WindowStatus{MessagesLimit: 8192, BytesLimit: 64 << 20},
		}
		c.spans = tracetest.NewInMemoryExporter()
		tel, err := New(t.Context(), Config{}, zerolog.Nop())
		if err != nil {
			t.Fatal(err)
		}
		stalls := newStallProvider(&guardedSpans{SpanExporter: keep{c.spans}, faults: newFaults(zerolog.Nop())}, resource.Empty())
		tel.stalls, tel.ends = stalls.Tracer(scope), append(tel.ends, stalls)
		c.tel = tel
		c.route = tel.Watch("orders", zerolog.New(&c.out), c.read)
		f(c)
		c.route.Stop(OutcomeShutdown)
		if err := tel.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		log, spans = c.transcript(), c.spans.GetSpans().Snapshots()
	})
	return log, spans
}

// keep is an exporter that still holds its spans after Shutdown.
type keep struct{ *tracetest.InMemoryExporter }

func (keep) Shutdown(context.Context) error { return nil }

func (c *script) read() RouteStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.s
	s.Clock = c.clock.Read(time.Now())
	s.State, s.Since, s.Cause = s.Clock.State, s.Clock.Since, s.Clock.Cause
	s.InFlight = slices.Clone(s.InFlight)
	return s
}

// set changes the status.
func (c *script) set(f func(*RouteStatus)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.s)
}

func (c *script) connect() {
	c.set(func(s *RouteStatus) {
		s.SourceConnected, s.SinkConnected, s.EverConnected, s.Down, s.Detail = true, true, true, time.Time{}, ""
	})
	c.clock.Enter(flowcontrol.Flowing, time.Now())
}

// full fills the window and lets the source wait, because blocker holds it all.
func (c *script) full(blocker flowcontrol.Blocker) {
	c.set(func(s *RouteStatus) {
		s.Counts.Crossings++
		s.Window.Messages, s.Blocker = 8000, blocker
		s.InFlight = []LaneStatus{{Partition: "orders/3", Messages: 8000, Oldest: time.Now(), Offset: 42, Blocker: blocker}}
	})
	c.clock.Wait(flowcontrol.CauseMessages, time.Now())
}

// room ends the wait.
func (c *script) room() {
	c.clock.Ack(time.Now())
	c.clock.Resume(time.Now())
	c.set(func(s *RouteStatus) { s.Window.Messages, s.Blocker, s.InFlight = 4000, 0, nil })
}

func (c *script) sleep(d time.Duration) { time.Sleep(d); synctest.Wait() }

// transcript returns the lines in the form `level message field=value`. Trace ids differ from run to
// run and show as whether they are there.
func (c *script) transcript() string {
	var b strings.Builder
	decoder := json.NewDecoder(strings.NewReader(c.out.String()))
	for {
		var line map[string]any
		if err := decoder.Decode(&line); errors.Is(err, io.EOF) {
			return b.String()
		} else if err != nil {
			c.t.Fatal(err)
		}
		level, message := line["level"], line["message"]
		delete(line, "level")
		delete(line, "message")
		if _, ok := line["trace_id"]; ok {
			line["trace_id"] = "yes"
		}
		fields := make([]string, 0, len(line))
		for k, v := range line {
			fields = append(fields, fmt.Sprintf("%s=%v", k, v))
		}
		slices.Sort(fields)
		fmt.Fprintf(&b, "%s %s %s\n", level, message, strings.Join(fields, " "))
	}
}

// attr returns an attribute of a span as text; "" if it has none of that name.
func attr(s sdktrace.ReadOnlySpan, key attribute.Key) string {
	for _, kv := range s.Attributes() {
		if kv.Key == key {
			return kv.Value.String()
		}
	}
	return ""
}
