package cmd

import (
	"fmt"
	"io"
	"strings"

	"github.com/sluice-bridge/sluice/bridge"
	"github.com/sluice-bridge/sluice/cmd/config"
	"github.com/sluice-bridge/sluice/connectors"
)

// printPlan writes what a configuration would do, as far as that is known without connecting.
func printPlan(w io.Writer, cfg *config.Config) {
	for i := range cfg.Bridge.Routes {
		r := &cfg.Bridge.Routes[i]
		fmt.Fprintf(w, "route %s: %s → %s\n", r.Name, r.SourceName, r.SinkName)
		line := func(what, text string) {
			if text != "" {
				fmt.Fprintf(w, "  %-10s %s\n", what, text)
			}
		}
		source, sink := r.Source.Facts, r.Sink.Facts
		line("guarantee", joinFacts(source.Guarantee, sink.Guarantee))
		line("order", joinFacts(source.Order, sink.Order))
		line("touches", strings.Join(append(source.Touches[:len(source.Touches):len(source.Touches)], sink.Touches...), ", "))
		line("map", describeMap(r.Map))
		line("headers", map[bool]string{true: "default", false: "none"}[r.Headers])
		line("window", fmt.Sprintf("%d messages, %s", r.Window.Messages, connectors.Size(r.Window.Bytes)))
		line("retry", fmt.Sprintf("%s to %s, for ever", r.Retry.Initial, r.Retry.Max))
		line("on_reject", describeReject(r.OnReject))
		line("accepts", strings.Join(r.AcceptLoss, ", "))
	}
	fmt.Fprintf(w, "admin %s, drain %s\n", cfg.Admin.Listen, cfg.Bridge.Drain)
	fmt.Fprintln(w, "dry run: nothing was connected, nothing was moved")
}

func joinFacts(source, sink string) string {
	if source == "" || sink == "" {
		return source + sink
	}
	return source + "; " + sink
}

func describeMap(m connectors.Map) string {
	var parts []string
	add := func(name string, t *connectors.Template) {
		if t != nil {
			parts = append(parts, name+" "+t.String())
		}
	}
	add("subject", m.Subject)
	add("topic", m.Topic)
	add("key", m.Key)
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
