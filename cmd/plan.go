package cmd

import (
	"fmt"
	"io"
	"strings"

	"github.com/rs/zerolog"

	"github.com/sluice-bridge/sluice/bridge"
	"github.com/sluice-bridge/sluice/bridge/transform"
	"github.com/sluice-bridge/sluice/cmd/config"
	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/telemetry"
)

// Introduce writes what a route promises, touches and needs, for people.
func Introduce(w io.Writer, s *telemetry.RouteStatus) {
	fmt.Fprintf(w, "%s: %s → %s\n", s.Route, s.Source, s.Sink)
	item(w, "guarantee", s.Guarantee)
	item(w, "order", s.Order)
	item(w, "touches", strings.Join(s.Touches, ", "))
	item(w, "backlog", s.Backlog)
	item(w, "memory", s.Memory)
}

func item(w io.Writer, what, text string) {
	if text != "" {
		fmt.Fprintf(w, "  %-10s %s\n", what, text)
	}
}

// printPlan writes what a configuration would do, as far as that is known without connecting.
func printPlan(w io.Writer, cfg *config.Config) error {
	b, err := bridge.New(cfg.Bridge, zerolog.Nop(), nil)
	if err != nil {
		return err
	}
	all := b.Status()
	for i := range all {
		r := &cfg.Bridge.Routes[i]
		Introduce(w, &all[i])
		item(w, "filter", r.Transform.Filter())
		item(w, "map", describeMap(r.Map, r.Transform))
		item(w, "headers", map[bool]string{true: "default", false: "none"}[r.Headers])
		item(w, "window", fmt.Sprintf("%d messages, %s, %s", r.Window.Messages, connectors.Size(r.Window.Bytes),
			map[bool]string{true: "adaptive", false: "static"}[r.Adaptive]))
		if r.Limit != (bridge.Limit{}) {
			item(w, "limit", r.Limit.String())
		}
		item(w, "retry", fmt.Sprintf("%s to %s, for ever", r.Retry.Initial, r.Retry.Max))
		item(w, "on_reject", describeReject(r.OnReject))
		item(w, "on_gap", map[bool]string{true: "halt", false: "continue"}[r.HaltOnGap])
		item(w, "stale", r.Stale.String())
		item(w, "paused", map[bool]string{true: "until sluice resume " + r.Name}[r.Paused])
		item(w, "accepts", strings.Join(r.AcceptLoss, ", "))
	}
	fmt.Fprintf(w, "admin %s, drain %s\n", cfg.Admin.Listen, cfg.Bridge.Drain)
	fmt.Fprintln(w, "dry run: nothing was connected, nothing was moved")
	return nil
}

func describeMap(m connectors.Map, p *transform.Program) string {
	var parts []string
	add := func(name string, t *connectors.Template) {
		if t != nil {
			parts = append(parts, name+" "+t.String())
		}
	}
	add("subject", m.Subject)
	add("topic", m.Topic)
	add("key", m.Key)
	add("partition", m.Partition)
	if headers := p.Headers(); headers != "" {
		parts = append(parts, "headers: "+headers)
	}
	return strings.Join(parts, ", ")
}

func describeReject(r bridge.Reject) string {
	switch r {
	case bridge.DeadLetter:
		return "dead letter"
	case bridge.Drop:
		return "drop"
	}
	return "halt"
}
