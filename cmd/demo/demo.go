package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/sluice-bridge/sluice/bridge"
	"github.com/sluice-bridge/sluice/cmd"
	"github.com/sluice-bridge/sluice/cmd/config"
	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/telemetry"
)

const (
	minDuration = 7 * time.Second
	maxDuration = 10 * time.Minute // everything is kept in memory
	maxRate     = 20_000
	// patience is how long the brokers in this process may take for anything.
	patience = 10 * time.Second
)

// options are the flags.
type options struct {
	duration time.Duration
	rate     int
	otlp     string
	breaking string
	verbose  bool
}

// Command returns the demo for cmd.Main. The registry has to hold kafka and jetstream.
func Command(registry *connectors.Registry) *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:   "demo",
		Short: "Show it at work: brokers in this process, traffic both ways, forced stalls, a verification",
		Long: "Starts a nats-server and a Kafka inside this process, moves messages both ways between them, forces\n" +
			"two stalls by holding back real connections, and then reads both ends again with other clients and\n" +
			"compares message by message. Needs nothing, leaves nothing behind. Ctrl-C ends early and verifies.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return &cmd.ExitError{Code: 2, Err: err}
			}
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			context.AfterFunc(ctx, stop) // a second signal ends it at once
			return run(ctx, registry, o, c.OutOrStdout())
		},
	}
	c.Flags().DurationVar(&o.duration, "duration", 20*time.Second, "how long the whole takes, 7s to 10m")
	c.Flags().IntVar(&o.rate, "rate", 1500, "messages a second, each way")
	c.Flags().StringVar(&o.otlp, "otlp", "", "`endpoint` to send traces and metrics to, such as http://localhost:4317")
	c.Flags().StringVar(&o.breaking, "break", "", "break one message on its way, for the verification to find: drop, double, swap or alter")
	c.Flags().BoolVar(&o.verbose, "verbose", false, "also print the daemon's log")
	return c
}

func (o *options) check() error {
	switch {
	case o.duration < minDuration || o.duration > maxDuration:
		return fmt.Errorf("--duration is %s; it has to be %s to %s", o.duration, minDuration, maxDuration)
	case o.rate < 1 || o.rate > maxRate:
		return fmt.Errorf("--rate is %d; it has to be 1 to %d", o.rate, maxRate)
	case !slices.Contains([]string{"", breakDrop, breakDouble, breakSwap, breakAlter}, o.breaking):
		return fmt.Errorf("--break is %q; it has to be drop, double, swap or alter", o.breaking)
	}
	return nil
}

// run is the demo from the first broker to the last line. ctx ending ends the traffic early.
func run(ctx context.Context, registry *connectors.Registry, o options, out io.Writer) error {
	if o.breaking != "" {
		var err error
		if registry, err = sabotage(registry, "jetstream", o.breaking); err != nil {
			return &cmd.ExitError{Code: 1, Err: err}
		}
	}
	calm := context.WithoutCancel(ctx)
	b, err := startBrokers(calm)
	if err != nil {
		return &cmd.ExitError{Code: 3, Err: err}
	}
	defer b.stop()
	fmt.Fprintf(out, "nats-server at %s and Kafka at %s, both in this process\n",
		b.natsURL(), strings.Join(b.kafkaAddresses(), ","))
	text := fmt.Sprintf(configuration, strings.Join(b.kafkaAddresses(), ","), b.natsURL(), b.gatedNATS())
	cfg, err := config.Text(registry, "demo", text)
	if err != nil {
		return &cmd.ExitError{Code: 1, Err: err}
	}
	// What the bridge says of itself is no reason not to look.
	late := bridged(ctx, registry, cfg, o, b, out)
	if err := errors.Join(late, compareAll(calm, cfg.Bridge.Routes, out)); err != nil {
		return &cmd.ExitError{Code: 1, Err: err}
	}
	fmt.Fprintln(out, "ok: both ends are the same")
	return nil
}

const configuration = `
connections:
  kafka: {kafka: {brokers: [%q]}}
  nats:  {nats: {servers: [%q]}}
  gated: {nats: {servers: [%q]}}                  # through a proxy that can stop
routes:
  orders:
    source: {kafka: {connection: kafka, topics: orders}}
    sink:   {jetstream: {connection: gated, stream: ORDERS}}
    map:    {subject: "orders.{{ key }}"}
    window: {max_messages: 512, max_bytes: 4MiB, size: static}
  telemetry:
    source: {jetstream: {connection: nats, stream: TELEMETRY}}
    sink:   {kafka: {connection: kafka, topic: telemetry}}
    window: {max_messages: 512, max_bytes: 4MiB, size: static}
`

// bridged runs the bridge, the load and the stalls. It returns when everything that was sent has been
// moved and the bridge has drained.
func bridged(ctx context.Context, registry *connectors.Registry, cfg *config.Config, o options, b *brokers, out io.Writer) error {
	people := zerolog.ConsoleWriter{Out: out, NoColor: true, TimeFormat: time.TimeOnly}
	log := zerolog.New(people).Level(zerolog.ErrorLevel).With().Timestamp().Logger()
	if o.verbose {
		log = log.Level(zerolog.InfoLevel)
	}
	calm := context.WithoutCancel(ctx)
	tel, err := telemetry.New(calm, telemetry.Config{Service: "sluice-demo", Instance: "demo", Endpoint: o.otlp}, log)
	if err != nil {
		return err
	}
	defer func() {
		last, cancel := context.WithTimeout(calm, patience)
		defer cancel()
		if err := tel.Shutdown(last); err != nil {
			fmt.Fprintf(out, "the last telemetry was not taken: %s\n", err)
		}
	}()
	cfg.Bridge.Instance = "demo"
	br, err := bridge.New(cfg.Bridge, log, tel)
	if err != nil {
		return err
	}
	soft, stop := context.WithCancel(calm)
	ended := make(chan error, 1)
	go func() { ended <- br.Run(soft) }()
	s := &stage{options: o, brokers: b, bridge: br, out: out, begin: time.Now(), held: map[string]*holding{}}
	for _, r := range br.Status() {
		cmd.Introduce(out, &r)
	}
	address, unlook, err := cmd.Look(calm, registry, br, tel, log)
	if err != nil {
		fmt.Fprintf(out, "there is no live page: %s\n", err)
	} else {
		fmt.Fprintf(out, "look at it: http://%s, or sluice top --url http://%s\n", address, address)
		defer func() {
			last, cancel := context.WithTimeout(calm, patience)
			defer cancel()
			unlook(last)
		}()
	}
	err = s.play(ctx)
	stop()
	if err = errors.Join(err, <-ended); err == nil {
		fmt.Fprintf(out, "stalls: %s\n", cmp.Or(strings.Join(s.told, "; "), "none, for the traffic ended before the first"))
	}
	return err
}
