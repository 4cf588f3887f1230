package telemetry

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/sluice-bridge/sluice/flowcontrol"
)

// watched returns a Telemetry with so many stalled routes of 16 lanes each, whose ticker is stopped.
func watched(b *testing.B, routes int) *Telemetry {
	b.Helper()
	tel, err := New(b.Context(), Config{}, zerolog.Nop())
	if err != nil {
		b.Fatal(err)
	}
	for i := range routes {
		name := fmt.Sprintf("route-%d", i)
		clock := flowcontrol.NewClock(flowcontrol.Flowing, time.Now().Add(-time.Minute))
		clock.Wait(flowcontrol.CauseBytes, time.Now().Add(-12*time.Second))
		lanes := make([]LaneStatus, 16)
		for j := range lanes {
			lanes[j] = LaneStatus{Partition: fmt.Sprint(j), Messages: 1, Oldest: time.Now(), Blocker: flowcontrol.BlockerAck}
		}
		tel.Watch(name, zerolog.Nop(), func() RouteStatus {
			reading := clock.Read(time.Now())
			return RouteStatus{
				Route: name, State: reading.State, Since: reading.Since, Cause: reading.Cause, Clock: reading, InFlight: lanes,
				SourceConnected: true, SinkConnected: true, EverConnected: true, LagKnown: true,
			}
		})
	}
	b.Cleanup(func() {
		if err := tel.Shutdown(context.WithoutCancel(b.Context())); err != nil {
			b.Error(err)
		}
	})
	return tel
}

// BenchmarkPoll is what all routes together cost, twice a second.
func BenchmarkPoll(b *testing.B) {
	tel := watched(b, 100)
	b.ReportAllocs()
	for b.Loop() {
		for _, r := range tel.snapshot() {
			r.poll(time.Now())
		}
	}
}

// BenchmarkScrape is one answer of /metrics.
func BenchmarkScrape(b *testing.B) {
	tel := watched(b, 100)
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		w.Body = nil
		tel.Handler().ServeHTTP(discard{w}, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	}
}

type discard struct{ http.ResponseWriter }

func (discard) Write(p []byte) (int, error) { return io.Discard.Write(p) }

func BenchmarkWrote(b *testing.B) {
	r := watched(b, 1).snapshot()[0]
	b.ReportAllocs()
	for b.Loop() {
		r.Wrote(time.Millisecond, 64)
	}
}

func BenchmarkDelayedBy(b *testing.B) {
	r := watched(b, 1).snapshot()[0]
	r.poll(time.Now())
	b.ReportAllocs()
	for b.Loop() {
		r.DelayedBy(time.Time{}, time.Time{})
	}
}

func BenchmarkPeekTraceparent(b *testing.B) {
	for name, header := range map[string]string{"sampled": sampledHeader, "unsampled": sampledHeader[:53] + "00"} {
		b.Run(name, func(b *testing.B) {
			value := []byte(header)
			b.ReportAllocs()
			for b.Loop() {
				PeekTraceparent(value)
			}
		})
	}
}
