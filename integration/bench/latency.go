package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sluice-bridge/sluice/integration/brokers"
	"github.com/sluice-bridge/sluice/integration/truth"
)

const (
	// oneByOne messages go alone, each when the one before has arrived; the first tenth is not counted.
	oneByOne = 2000
	// loaded is how long messages are sent at half of the maximum rate; the first tenth is not counted.
	loaded = 8 * time.Second
)

// journey follows the messages of one run from before they are handed to the source's client until a
// client of the sink has them.
type journey struct {
	sent, got []atomic.Int64 // Unix nanoseconds, by message; 0: not yet
	count     atomic.Int64   // arrived
	arrived   chan int64     // capacity 1: the latest
}

func newJourney(messages int64) *journey {
	return &journey{sent: make([]atomic.Int64, messages), got: make([]atomic.Int64, messages), arrived: make(chan int64, 1)}
}

// arrive is called by the sink's client for each message.
func (j *journey) arrive(n int64) {
	if n < 0 || n >= int64(len(j.got)) || !j.got[n].CompareAndSwap(0, time.Now().UnixNano()) {
		return
	}
	j.count.Add(1)
	select {
	case j.arrived <- n:
	default:
	}
}

// times returns how long each message took, without the first tenth, in ascending order.
func (j *journey) times() []time.Duration {
	var all []time.Duration
	for n := len(j.got) / 10; n < len(j.got); n++ {
		if got := j.got[n].Load(); got > 0 {
			all = append(all, time.Duration(got-j.sent[n].Load()))
		}
	}
	slices.Sort(all)
	return all
}

// quantiles are p50, p99 and p99.9.
func quantiles(sorted []time.Duration) (q [3]time.Duration) {
	for i, p := range []float64{0.5, 0.99, 0.999} {
		if len(sorted) > 0 {
			q[i] = sorted[min(len(sorted)-1, int(p*float64(len(sorted))))]
		}
	}
	return q
}

// slow is one contender's line of a latency table: the quantiles of each round, alone and under load.
type slow struct {
	*contender
	alone, under [][3]time.Duration
}

// latency measures B7 for both kinds of stream and both directions, with the first of the sizes.
func (b *bench) latency(ctx context.Context, parts []*part) error {
	for _, s := range settings(b.options) {
		if s.size != b.sizes[0] {
			continue
		}
		rate, err := b.handRate(ctx, s, parts)
		if err != nil {
			return err
		}
		rows := []*slow{{contender: &contender{nameSluice, whole, sluice}}, {contender: &contender{nameByHand, whole, byHand}}}
		if s.toKafka {
			rows = append(rows, &slow{contender: &contender{"by hand, linger 0", whole, byHandAtOnce}})
		}
		for range b.rounds {
			for _, r := range rows {
				if err := b.travel(ctx, s, r, rate/2); err != nil {
					return fmt.Errorf("%s, %s: %w", s, r.name, err)
				}
				b.say("%s: %-20s alone %v, under load %v", s, r.name, r.alone[len(r.alone)-1], r.under[len(r.under)-1])
			}
		}
		fmt.Fprintln(b.out, latencyTable(s, rows, rate/2))
	}
	return nil
}

func byHandAtOnce(b *bench, r *trial) (program string, args []string, err error) {
	program, args, err = byHand(b, r)
	return program, append(args, "-linger", "0"), err
}

// handRate is what by hand moves at most.
func (b *bench) handRate(ctx context.Context, s *setting, parts []*part) (float64, error) {
	for _, p := range parts {
		if p.size == s.size && p.toKafka == s.toKafka && p.batched == s.batched {
			return middle(p.byHand().outcomes, func(o *outcome) float64 { return o.rate }), nil
		}
	}
	if err := b.fill(ctx, []*setting{s}); err != nil {
		return 0, err
	}
	o, err := b.measure(ctx, &contender{nameByHand, whole, byHand}, s, -1)
	if err != nil {
		return 0, err
	}
	b.say("%s: by hand moves %.0f/s", s, o.rate)
	return o.rate, nil
}

// travel runs a contender once between a source and a sink that are empty.
func (b *bench) travel(ctx context.Context, s *setting, row *slow, rate float64) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	r := b.newTrial(s, row.contender, len(row.alone))
	topic, stream := "far-"+r.name, "FAR"+strings.ToUpper(r.name)
	r.topic, r.stream = topic, stream
	messages := int64(oneByOne) + int64(rate*loaded.Seconds())
	if err := (truth.Topic{Addr: b.kafka.Addr, Name: topic}).Create(ctx, 4, nil); err != nil {
		return err
	}
	defer func() { _ = (truth.Topic{Addr: b.kafka.Addr, Name: topic}).Delete(context.WithoutCancel(ctx)) }()
	ends, err := b.openEnds(ctx, s, r)
	if err != nil {
		return err
	}
	defer ends.close()
	p, err := b.start(row.contender, r)
	if err != nil {
		return err
	}
	defer func() { _ = p.Kill() }()
	alone, under := newJourney(oneByOne), newJourney(messages-oneByOne)
	if err := ends.observe(ctx, func(n int64) {
		if n < oneByOne {
			alone.arrive(n)
		} else {
			under.arrive(n - oneByOne)
		}
	}); err != nil {
		return err
	}
	if err := sendAlone(ctx, ends, alone, p); err != nil {
		return err
	}
	if err := sendLoad(ctx, ends, under, rate, p); err != nil {
		return err
	}
	row.alone = append(row.alone, quantiles(alone.times()))
	row.under = append(row.under, quantiles(under.times()))
	return p.Stop(goodbye)
}

// sendAlone sends each message when the one before has arrived.
func sendAlone(ctx context.Context, e *ends, j *journey, p *brokers.Process) error {
	for n := range int64(len(j.sent)) {
		j.sent[n].Store(time.Now().UnixNano())
		if err := e.send(ctx, n, true); err != nil {
			return err
		}
		for j.got[n].Load() == 0 {
			select {
			case <-j.arrived:
			case <-p.Exited():
				return fmt.Errorf("the process ended: %s", p.Tail(20))
			case <-ctx.Done():
				return fmt.Errorf("message %d did not arrive: %w", n, ctx.Err())
			}
		}
	}
	return nil
}

// sendLoad sends at a rate and waits until all have arrived.
func sendLoad(ctx context.Context, e *ends, j *journey, rate float64, p *brokers.Process) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	begin := time.Now()
	for n := 0; n < len(j.sent); {
		for due := int(time.Since(begin).Seconds() * rate); n < min(due, len(j.sent)); n++ {
			j.sent[n].Store(time.Now().UnixNano())
			if err := e.send(ctx, oneByOne+int64(n), false); err != nil {
				return err
			}
		}
		<-tick.C
	}
	for j.count.Load() < int64(len(j.sent)) {
		select {
		case <-tick.C:
		case <-p.Exited():
			return fmt.Errorf("the process ended: %s", p.Tail(20))
		case <-ctx.Done():
			return fmt.Errorf("%d of %d messages arrived: %w", j.count.Load(), len(j.sent), ctx.Err())
		}
	}
	return nil
}

func latencyTable(s *setting, rows []*slow, rate float64) string {
	var t strings.Builder
	fmt.Fprintf(&t, "**Latency, %s**: p50 / p99 / p99.9 in ms, from before the source's client has it to the sink's client\n\n", s)
	fmt.Fprintf(&t, "| | one at a time | × hand, p50 / p99 | at %.0fk/s | × hand, p50 / p99 |\n|---|---|---|---|---|\n", rate/1000)
	hand := rows[1]
	for _, r := range rows {
		fmt.Fprintf(&t, "| %s | %s | %s | %s | %s |\n", r.name,
			inMilliseconds(r.alone), against(r.alone, hand.alone), inMilliseconds(r.under), against(r.under, hand.under))
	}
	return t.String()
}

func inMilliseconds(rounds [][3]time.Duration) string {
	var parts []string
	for q := range 3 {
		var all []float64
		for _, r := range rounds {
			all = append(all, r[q].Seconds()*1000)
		}
		parts = append(parts, fmt.Sprintf("%.2f [%.2f..%.2f]", median(all), slices.Min(all), slices.Max(all)))
	}
	return strings.Join(parts, " / ")
}

func against(rounds, hand [][3]time.Duration) string {
	var parts []string
	for q := range 2 {
		var all []float64
		for i := range rounds {
			all = append(all, rounds[i][q].Seconds()/max(hand[i][q].Seconds(), 1e-9))
		}
		parts = append(parts, fmt.Sprintf("%.2f", median(all)))
	}
	return strings.Join(parts, " / ")
}
