//go:build integration

package acceptance

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-bridge/sluice/integration/daemon"
	"github.com/sluice-bridge/sluice/integration/proxy"
)

// A frozen nats-server stops the fetching, not the process: the window holds, memory holds, the group
// holds, the stall is a trace while it lasts, and afterwards nothing is lost or doubled.
func TestFrozenNATS(t *testing.T) {
	suite.pair.NeedControl(t)
	s := newScene(t, 15*time.Minute)
	freeze := seconds(60, 12)
	n := messages(1_000_000, 150_000)
	s.create(nil)
	s.must(s.topic.Write(s.ctx, s.load, 0, n, 0))
	p, err := proxy.New(suite.pair.Kafka.Proxied[0].Listen, suite.pair.Kafka.Proxied[0].Target)
	s.must(err)
	defer p.Close()
	spans := daemon.NewCollector(t)
	direct := s.topic.Addr
	s.topic.Addr = p.Addr
	config := s.toStream("")
	s.topic.Addr = direct
	d := s.start(config, spans.Environment()...)
	w := d.Watch(s.ctx)
	s.inStream(n/20, time.Minute)
	loaded := s.background(func(ctx context.Context) error { // load goes on beside the backlog
		return s.topic.Write(ctx, s.load, n, n+2000, int(2000/freeze.Seconds()))
	})

	before, err := d.Lines()
	s.must(err)
	s.must(suite.pair.NATS.Process.Freeze())
	frozen := time.Now()
	thawed := false
	defer func() {
		if !thawed {
			_ = suite.pair.NATS.Process.Thaw()
		}
	}()
	full := d.Until(s.ctx, t, "stalled", func(r *daemon.Route) bool { return r.State == "stalled" })
	fetches, joins := p.Answers(proxy.Fetch), p.Answers(proxy.JoinGroup)
	cpu, err := d.CPU()
	s.must(err)
	s.sleep(time.Until(frozen.Add(freeze)))
	if more := p.Answers(proxy.Fetch) - fetches; more != 0 {
		t.Errorf("%d fetch answers while the window was full", more)
	}
	if more := p.Answers(proxy.JoinGroup) - joins; more != 0 {
		t.Errorf("%d rebalances while frozen", more)
	}
	after, err := d.CPU()
	s.must(err)
	if busy := float64(after-cpu) / float64(time.Since(frozen)); busy > 0.05 {
		t.Errorf("%.1f %% CPU while stalled", 100*busy)
	}
	lines, err := d.Lines()
	s.must(err)
	checkStallLog(t, lines[len(before):], frozen)
	progress := len(spans.Spans("flowcontrol.stall.progress"))
	if progress == 0 {
		t.Error("no progress segment arrived while the stall lasted")
	}
	status, err := d.Status(s.ctx)
	s.must(err)
	if status.State != "stalled" || !strings.HasPrefix(status.Cause, "window.") || !strings.HasPrefix(status.Blocker, "sink.") {
		t.Errorf("status while frozen: %s, cause %s, blocker %s", status.State, status.Cause, status.Blocker)
	}
	s.must(suite.pair.NATS.Process.Thaw())
	thaw := time.Now()
	thawed = true
	d.Until(s.ctx, t, "no longer stalled", func(r *daemon.Route) bool { return r.State != "stalled" })
	truly := stallTime{full.Since.Add(-time.Second), thaw, time.Now()}
	loaded()
	total, _, err := s.topic.Count(s.ctx)
	s.must(err)
	s.inStream(total, time.Minute)
	w.Stop()

	limit := printedLimit(t, status.Memory)
	if w.MaxMessages > status.Window.MessagesLimit || w.MaxBytes > status.Window.BytesLimit {
		t.Errorf("in flight %d messages, %d bytes; the window is %d, %d", w.MaxMessages, w.MaxBytes, status.Window.MessagesLimit, status.Window.BytesLimit)
	}
	const oneFetch = 1 << 20 // one broker, fetch_max_bytes as it is by default
	if most := status.Window.BytesLimit*3/2 + oneFetch + 48<<20; limit > most {
		t.Errorf("the line at start promises %d MiB, want at most %d", limit>>20, most>>20)
	}
	_, peak, err := d.Resident()
	s.must(err)
	if peak > limit {
		t.Errorf("resident %d MiB, the line at start says %s", peak>>20, status.Memory)
	}
	checkRoot(s, spans, truly)
	s.end(d)
	r := s.compareToStream()
	s.clean(r)
	row("nats-server frozen %v: peak %d MiB of %d, in flight at most %d, %d progress segments, %d log lines: %v",
		freeze, peak>>20, limit>>20, w.MaxMessages, progress, len(lines)-len(before), r)
}

// checkStallLog wants the stall named early and told in few words.
func checkStallLog(t *testing.T, lines []daemon.Line, frozen time.Time) {
	t.Helper()
	if len(lines) == 0 || len(lines) > 10 {
		t.Fatalf("%d log lines while frozen, want 1 to 10: %v", len(lines), lines)
	}
	at, err := time.Parse(time.RFC3339, stamp(lines[0]))
	if err != nil {
		t.Fatalf("first line %v: %v", lines[0], err)
	}
	if late := at.Sub(frozen); late > 10*time.Second {
		t.Errorf("the first line came %v after the freeze: %v", late, lines[0])
	}
}

func stamp(l daemon.Line) string { s, _ := l["time"].(string); return s }

// stallTime is a stall as it was observed from outside: the window was full, the broker answered again, and
// /status said that the route goes on, which takes a busy machine a moment.
type stallTime struct{ full, answers, over time.Time }

func (t stallTime) least() time.Duration { return t.answers.Sub(t.full) }

// fits reports whether a span is no more than 5 % off, or two seconds: a busy machine looks late.
func (t stallTime) fits(took time.Duration) bool {
	off := max(t.least()/20, 2*time.Second)
	return took >= t.least()-off && took <= t.over.Sub(t.full)+off
}

func (t stallTime) String() string {
	return fmt.Sprintf("%.2f to %.2f s", t.least().Seconds(), t.over.Sub(t.full).Seconds())
}

// checkRoot waits for the stall's root span and compares it with what was observed from outside.
func checkRoot(s *scene, spans *daemon.Collector, truly stallTime) {
	s.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		for _, span := range spans.Spans("flowcontrol.stall") {
			// An episode may begin before, while the window was filled by catching up, and end after;
			// its longest wait is the freeze.
			whole := span.End.Sub(span.Begin)
			seconds, _ := span.Attributes["flowcontrol.stall.longest"].(float64)
			took := time.Duration(seconds * float64(time.Second))
			if span.Begin.After(truly.answers) || took < truly.least()/2 {
				continue
			}
			if !truly.fits(took) || whole < took {
				s.Errorf("root span lasts %v with a longest wait of %v, the stall lasted %v", whole, took, truly)
			}
			if span.Arrived.Before(truly.answers) {
				s.Error("the root span came before the stall was over")
			}
			s.Logf("root span: %v, observed %v, attributes %v", took, truly, span.Attributes)
			if blocker, _ := span.Attributes["flowcontrol.blocker"].(string); !strings.HasPrefix(blocker, "sink.") {
				s.Errorf("root span's blocker is %q", blocker)
			}
			if cause, _ := span.Attributes["flowcontrol.cause"].(string); !strings.HasPrefix(cause, "window.") {
				s.Errorf("root span's cause is %q", cause)
			}
			return
		}
		if time.Now().After(deadline) {
			s.Fatalf("no root span of the stall; there are %v", spans.Spans("flowcontrol.stall"))
		}
		s.sleep(100 * time.Millisecond)
	}
}

// printedLimit reads the bytes of "at most 146.5 MiB = ...".
func printedLimit(t *testing.T, line string) int64 {
	t.Helper()
	_, rest, _ := strings.Cut(line, "at most ")
	number, _, ok := strings.Cut(rest, " MiB")
	mebi, err := strconv.ParseFloat(number, 64)
	if err != nil || !ok {
		t.Fatalf("no limit in %q", line)
	}
	return int64(mebi * (1 << 20))
}

// Kafka frozen for twice the consumer's AckWait: the server has redelivered everything that was in
// flight, and none of it is written again.
func TestFrozenKafka(t *testing.T) {
	suite.pair.NeedControl(t)
	s := newScene(t, 15*time.Minute)
	s.load.Plain = true
	ackWait := seconds(20, 4)
	n := messages(500_000, 100_000)
	s.create(nil)
	s.must(s.stream.Write(s.ctx, s.load, s.name, 0, n, 0))
	d := s.start(s.toTopic(`, ack_wait: "`+ackWait.String()+`"`, ""))
	s.inTopic(n/20, time.Minute)
	s.must(suite.pair.Kafka.Process.Freeze())
	s.sleep(2 * ackWait)
	status, err := d.Status(s.ctx)
	s.must(err)
	s.must(suite.pair.Kafka.Process.Thaw())
	if status.State != "stalled" || status.Window.Messages > status.Window.MessagesLimit {
		t.Errorf("status while frozen: %+v", status)
	}
	s.inTopic(n, time.Minute)
	s.end(d)
	r := s.compareToTopic()
	s.clean(r)
	row("Kafka frozen %v, ack_wait %v: %v", 2*ackWait, ackWait, r)
}
