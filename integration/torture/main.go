package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

func main() { os.Exit(run()) }

// run returns 0 if nothing was found, 1 if something was, 2 if there was no run.
func run() int {
	name := flag.String("profile", "short", "what to do; see -list")
	seed := flag.Uint64("seed", rand.Uint64N(1_000_000), "chooses the faults and the load")
	out := flag.String("out", ".", "directory for the report")
	keep := flag.Bool("keep", false, "leave the brokers' data and the daemons' logs")
	list := flag.Bool("list", false, "list the profiles and scenarios")
	one := flag.String("scenario", "", "play scenarios whose names contain this instead; all: all of them")
	seeded := flag.String("detect", "", "build daemons with seeded faults whose names contain this, and see them noticed; all: all of them")
	table := flag.String("table", "integration/torture/DETECTION.md", "where -detect writes what was noticed, beside what stands there")
	flag.Parse()
	if *list {
		printList()
		return 0
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var clean bool
	var err error
	switch {
	case *seeded != "":
		clean, err = playMutants(ctx, *seeded, *table, *seed, *keep)
	case *one != "":
		clean, err = playScenarios(ctx, *one, *seed, *keep)
	default:
		clean, err = playProfile(ctx, *name, *seed, *out, *keep)
	}
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "torture:", err)
		return 2
	case !clean:
		return 1
	}
	return 0
}

func printList() {
	for _, p := range profiles() {
		fmt.Printf("%-20s %s, at least %d faults\n", p.name, p.says, p.faults)
	}
	fmt.Println()
	for _, s := range scenarios() {
		fmt.Printf("%-20s %s\n", s.name, s.says)
	}
}

// onStage lends do a stage of n brokers of each kind.
func onStage(ctx context.Context, n int, keep bool, do func(*stage, func(string, ...any)) error) error {
	dir, err := os.MkdirTemp("", "sluice-torture-")
	if err != nil {
		return err
	}
	if keep {
		fmt.Println("data and logs stay in", dir)
	} else {
		defer os.RemoveAll(dir)
	}
	s, err := newStage(ctx, dir, n)
	if err != nil {
		return err
	}
	defer s.close()
	begun := time.Now()
	return do(s, func(format string, args ...any) {
		fmt.Printf("%7.1f s  %s\n", time.Since(begun).Seconds(), fmt.Sprintf(format, args...))
	})
}

// playProfile runs a profile and leaves its report.
func playProfile(ctx context.Context, name string, seed uint64, out string, keep bool) (clean bool, err error) {
	all := profiles()
	at := slices.IndexFunc(all, func(p *profile) bool { return p.name == name })
	if at < 0 {
		return false, fmt.Errorf("there is no profile %q; -list lists them", name)
	}
	p := all[at]
	err = onStage(ctx, p.brokers, keep, func(s *stage, tell func(string, ...any)) error {
		tell("profile %s, seed %d: %s", p.name, seed, p.says)
		r, err := p.run(ctx, s, seed, tell)
		if err != nil {
			return err
		}
		clean = r.Clean
		files, err := r.save(out)
		fmt.Print(r.page())
		fmt.Println(files)
		return err
	})
	return clean, err
}

// onStages lends do the stages that scenarios need.
func onStages(keep bool, do func(*stages) error) error {
	dir, err := os.MkdirTemp("", "sluice-torture-")
	if err != nil {
		return err
	}
	if keep {
		fmt.Println("data and logs stay in", dir)
	} else {
		defer os.RemoveAll(dir)
	}
	begun := time.Now()
	s := &stages{dir: dir, all: map[int]*stage{}, tell: func(format string, args ...any) {
		fmt.Printf("%7.1f s  %s\n", time.Since(begun).Seconds(), fmt.Sprintf(format, args...))
	}}
	defer s.close()
	return do(s)
}

// playScenarios plays those whose name contains part, one after another.
func playScenarios(ctx context.Context, part string, seed uint64, keep bool) (clean bool, err error) {
	clean = true
	err = onStages(keep, func(s *stages) error {
		for i, sc := range scenarios() {
			if part != "all" && !strings.Contains(sc.name, part) {
				continue
			}
			st, err := s.of(ctx, sc)
			if err != nil {
				return err
			}
			begin := time.Now()
			t, err := sc.play(ctx, st, i, seed, s.tell)
			if err != nil {
				return err
			}
			_, hit := t.log.counts()
			s.tell("%-20s %2d findings, %2d faults that hit work, %.0f s", sc.name, len(t.log.findings), hit, time.Since(begin).Seconds())
			clean = clean && len(t.log.findings) == 0
		}
		return nil
	})
	return clean, err
}

// playMutants sees seeded faults noticed.
func playMutants(ctx context.Context, part, table string, seed uint64, keep bool) (clean bool, err error) {
	err = onStages(keep, func(one *stages) error {
		return onStages(keep, func(other *stages) (err error) {
			other.tell = one.tell
			clean, err = detect(ctx, []*stages{one, other}, part, table, seed)
			return err
		})
	})
	return clean, err
}

// batched lets a stream take fast-ingest batches, or not.
func batched(on bool) func(*jetstream.StreamConfig) {
	return func(c *jetstream.StreamConfig) { c.AllowBatchPublish = on }
}
