//go:build integration

package backends

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/sluice-bridge/sluice/integration/brokers"
	"github.com/sluice-bridge/sluice/integration/daemon"
	"github.com/sluice-bridge/sluice/integration/truth"
)

const deploy = "../../telemetry/deploy"

// TestRules has promtool test what users load into their Prometheus.
func TestRules(t *testing.T) {
	promtool, err := promtoolProgram.path(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"check", "rules", "rules.yaml"}, {"test", "rules", "rules_test.yaml"}} {
		cmd := exec.CommandContext(t.Context(), promtool, args...)
		cmd.Dir = deploy
		text, err := cmd.CombinedOutput()
		t.Logf("promtool %s %s: %s", args[0], args[1], text)
		if err != nil {
			t.Error(err)
		}
	}
}

// traceID is that of the n-th sampled message.
func traceID(n int) string { return fmt.Sprintf("%032x", 0xabc000+n) }

func traced(n int) truth.Message {
	return truth.Message{Value: []byte("traced"), Headers: []truth.Header{
		{Name: truth.IDHeader, Value: fmt.Appendf(nil, "traced/%d", n)},
		{Name: "traceparent", Value: fmt.Appendf(nil, "00-%s-00000000000000ab-01", traceID(n))},
	}}
}

// TestStall follows a stall as a person on call does: the alert names the blocker, the segments are in Jaeger while
// it lasts, afterwards the root is found by how long it was, an exemplar leads to it, and from it the way goes to
// the message that was oldest and back.
func TestStall(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 25*time.Minute)
	defer cancel()
	dir := t.TempDir()
	program, err := daemon.Build(ctx, dir)
	must(t, err)
	pair := brokers.StartPair(dir)
	defer pair.Stop()
	pair.NeedControl(t)
	tracing, err := startJaeger(ctx, dir)
	must(t, err)
	defer func() { _ = tracing.process.Kill() }()

	topic := truth.Topic{Addr: pair.Kafka.Addr, Name: "traced"}
	stream := truth.Stream{URL: pair.NATS.URL, Name: "TRACED"}
	must(t, topic.Create(ctx, 1, nil))
	must(t, stream.Create(ctx, nil, "traced"))
	d := program.Start(t, fmt.Sprintf(`
telemetry: {endpoint: %q, protocol: grpc}
routes:
  traced:
    source: {kafka: {brokers: [%q], topics: [traced]}}
    sink: {jetstream: {servers: [%q], stream: TRACED, subject: traced}}
    window: {max_messages: 50}
`, tracing.endpoint, topic.Addr, stream.URL))
	rules, err := filepath.Abs(filepath.Join(deploy, "rules.yaml"))
	must(t, err)
	watching, err := startPrometheus(ctx, dir, rules, d.Admin)
	must(t, err)
	defer func() { _ = watching.process.Kill() }()

	must(t, topic.WriteMessages(ctx, 0, traced(0)))
	d.Until(ctx, t, "flowing", func(r *daemon.Route) bool { return r.Counts.Acknowledged > 0 })
	must(t, pair.NATS.Process.Freeze())
	frozen := time.Now()
	load := make([]truth.Message, 100)
	for i := range load {
		load[i] = traced(1 + i)
	}
	must(t, topic.WriteMessages(ctx, 0, load...))
	d.Until(ctx, t, "stalled", func(r *daemon.Route) bool { return r.State == "stalled" })

	var during []string
	until(ctx, t, "a segment of the stall that lasts, found by its blocker", func() (err error) {
		during, err = tracing.find(ctx, "flowcontrol.stall.progress", "tags", `{"flowcontrol.blocker":"sink.ack"}`)
		return errors.Join(err, atLeastOne(during))
	})
	t.Logf("segment in Jaeger %.1f s after the freeze", time.Since(frozen).Seconds())
	until(ctx, t, "SluiceStalled that names sink.ack", func() error {
		firing, err := watching.alerts(ctx)
		if firing["SluiceStalled"] != "sink.ack" {
			return errors.Join(err, fmt.Errorf("fires: %v", firing))
		}
		return err
	})
	t.Logf("SluiceStalled fires %.1f s after the freeze", time.Since(frozen).Seconds())
	must(t, pair.NATS.Process.Thaw())
	d.Until(ctx, t, "caught up", func(r *daemon.Route) bool { return r.Counts.Acknowledged == int64(1+len(load)) })

	var after []string
	until(ctx, t, "the stall, found by how long it was", func() (err error) {
		after, err = tracing.find(ctx, "flowcontrol.stall", "minDuration", "30s")
		return errors.Join(err, atLeastOne(after))
	})
	if !slices.Equal(during, after) {
		t.Errorf("the segment is of trace %v, the root of %v", during, after)
	}
	until(ctx, t, "links to the oldest message and back", func() error { return linked(ctx, tracing, after[0]) })
	until(ctx, t, "an exemplar that leads to the stall", func() error {
		traces, err := watching.exemplars(ctx, "flowcontrol_stall_duration_seconds_bucket")
		if !slices.Contains(traces, after[0]) {
			return errors.Join(err, fmt.Errorf("exemplars %v, want %s", traces, after[0]))
		}
		return err
	})
	t.Logf("Jaeger %s, Prometheus %s; %s", jaegerProgram.version, prometheusProgram.version, pair.Line())
}

// linked reports why a stall does not lead to the message that was oldest, or that message's span not to the stall.
func linked(ctx context.Context, j *jaeger, stall string) error {
	spans, err := j.trace(ctx, stall)
	if err != nil {
		return err
	}
	for _, root := range spans {
		for _, link := range root.Links {
			if text(link.Attributes, "flowcontrol.link.role") != "oldest_in_flight" {
				continue
			}
			message, err := j.trace(ctx, link.TraceID)
			if err != nil {
				return err
			}
			for _, deliver := range message {
				for _, back := range deliver.Links {
					if text(back.Attributes, "flowcontrol.link.role") == "delayed_by" && back.TraceID == stall {
						return nil
					}
				}
			}
			return fmt.Errorf("the message's trace %s does not lead back to %s: %+v", link.TraceID, stall, message)
		}
	}
	return fmt.Errorf("no link to the oldest message in flight: %+v", spans)
}

func atLeastOne(ids []string) error {
	if len(ids) == 0 {
		return errors.New("nothing found")
	}
	return nil
}

// until tries again and again.
func until(ctx context.Context, t *testing.T, what string, try func() error) {
	t.Helper()
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("never: %s: %v", what, err)
		case <-time.After(250 * time.Millisecond):
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
