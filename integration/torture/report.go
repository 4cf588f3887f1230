package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// report is what a run leaves.
type report struct {
	Profile  string            `json:"profile"`
	Seed     uint64            `json:"seed"`
	Versions map[string]string `json:"versions"`
	Seconds  float64           `json:"seconds"`
	Routes   []*verdict        `json:"routes"`
	Faults   int               `json:"faults"`
	Hits     int               `json:"faults_that_hit_work"`
	Slowest  float64           `json:"slowest_recovery_s"`
	Demanded int               `json:"faults_demanded"`
	Findings []finding         `json:"findings"`
	Timeline []*fault          `json:"timeline"`
	Clean    bool              `json:"clean"`
}

// reportOf makes the report of a trial that has ended.
func reportOf(profile string, t *trial, verdicts []*verdict, demanded int) *report {
	r := &report{
		Profile: profile, Seed: t.seed, Versions: t.stage.versions(), Seconds: t.log.now(), Routes: verdicts,
		Demanded: demanded, Timeline: t.log.faults,
	}
	r.Faults, r.Hits = t.log.counts()
	for _, f := range t.log.faults {
		r.Slowest = max(r.Slowest, f.Recovered)
	}
	if r.Hits < demanded {
		t.log.find(checkHarness, nil, "%d faults hit work, want %d", r.Hits, demanded)
	}
	r.Findings = t.log.findings
	r.Clean = len(r.Findings) == 0
	return r
}

// save writes the report as JSON and as a page, and returns their names.
func (r *report) save(dir string) ([]string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return nil, err
	}
	base := filepath.Join(dir, fmt.Sprintf("torture-%s-%d", r.Profile, r.Seed))
	if err := os.WriteFile(base+".json", append(text, '\n'), 0o600); err != nil {
		return nil, err
	}
	return []string{base + ".json", base + ".txt"}, os.WriteFile(base+".txt", []byte(r.page()+r.timeline()), 0o600)
}

// page is the report for people, without the timeline.
func (r *report) page() string {
	var b strings.Builder
	word := "CLEAN"
	if !r.Clean {
		word = fmt.Sprintf("%d FINDINGS", len(r.Findings))
	}
	fmt.Fprintf(&b, "%s: profile %s, seed %d, %.0f s, %d faults of which %d hit work, slowest recovery %.1f s\n",
		word, r.Profile, r.Seed, r.Seconds, r.Faults, r.Hits, r.Slowest)
	names := make([]string, 0, len(r.Versions))
	for name := range r.Versions {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		fmt.Fprintf(&b, "  %-8s %s\n", name, r.Versions[name])
	}
	for _, v := range r.Routes {
		fmt.Fprintf(&b, "\n%s\n", v.Route)
		fmt.Fprintf(&b, "  source %d, sink %d, dead letters %d (load: %v; source forgot %d)\n", v.Source, v.Sink, v.Letters, v.Load, v.Forgotten)
		fmt.Fprintf(&b, "  lost %d, phantom %d, altered %d, reordered %d, gaps %d\n", v.Lost, v.Phantom, v.Altered, v.Reordered, v.Gaps)
		fmt.Fprintf(&b, "  doubled %d of at most %d, most by one kill %d\n", v.Doubled, v.Allowed, v.MostAKill)
		p := v.Peaks
		fmt.Fprintf(&b, "  in flight at most %d of %d messages, %.1f of %.1f MiB; uncommitted %d of %d; resident %d of %d MiB; %.1f s of CPU in %.1f s of standing still; %d writes tried again\n",
			p.InFlight, p.InFlightLimit, float64(p.Bytes)/(1<<20), float64(p.BytesLimit)/(1<<20), p.Open, p.OpenLimit,
			p.Resident>>20, p.MemoryLine>>20, p.StalledCPU, p.StalledSec, p.Retries)
	}
	b.WriteString("\n" + r.kinds())
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "FOUND %s at %.1f s on %s: %s\n", f.Check, f.At, f.Route, f.Text)
	}
	return b.String()
}

// kinds is a table of the faults by kind.
func (r *report) kinds() string {
	type row struct {
		n, hit  int
		slowest float64
	}
	rows := map[string]*row{}
	var names []string
	for _, f := range r.Timeline {
		k := rows[f.Kind]
		if k == nil {
			k = &row{}
			rows[f.Kind] = k
			names = append(names, f.Kind)
		}
		k.n++
		if f.Hit {
			k.hit++
		}
		k.slowest = max(k.slowest, f.Recovered)
	}
	sort.Strings(names)
	var b strings.Builder
	fmt.Fprintf(&b, "%-40s %6s %6s %20s\n", "fault", "times", "hit", "slowest recovery")
	for _, name := range names {
		fmt.Fprintf(&b, "%-40s %6d %6d %18.1f s\n", name, rows[name].n, rows[name].hit, rows[name].slowest)
	}
	return b.String()
}

// timeline is the list of faults.
func (r *report) timeline() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%8s %7s %9s %7s %s\n", "at s", "held s", "flows s", "doubled", "fault, what it found in flight")
	for _, f := range r.Timeline {
		miss := ""
		if !f.Hit {
			miss = " (hit nothing)"
		}
		fmt.Fprintf(&b, "%8.1f %7.2f %9.2f %7d %s: %s%s %v %s\n", f.At, f.Held, f.Recovered, f.Doubled, f.Route, f.Kind, miss, f.Found, f.Note)
	}
	return b.String()
}
