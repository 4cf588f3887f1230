package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// options are the flags.
type options struct {
	short      bool
	load       float64 // times as many messages as is usual
	rounds     int
	tables     []string
	directions []string
	sizes      []int
	profiles   string
	dir        string
	record     bool
	against    string
	noCeilings bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parse() (*options, error) {
	o := &options{}
	flag.BoolVar(&o.short, "short", false, "a small load, one round, no ceilings: for what is lost, doubled or reordered")
	flag.Float64Var(&o.load, "load", 1, "`factor` on the number of messages")
	flag.IntVar(&o.rounds, "runs", 3, "rounds of each setting")
	tables := flag.String("tables", "throughput", "throughput, latency, scale, distance, telemetry; `list`")
	directions := flag.String("directions", "k2j,j2k", "k2j (or batched, stock alone), j2k; `list`")
	sizes := flag.String("sizes", "100,1024,16384", "bytes of a value; `list`")
	flag.StringVar(&o.profiles, "profiles", "", "`directory` for a profile of each process; it costs a little")
	flag.StringVar(&o.dir, "dir", "", "`directory` for the brokers' data; default: the system's temporary one")
	flag.StringVar(&o.against, "against", "", "another build of cmd/sluice, a `file`, that takes part as a row of its own")
	flag.BoolVar(&o.noCeilings, "no-ceilings", false, "leave out what does half of the work only")
	flag.BoolVar(&o.record, "append", false, "append the tables to integration/bench/RESULTS.md")
	flag.Parse()
	if o.short {
		o.noCeilings = true
		o.rounds, o.load = 1, o.load/20
	}
	o.tables, o.directions = strings.Split(*tables, ","), strings.Split(*directions, ",")
	for _, text := range strings.Split(*sizes, ",") {
		size, err := strconv.Atoi(text)
		if err != nil || size < 1 || size > 512<<10 {
			return nil, fmt.Errorf("-sizes: %q is not a size from 1 to 524288", text)
		}
		o.sizes = append(o.sizes, size)
	}
	if err := known("-tables", o.tables, "throughput", "latency", "scale", "distance", "telemetry"); err != nil {
		return nil, err
	}
	if o.rounds < 1 {
		return nil, errors.New("-runs: at least one")
	}
	if o.profiles != "" {
		if err := os.MkdirAll(o.profiles, 0o755); err != nil {
			return nil, err
		}
	}
	return o, known("-directions", o.directions, "k2j", "batched", "stock", "j2k")
}

func known(flag string, given []string, all ...string) error {
	for _, g := range given {
		if !slices.Contains(all, g) {
			return fmt.Errorf("%s: %q is none of %s", flag, g, strings.Join(all, ", "))
		}
	}
	return nil
}

func run(ctx context.Context) (err error) {
	o, err := parse()
	if err != nil {
		return err
	}
	var text strings.Builder
	b, err := open(ctx, o, &text)
	if err != nil {
		return err
	}
	defer b.close()
	text.WriteString(b.heading(ctx))
	faults, err := b.makeTables(ctx)
	fmt.Print(text.String())
	if err == nil && o.record {
		err = appendResults(ctx, text.String())
	}
	if err == nil && faults > 0 {
		err = fmt.Errorf("Sluice lost, doubled or reordered %d messages", faults)
	}
	return err
}

// tables makes what the flags ask for and returns what Sluice did wrong in all of it.
func (b *bench) makeTables(ctx context.Context) (faults int64, err error) {
	var parts []*part
	if slices.Contains(b.tables, "throughput") {
		if parts, err = b.throughput(ctx); err != nil {
			return 0, err
		}
	}
	for _, p := range parts {
		for _, r := range p.rows {
			if r.name == nameSluice {
				faults += r.faults()
			}
		}
	}
	for _, t := range []struct {
		name string
		make func() error
	}{
		{"latency", func() error { return b.latency(ctx, parts) }},
		{"scale", func() error { return b.scale(ctx) }},
		{"distance", func() error { return b.distance(ctx) }},
		{"telemetry", func() error { return b.observed(ctx) }},
	} {
		if slices.Contains(b.tables, t.name) {
			if err := t.make(); err != nil {
				return faults, fmt.Errorf("%s: %w", t.name, err)
			}
		}
	}
	return faults, nil
}
