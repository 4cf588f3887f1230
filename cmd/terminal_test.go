package cmd

import (
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/sluice-bridge/sluice/flowcontrol"
	"github.com/sluice-bridge/sluice/telemetry"
)

// TestScreen: log lines go above the line of progress, which is never left half written.
func TestScreen(t *testing.T) {
	out := newBuffer()
	s := &screen{out: out}
	log := newLogger(s, zerolog.InfoLevel, true, false)
	log.Info().Msg("before")
	s.show(strings.Repeat("x", 200))
	s.show(strings.Repeat("x", 200))
	log.Info().Msg("during")
	s.show("")
	log.Info().Msg("after")
	text := out.String()
	for _, want := range []string{"INF before\n", clearLine + strings.Repeat("x", 79) + clearLine, "INF during\n" + strings.Repeat("x", 79) + clearLine, "INF after\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %q", want, text)
		}
	}
	if strings.Count(text, "\n") != 3 {
		t.Errorf("%q", text)
	}
}

func TestJSONLog(t *testing.T) {
	out := newBuffer()
	log := newLogger(out, zerolog.WarnLevel, false, false)
	log.Info().Msg("quiet")
	log.Warn().Str("route", "a").Msg("loud")
	if text := out.String(); !strings.HasPrefix(text, `{"level":"warn","route":"a","time":"2`) || strings.Contains(text, "quiet") {
		t.Error(text)
	}
}

func TestDescribe(t *testing.T) {
	now := time.Now()
	s := telemetry.RouteStatus{
		Route: "orders", State: flowcontrol.Stalled, Since: now.Add(-42 * time.Second), Cause: flowcontrol.CauseMessages,
		Blocker: flowcontrol.BlockerAck, Window: telemetry.WindowStatus{Messages: 90, MessagesNow: 100, MessagesLimit: 100, Bytes: 1, BytesLimit: 10},
	}
	if got, want := describe(&s, 12345, now), "orders 12,345/s, window 90 %, stalled for 42s by sink.ack"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	s.Ended = true
	if got := describe(&s, 0, now); got != "orders has ended" {
		t.Error(got)
	}
}
