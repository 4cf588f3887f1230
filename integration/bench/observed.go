package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// receiver takes telemetry over OTLP/HTTP and forgets it. One that hangs does not even answer.
func receiver(hangs bool) (endpoint string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, 16<<20)) // what cannot be read is forgotten too
			if hangs {
				<-r.Context().Done()
			}
		}),
	}
	go func() { _ = server.Serve(l) }()
	return "http://" + l.Addr().String(), func() { _ = server.Close() }, nil
}

// observed measures what telemetry costs, in turns with a Sluice that sends none: with messages of nobody's trace,
// and with all of sampled ones; these also while the collector hangs or is not there.
func (b *bench) observed(ctx context.Context) error {
	takes, stop, err := receiver(false)
	if err != nil {
		return err
	}
	defer stop()
	hangs, end, err := receiver(true)
	if err != nil {
		return err
	}
	defer end()
	to := func(name, endpoint string) *contender {
		return &contender{name, whole, func(b *bench, r *trial) (string, []string, error) {
			r.telemetry = endpoint
			return sluice(b, r)
		}}
	}
	var t strings.Builder
	t.WriteString("**Telemetry**: Kafka → JetStream, stock stream, 100 B; over is the median of the rounds' ratios to none in the same round\n\n" +
		"| messages | telemetry | msg/s | µs | over none | MiB | lost / doubled / reordered | others |\n|---|---|---|---|---|---|---|---|\n")
	for _, traced := range []bool{false, true} {
		s := newSetting(false, false, 100, b.loadOf(100))
		s.traced = traced
		if err := b.fill(ctx, []*setting{s}); err != nil {
			return err
		}
		if err := b.warmUp(ctx, []*setting{s}); err != nil {
			return err
		}
		none := &row{contender: &contender{"none", whole, sluice}}
		rows := []*row{none, {contender: to("traces and metrics by OTLP", takes)}}
		if traced {
			rows = append(rows, &row{contender: to("to a collector that hangs", hangs)},
				&row{contender: to("to one that is not there", "http://127.0.0.1:1")})
		}
		for round := range b.rounds {
			for _, r := range rows {
				o, err := b.measure(ctx, r.contender, s, round)
				if err != nil {
					return err
				}
				b.say("telemetry, traced %t, round %d: %-28s %s", traced, round+1, r.name, o)
				r.outcomes = append(r.outcomes, o)
			}
		}
		messages := map[bool]string{false: "of no trace", true: "all of sampled traces"}[traced]
		for _, r := range rows {
			fmt.Fprintf(&t, "| %s | %s | %s | %s | %s | %s | %s | %s |\n", messages, r.name,
				spread(r.outcomes, thousands, func(o *outcome) float64 { return o.rate }),
				spread(r.outcomes, micros, func(o *outcome) float64 { return o.cost.bridge }),
				ratio(r, none, func(o *outcome) float64 { return o.cost.bridge }), spread(r.outcomes, whole0, mib), r.blemishes(),
				percent(middle(r.outcomes, func(o *outcome) float64 { return o.cost.others })))
		}
	}
	fmt.Fprintln(b.out, t.String())
	return nil
}
