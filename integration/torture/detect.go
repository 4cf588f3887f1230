package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sluice-bridge/sluice/integration/daemon"
)

// caught is what a scenario found of a daemon with a fault.
type caught struct {
	scenario string
	checks   []string // those that found something; none: it did not notice
	after    time.Duration
}

// detect plays the scenarios with daemons that have seeded faults, those whose name contains part ("all":
// all of them), and before with one that has none. It writes the table to file and returns whether every
// fault was noticed.
func detect(ctx context.Context, s *stages, part, file string, seed uint64) (bool, error) {
	root, err := moduleRoot(ctx)
	if err != nil {
		return false, err
	}
	d := &detection{stages: s, seed: seed, found: map[string][]caught{}}
	for _, m := range mutants() {
		if part == "all" || strings.Contains(m.name, part) {
			d.mutants = append(d.mutants, m)
		}
	}
	if err := d.control(ctx); err != nil {
		return false, err
	}
	for i, m := range d.mutants {
		dir := filepath.Join(s.dir, fmt.Sprintf("mutant-%d", i))
		if err := os.Mkdir(dir, 0o755); err != nil {
			return false, err
		}
		sluice, err := m.build(ctx, root, dir)
		if err != nil { // the sources have moved on: the others can be noticed nevertheless
			s.tell("%v", err)
			d.found[m.name] = []caught{{scenario: "none: it could not be built"}}
			continue
		}
		for _, name := range m.by {
			c, err := d.play(ctx, name, sluice)
			if err != nil {
				return false, err
			}
			s.tell("%s: %s finds %v after %.0f s", m.name, name, c.checks, c.after.Seconds())
			d.found[m.name] = append(d.found[m.name], c)
		}
		_ = os.RemoveAll(dir)
	}
	return d.all(), os.WriteFile(file, []byte(d.table()), 0o600)
}

// detection is a run of detect.
type detection struct {
	stages  *stages
	seed    uint64
	mutants []*mutant
	turn    int
	sound   []caught
	found   map[string][]caught // by mutant
}

// play plays a scenario with another daemon than the stage's, unless it is nil.
func (d *detection) play(ctx context.Context, name string, sluice *daemon.Program) (caught, error) {
	all := scenarios()
	at := slices.IndexFunc(all, func(s *scenario) bool { return s.name == name })
	if at < 0 {
		return caught{}, fmt.Errorf("there is no scenario %s", name)
	}
	st, err := d.stages.of(ctx, all[at])
	if err != nil {
		return caught{}, err
	}
	if sluice != nil {
		sound := st.sluice
		defer func() { st.sluice = sound }()
		st.sluice = sluice
	}
	begin := time.Now()
	d.turn++
	t, err := all[at].play(ctx, st, d.turn, d.seed, func(string, ...any) {})
	if err != nil {
		return caught{}, err
	}
	checks := map[string]bool{}
	for _, f := range t.log.findings {
		checks[f.Check] = true
	}
	return caught{name, slices.Sorted(maps.Keys(checks)), time.Since(begin)}, nil
}

// control wants that the daemon without a seeded fault passes the scenarios.
func (d *detection) control(ctx context.Context) error {
	names := map[string]bool{}
	for _, m := range d.mutants {
		for _, name := range m.by {
			names[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		c, err := d.play(ctx, name, nil)
		if err != nil {
			return err
		}
		d.stages.tell("without a seeded fault: %s finds %v in %.0f s", name, c.checks, c.after.Seconds())
		d.sound = append(d.sound, c)
	}
	return nil
}

// all tells whether every fault was noticed by every scenario that is to notice it, and nothing else was.
func (d *detection) all() bool {
	silent := func(c caught) bool { return len(c.checks) == 0 }
	for _, m := range d.mutants {
		if slices.ContainsFunc(d.found[m.name], silent) {
			return false
		}
	}
	return !slices.ContainsFunc(d.sound, func(c caught) bool { return !silent(c) })
}
