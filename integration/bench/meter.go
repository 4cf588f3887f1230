package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/sluice-bridge/sluice/integration/brokers"
)

// reading is the processor time used so far.
type reading struct {
	at                  time.Time
	bridge, kafka, nats time.Duration
	harness, machine    time.Duration // this process's, and all of them together
	messages            int64         // at the sink
}

func (b *bench) read(p *brokers.Process, messages int64) (r reading, err error) {
	r = reading{at: time.Now(), messages: messages}
	for process, into := range map[*brokers.Process]*time.Duration{p: &r.bridge, b.kafka.Process: &r.kafka, b.nats.Process: &r.nats} {
		if *into, err = process.CPU(); err != nil {
			return r, err
		}
	}
	own, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return r, err
	}
	r.harness = ticks(strings.Fields(string(own[strings.LastIndexByte(string(own), ')')+1:])), 11, 12)
	all, err := os.ReadFile("/proc/stat")
	if err != nil {
		return r, err
	}
	first, _, _ := strings.Cut(string(all), "\n")
	// cpu user nice system idle iowait irq softirq steal
	r.machine = ticks(strings.Fields(first), 1, 2, 3, 6, 7)
	return r, nil
}

func ticks(fields []string, at ...int) (sum time.Duration) {
	for _, i := range at {
		var n int64
		if i < len(fields) {
			_, _ = fmt.Sscan(fields[i], &n)
		}
		sum += time.Duration(n) * (time.Second / 100)
	}
	return sum
}

// cost is what a message cost between two readings, in microseconds, and the share of the machine that
// others had.
type cost struct{ bridge, kafka, nats, others float64 }

func (r *reading) since(before *reading) cost {
	n := float64(max(1, r.messages-before.messages))
	each := func(now, then time.Duration) float64 { return float64((now - then).Nanoseconds()) / 1e3 / n }
	ours := r.bridge - before.bridge + r.kafka - before.kafka + r.nats - before.nats + r.harness - before.harness
	others := max(0, r.machine-before.machine-ours)
	return cost{
		bridge: each(r.bridge, before.bridge), kafka: each(r.kafka, before.kafka), nats: each(r.nats, before.nats),
		others: float64(others) / float64(r.at.Sub(before.at)) / cores(),
	}
}
