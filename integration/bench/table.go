package main

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
)

// part is one setting's part of the table.
type part struct {
	*setting
	rows []*row
}

// row is one contender's line.
type row struct {
	*contender
	outcomes []*outcome
}

// throughput measures all settings, the contenders of each in turn.
func (b *bench) throughput(ctx context.Context) ([]*part, error) {
	all := settings(b.options)
	if err := b.fill(ctx, all); err != nil {
		return nil, err
	}
	if err := b.warmUp(ctx, all); err != nil {
		return nil, err
	}
	var parts []*part
	for _, s := range all {
		p := &part{setting: s}
		for _, c := range b.contenders(s) {
			p.rows = append(p.rows, &row{contender: c})
		}
		for round := range b.rounds {
			for _, r := range p.rows {
				o, err := b.measure(ctx, r.contender, s, round)
				if err != nil {
					return parts, err
				}
				r.outcomes = append(r.outcomes, o)
				b.say("%s, round %d: %-28s %s", s, round+1, r.name, o)
			}
		}
		parts = append(parts, p)
		fmt.Fprintln(b.out, p.markdown())
	}
	return parts, nil
}

// warmUp moves the first load of each direction in vain until Kafka gets no cheaper by a tenth: a cold one
// costs two to four times as much, and its compiler is late on a machine that is busy.
func (b *bench) warmUp(ctx context.Context, all []*setting) error {
	if b.short {
		return nil
	}
	for _, toKafka := range []bool{false, true} {
		i := slices.IndexFunc(all, func(s *setting) bool { return s.toKafka == toKafka })
		if i < 0 {
			continue
		}
		least, steady := math.Inf(1), 0
		for n := 0; n < mostWarmUps && steady < 2; n++ {
			o, err := b.measure(ctx, &contender{nameSluice, whole, sluice}, all[i], -1)
			if err != nil {
				return err
			}
			b.say("warm-up: %s: %s", all[i], o)
			if steady++; o.cost.kafka < 0.9*least {
				least, steady = o.cost.kafka, 0
			}
		}
	}
	return nil
}

// mostWarmUps bounds what is moved before anything counts.
const mostWarmUps = 12

func (o *outcome) String() string {
	s := fmt.Sprintf("%7.0f/s  %6.2f µs  kafka %5.2f  nats %5.2f  %4.0f MiB  others %2.0f %%",
		o.rate, o.cost.bridge, o.cost.kafka, o.cost.nats, mib(o), 100*o.cost.others)
	if o.checked {
		s += fmt.Sprintf("  lost %d, doubled %d, reordered %d", o.lost, o.doubled, o.reordered)
	}
	return s
}

func mib(o *outcome) float64 { return float64(o.peak) / (1 << 20) }

// markdown is the part as it stands in RESULTS.md.
func (p *part) markdown() string {
	var s strings.Builder
	fmt.Fprintf(&s, "**%s** (%d messages, %d rounds)\n\n", p.setting, p.messages, len(p.rows[0].outcomes))
	s.WriteString("| | msg/s | × hand | µs | × hand | Kafka / nats µs | MiB | lost / doubled / reordered | others |\n")
	s.WriteString("|---|---|---|---|---|---|---|---|---|\n")
	hand := p.byHand()
	for _, r := range p.rows {
		rate, cpu := "", ""
		if r.half == whole {
			rate = ratio(r, hand, func(o *outcome) float64 { return o.rate })
			cpu = ratio(r, hand, func(o *outcome) float64 { return o.cost.bridge })
		}
		fmt.Fprintf(&s, "| %s | %s | %s | %s | %s | %s / %s | %s | %s | %s |\n", r.name,
			spread(r.outcomes, thousands, func(o *outcome) float64 { return o.rate }), rate,
			spread(r.outcomes, micros, func(o *outcome) float64 { return o.cost.bridge }), cpu,
			micros(middle(r.outcomes, func(o *outcome) float64 { return o.cost.kafka })),
			micros(middle(r.outcomes, func(o *outcome) float64 { return o.cost.nats })),
			spread(r.outcomes, whole0, mib), r.blemishes(),
			percent(middle(r.outcomes, func(o *outcome) float64 { return o.cost.others })))
	}
	return s.String()
}

func (p *part) byHand() *row {
	for _, r := range p.rows {
		if r.name == nameByHand {
			return r
		}
	}
	return nil
}

// blemishes are what all runs did wrong.
func (r *row) blemishes() string {
	var lost, doubled, reordered int64
	for _, o := range r.outcomes {
		if !o.checked {
			return ""
		}
		lost, doubled, reordered = lost+o.lost, doubled+o.doubled, reordered+o.reordered
	}
	return fmt.Sprintf("%d / %d / %d", lost, doubled, reordered)
}

// faults is their sum.
func (r *row) faults() (sum int64) {
	for _, o := range r.outcomes {
		sum += o.lost + o.doubled + o.reordered
	}
	return sum
}

// ratio is the median of a value's ratio to that of by hand in the same round.
func ratio(r, hand *row, value func(*outcome) float64) string {
	if hand == nil || r == hand || len(r.outcomes) != len(hand.outcomes) {
		return ""
	}
	all := make([]float64, len(r.outcomes))
	for i := range all {
		all[i] = value(r.outcomes[i]) / max(value(hand.outcomes[i]), 1e-9)
	}
	return fmt.Sprintf("%.2f", median(all))
}

func middle(runs []*outcome, value func(*outcome) float64) float64 {
	all := make([]float64, len(runs))
	for i, o := range runs {
		all[i] = value(o)
	}
	return median(all)
}

func median(all []float64) float64 {
	all = slices.Sorted(slices.Values(all))
	if len(all) == 0 {
		return 0
	}
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2
}

func spread(runs []*outcome, form func(float64) string, value func(*outcome) float64) string {
	least := value(slices.MinFunc(runs, func(a, b *outcome) int { return cmp.Compare(value(a), value(b)) }))
	most := value(slices.MaxFunc(runs, func(a, b *outcome) int { return cmp.Compare(value(a), value(b)) }))
	return fmt.Sprintf("%s [%s..%s]", form(middle(runs, value)), form(least), form(most))
}

func thousands(v float64) string { return fmt.Sprintf("%.0fk", v/1000) }
func micros(v float64) string    { return fmt.Sprintf("%.2f", v) }
func whole0(v float64) string    { return fmt.Sprintf("%.0f", v) }
func percent(v float64) string   { return fmt.Sprintf("%.0f %%", 100*v) }
