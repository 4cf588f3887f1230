package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

const (
	nothing   = "none"
	unnoticed = "**not noticed**"
)

// table is the result for people, in Markdown.
func (d *detection) table() string {
	var b strings.Builder
	v := d.versions
	fmt.Fprintf(&b, "# Would it notice?\n\nMade by `go run ./integration/torture -detect`, last with seed %d on %s, against %s and %s, with %s.\n\n",
		d.seed, time.Now().UTC().Format(time.DateOnly), v["kafka"], v["nats"], v["go"])
	b.WriteString("Each fault is a change of a few words in the daemon (`mutants_*.go`), built with `go build -overlay`. " +
		"The time is that of the whole scenario, comparison included.\n\n")
	b.WriteString("| seeded fault | noticed by | check | after |\n|---|---|---|---|\n")
	for _, m := range mutants() {
		for _, c := range d.found[m.name] {
			checks := strings.Join(c.checks, ", ")
			if checks == "" {
				checks = unnoticed
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %.0f s |\n", m.name, c.scenario, checks, c.after.Seconds())
		}
	}
	b.WriteString("\nWithout a seeded fault:\n\n| scenario | findings | time |\n|---|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(d.sound)) {
		c := d.sound[name]
		fmt.Fprintf(&b, "| %s | %s | %.0f s |\n", c.scenario, orNone(strings.Join(c.checks, ", ")), c.after.Seconds())
	}
	b.WriteString("\nWithout one of the checks, these would have passed:\n\n| check | seeded faults that only it notices |\n|---|---|\n")
	only := map[string]map[string]bool{}
	for name, all := range d.found {
		checks := map[string]bool{}
		for _, c := range all {
			for _, check := range c.checks {
				checks[check] = true
			}
		}
		for check := range checks {
			if only[check] == nil {
				only[check] = map[string]bool{}
			}
			if len(checks) == 1 {
				only[check][name] = true
			}
		}
	}
	for _, check := range slices.Sorted(maps.Keys(only)) {
		fmt.Fprintf(&b, "| %s | %s |\n", check, orNone(strings.Join(slices.Sorted(maps.Keys(only[check])), "; ")))
	}
	return b.String()
}

func orNone(s string) string {
	if s == "" {
		return nothing
	}
	return s
}
