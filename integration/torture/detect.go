package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
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
// all of them), and with one that has none, on several lanes at a time. It writes the table to file, beside
// what that says already, and returns whether every fault was noticed.
func detect(ctx context.Context, lanes []*stages, part, file string, seed uint64) (bool, error) {
	root, err := moduleRoot(ctx)
	if err != nil {
		return false, err
	}
	d := &detection{root: root, seed: seed, sound: map[string]caught{}, found: map[string][]caught{}}
	for _, m := range mutants() {
		if part == "all" || strings.Contains(m.name, part) {
			d.mutants = append(d.mutants, m)
		}
	}
	jobs, large := d.jobs()
	err = d.playAll(ctx, lanes, jobs)
	if err == nil {
		err = d.playAll(ctx, lanes[:1], large)
	}
	clean := d.all()
	err = errors.Join(err, d.earlier(file))
	return clean, errors.Join(err, os.WriteFile(file, []byte(d.table()), 0o600))
}

// detection is a run of detect.
type detection struct {
	root    string
	seed    uint64
	mutants []*mutant
	turn    atomic.Int64

	mu       sync.Mutex
	versions map[string]string
	sound    map[string]caught   // by scenario
	found    map[string][]caught // by mutant
}

// job is one scenario without a seeded fault, or one seeded fault with all that are to notice it.
type job func(ctx context.Context, lane *stages) error

// jobs returns what there is to do, and apart what needs three brokers of each kind, which one lane starts
// once.
func (d *detection) jobs() (all, large []job) {
	add := func(by []string, j job) {
		if slices.ContainsFunc(by, clustered) {
			large = append(large, j)
		} else {
			all = append(all, j)
		}
	}
	names := map[string]bool{}
	for _, m := range d.mutants {
		for _, name := range m.by {
			names[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		add([]string{name}, func(ctx context.Context, lane *stages) error { return d.control(ctx, lane, name) })
	}
	for _, m := range d.mutants {
		add(m.by, func(ctx context.Context, lane *stages) error { return d.seeded(ctx, lane, m) })
	}
	return all, large
}

func clustered(name string) bool {
	return slices.ContainsFunc(scenarios(), func(s *scenario) bool { return s.name == name && s.cluster })
}

// playAll gives the jobs to the lanes and returns the first error; what has begun is finished.
func (d *detection) playAll(ctx context.Context, lanes []*stages, jobs []job) error {
	queue := make(chan job, len(jobs))
	for _, j := range jobs {
		queue <- j
	}
	close(queue)
	failed := make(chan error, len(lanes))
	for _, lane := range lanes {
		go func() {
			for j := range queue {
				if err := j(ctx, lane); err != nil {
					failed <- err
					return
				}
			}
			failed <- nil
		}()
	}
	var first error
	for range lanes {
		if err := <-failed; first == nil {
			first = err
		}
	}
	return first
}

// seeded sees one seeded fault noticed.
func (d *detection) seeded(ctx context.Context, lane *stages, m *mutant) error {
	dir, err := os.MkdirTemp(lane.dir, "mutant-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	sluice, err := m.build(ctx, d.root, dir)
	if err != nil { // the sources have moved on: the others can be noticed nevertheless
		lane.tell("%v", err)
		d.note(m, caught{scenario: "none: it could not be built"})
		return nil
	}
	for _, name := range m.by {
		c, err := d.play(ctx, lane, name, sluice)
		if err != nil {
			return err
		}
		lane.tell("%s: %s finds %v after %.0f s", m.name, name, c.checks, c.after.Seconds())
		d.note(m, c)
	}
	return nil
}

func (d *detection) note(m *mutant, c caught) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.found[m.name] = append(d.found[m.name], c)
}

// control wants that the daemon without a seeded fault passes a scenario.
func (d *detection) control(ctx context.Context, lane *stages, name string) error {
	c, err := d.play(ctx, lane, name, nil)
	if err != nil {
		return err
	}
	lane.tell("without a seeded fault: %s finds %v in %.0f s", name, c.checks, c.after.Seconds())
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sound[name] = c
	return nil
}

// play plays a scenario with another daemon than the stage's, unless it is nil. If that goes wrong, which
// is the brokers' fault, it does so once more with new ones.
func (d *detection) play(ctx context.Context, lane *stages, name string, sluice *daemon.Program) (caught, error) {
	all := scenarios()
	at := slices.IndexFunc(all, func(s *scenario) bool { return s.name == name })
	if at < 0 {
		return caught{}, fmt.Errorf("there is no scenario %s", name)
	}
	c, err := d.playOn(ctx, lane, all[at], sluice)
	if err != nil && ctx.Err() == nil {
		lane.tell("%s: %v; once more with new brokers", name, err)
		lane.drop(all[at])
		c, err = d.playOn(ctx, lane, all[at], sluice)
	}
	return c, err
}

func (d *detection) playOn(ctx context.Context, lane *stages, s *scenario, sluice *daemon.Program) (caught, error) {
	st, err := lane.of(ctx, s)
	if err != nil {
		return caught{}, err
	}
	d.mu.Lock()
	if d.versions == nil {
		d.versions = st.versions()
	}
	d.mu.Unlock()
	if sluice != nil {
		sound := st.sluice
		defer func() { st.sluice = sound }()
		st.sluice = sluice
	}
	begin := time.Now()
	t, err := s.play(ctx, st, int(d.turn.Add(1)), d.seed, func(string, ...any) {})
	if err != nil {
		return caught{}, err
	}
	checks := map[string]bool{}
	for _, f := range t.log.findings {
		checks[f.Check] = true
	}
	return caught{s.name, slices.Sorted(maps.Keys(checks)), time.Since(begin)}, nil
}

// all tells whether every fault was noticed by every scenario that is to notice it, and nothing else was.
func (d *detection) all() bool {
	for _, m := range d.mutants {
		if slices.ContainsFunc(d.found[m.name], caught.silent) {
			return false
		}
	}
	for _, c := range d.sound {
		if !c.silent() {
			return false
		}
	}
	return true
}

func (c caught) silent() bool { return len(c.checks) == 0 }
