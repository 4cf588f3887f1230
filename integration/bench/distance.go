package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/sluice-bridge/sluice/integration/proxy"
)

// lineRate is what a line carries, bits a second each way.
const lineRate = 1_000_000_000

// far is one line of the table of distances.
type far struct {
	toKafka   bool
	sourceFar bool // else the sink is
	lanes     int32
	window    int
	trip      time.Duration // round trip
}

func fars() []far {
	const near, away = 20 * time.Millisecond, 80 * time.Millisecond
	return []far{
		// Without a distance: S of the formula.
		{lanes: 1, window: 16384}, {lanes: 4, window: 16384}, {toKafka: true, lanes: 1, window: 16384},
		{lanes: 1, window: 8192, trip: near}, {lanes: 1, window: 16384, trip: near}, {lanes: 1, window: 65536, trip: near},
		{lanes: 4, window: 8192, trip: near}, {lanes: 4, window: 16384, trip: near}, {lanes: 4, window: 16384, trip: away},
		{lanes: 4, window: 65536, trip: away}, {lanes: 4, window: 16384, trip: near, sourceFar: true},
		{toKafka: true, lanes: 1, window: 8192, trip: near}, {toKafka: true, lanes: 1, window: 16384, trip: near},
		{toKafka: true, lanes: 1, window: 65536, trip: near}, {toKafka: true, lanes: 1, window: 65536, trip: away},
		{toKafka: true, lanes: 1, window: 16384, trip: near, sourceFar: true},
	}
}

// distance measures what a route moves over lines of 20 and 80 ms.
func (b *bench) distance(ctx context.Context) error {
	local := map[string]float64{} // by direction and lanes
	var t strings.Builder
	t.WriteString("**Distance**: a line of 1 Gbit/s, 100 B; the formula is (W/2) / (RTT + (W/2)/S), for one lane and a far sink\n\n" +
		"| | lanes | window | RTT | far | msg/s | × local | formula | of it | MiB | lost / doubled / reordered |\n|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, f := range fars() {
		r := &row{contender: &contender{nameSluice, whole, nil}}
		for range b.rounds {
			o, err := b.measureFar(ctx, &f)
			if err != nil {
				return fmt.Errorf("%+v: %w", f, err)
			}
			b.say("%+v: %s", f, o)
			r.outcomes = append(r.outcomes, o)
		}
		t.WriteString(f.line(r, local))
	}
	fmt.Fprintln(b.out, t.String())
	return nil
}

// measureFar runs Sluice once with a line between it and one side.
func (b *bench) measureFar(ctx context.Context, f *far) (*outcome, error) {
	s := newSetting(f.toKafka, true, 100, b.loadOf(100)/2)
	s.lanes = f.lanes
	if err := b.fill(ctx, []*setting{s}); err != nil {
		return nil, err
	}
	kafka, nats := b.kafka.Addr, b.address()
	if f.trip > 0 {
		listen, target, through := "127.0.0.1:0", nats, &nats
		if f.toKafka != f.sourceFar {
			listen, target, through = b.kafka.Proxied[0].Listen, b.kafka.Proxied[0].Target, &kafka
		}
		line, err := proxy.NewLine(listen, target, f.trip, lineRate)
		if err != nil {
			return nil, err
		}
		defer line.Close()
		*through = line.Addr
	}
	c := &contender{nameSluice, whole, func(b *bench, r *trial) (string, []string, error) {
		r.kafka, r.nats, r.window = kafka, nats, f.window
		return sluice(b, r)
	}}
	return b.measure(ctx, c, s, 0)
}

// line formats the figures. local keeps what was measured without a distance.
func (f *far) line(r *row, local map[string]float64) string {
	rate := middle(r.outcomes, func(o *outcome) float64 { return o.rate })
	direction, side := "Kafka → JetStream", "sink"
	if f.toKafka {
		direction = "JetStream → Kafka"
	}
	if f.sourceFar {
		side = "source"
	}
	key := fmt.Sprint(direction, f.lanes)
	if f.trip == 0 {
		local[key], side = rate, ""
	}
	formula, of := "", ""
	if f.trip > 0 && f.lanes == 1 && !f.sourceFar {
		half := float64(f.window) / 2
		want := half / (f.trip.Seconds() + half/local[key])
		formula, of = thousands(want), fmt.Sprintf("%.2f", rate/want)
	}
	return fmt.Sprintf("| %s | %d | %d | %v | %s | %s | %.2f | %s | %s | %.0f | %s |\n", direction, f.lanes, f.window, f.trip, side,
		spread(r.outcomes, thousands, func(o *outcome) float64 { return o.rate }), rate/max(local[key], 1), formula, of,
		middle(r.outcomes, mib), r.blemishes())
}
