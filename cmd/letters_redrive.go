package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/sluice-bridge/sluice/bridge"
	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/flowcontrol"
)

// redriveFlags are the flags of redrive.
type redriveFlags struct {
	lettersFlags
	limit int64
	rate  string
	yes   bool
}

func (a *app) redriveLetters() *cobra.Command {
	var f redriveFlags
	c := &cobra.Command{
		Use:   "redrive ROUTE -c FILE [--yes]",
		Short: "Write a route's dead letters to its sink, once the cause is mended",
		Long: "Writes a route's dead letters to its sink, as if they had never been refused, behind whatever has passed\n" +
			"since. Without --yes it only says what it would do. It ends at what is there now; the next one goes on behind,\n" +
			"for its position is kept upstream as sluice-ROUTE-redrive. What is refused again is a dead letter anew; what\n" +
			"was redriven three times stays where it is, and the exit code is 1. Letters are never deleted.",
		Args: cobra.ExactArgs(1),
	}
	f.add(c)
	c.Flags().Int64Var(&f.limit, "limit", 0, "redrive at most so many")
	c.Flags().StringVar(&f.rate, "rate", "", "at most so many a time, such as `100/s`")
	c.Flags().BoolVar(&f.yes, "yes", false, "do it")
	c.RunE = func(c *cobra.Command, args []string) error {
		r := &bridge.Redrive{Limit: f.limit}
		var err error
		if r.Rate, err = parseRate(f.rate); err != nil {
			return exit(exitConfig, "--rate: %w", err)
		}
		if f.limit < 0 {
			return exit(exitConfig, "--limit is %d", f.limit)
		}
		ctx, stop := a.interruptible(c.Context())
		defer stop()
		l, err := a.openLetters(ctx, &f.lettersFlags, args[0])
		if err != nil {
			return err
		}
		defer l.close(ctx)
		return a.redrive(ctx, l, r, f.yes)
	}
	return c
}

// parseRate reads letters a second; empty: 0, as fast as it goes.
func parseRate(text string) (float64, error) {
	if text == "" {
		return 0, nil
	}
	number, per, _ := strings.Cut(text, "/")
	n, err := strconv.ParseFloat(number, 64)
	unit := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}[per]
	if err != nil || unit == 0 || n <= 0 || n > 1e9 {
		return 0, fmt.Errorf("%q is not a rate; write a number and what it is for, such as 100/s or 10/m", text)
	}
	return n / unit.Seconds(), nil
}

func (a *app) redrive(ctx context.Context, l *letters, r *bridge.Redrive, yes bool) error {
	name := l.route.Name
	if l.route.DeadLetter.ReadBack == nil {
		return exit(exitConfig, "the dead letters of %s go where they cannot be redriven from", name)
	}
	if len(l.held) == 0 {
		fmt.Fprintf(a.stdout, "there are no dead letters of %s\n", name)
		return nil
	}
	back, from, err := l.readBack(ctx)
	if err != nil {
		return err
	}
	if len(from) == 0 {
		fmt.Fprintf(a.stdout, "no earlier redrive of %s is known upstream: all its letters are to be redriven\n", name)
	}
	if !yes {
		return a.tellRedrive(ctx, l, from, r)
	}
	route := r.Of(*l.route, back)
	b, err := bridge.New(bridge.Config{Routes: []bridge.RouteConfig{route}, Instance: instance()}, a.redriveLog(), nil)
	if err != nil {
		return &ExitError{exitFailed, err}
	}
	return a.report(b, r, name, a.runRedrive(ctx, b))
}

// redriveLog is where a redrive logs: warnings and worse, as everything else is said at the end.
func (a *app) redriveLog() zerolog.Logger {
	return newLogger(a.stderr, zerolog.WarnLevel, true, false)
}

// runRedrive runs until the letters have ended, the route halts, or ctx ends, after which it drains.
func (a *app) runRedrive(ctx context.Context, b *bridge.Bridge) error {
	soft, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- b.Run(soft) }()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case err := <-ended:
			if err == nil {
				err = ctx.Err()
			}
			return err
		case <-ticker.C:
			if s := b.Status()[0]; s.State == flowcontrol.Halted {
				stop()
				if err := <-ended; err != nil {
					return err
				}
				return errors.New(s.Detail)
			}
		}
	}
}

// report says what a redrive has done.
func (a *app) report(b *bridge.Bridge, r *bridge.Redrive, name string, err error) error {
	fmt.Fprintf(a.stdout, "redriven: %s of %s\n", count(int(r.Count(bridge.Redriven)), "dead letter"), name)
	if n := r.Again(); n > 0 {
		fmt.Fprintf(a.stdout, "refused again, now dead letters anew: %s\n", humanize.Comma(n))
	}
	left := r.Count(bridge.TooOften) + r.Count(bridge.Undecoded)
	tellLeft(a.stdout, r.Count)
	switch {
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(a.stdout, "interrupted: the next redrive goes on there")
		return &ExitError{Code: exitFailed}
	case err != nil:
		return exit(exitFailed, "the redrive of %s stopped: %w\n  → when that is mended, redrive again: it goes on there", name, err)
	case len(b.Left()) > 0:
		return exit(exitFailed, "%d letters are not committed and will be redriven again", b.Left()[0].Messages)
	case left+r.Again() > 0:
		return &ExitError{Code: exitFailed}
	}
	return nil
}

// tellLeft says what stays where it is.
func tellLeft(out io.Writer, of func(bridge.Fate) int64) {
	for _, one := range []struct {
		fate bridge.Fate
		what string
	}{
		{bridge.TooOften, "left where they are, redriven three times already"},
		{bridge.Undecoded, "left where they are, for the source could not decode them"},
		{bridge.Others, "passed over, of other routes"},
		{bridge.NoLetter, "passed over, no dead letters"},
		{bridge.Filtered, "not written, for the route's filter does not let them pass by now"},
	} {
		if n := of(one.fate); n > 0 {
			fmt.Fprintf(out, "%s: %s\n", one.what, humanize.Comma(n))
		}
	}
}

// tellRedrive says what a redrive would do. It changes nothing.
func (a *app) tellRedrive(ctx context.Context, l *letters, from map[string]int64, r *bridge.Redrive) error {
	var fates [bridge.Filtered + 1]int64
	causes := map[string]int{}
	eval := l.route.Transform.Evaluator()
	err := l.read(ctx, from, func(_ string, m *connectors.Message) error {
		letter, fate := bridge.FateOf(l.route.Name, m)
		if fate == bridge.Redriven {
			if r.Limit > 0 && fates[bridge.Redriven]+fates[bridge.Filtered] == r.Limit {
				return nil
			}
			passes, err := eval.Passes(&connectors.Batch{Partition: letter.Partition, Origin: letter.Origin}, &letter.Message)
			if err == nil && !passes {
				fate = bridge.Filtered
			}
		}
		fates[fate]++
		if fate == bridge.Redriven && len(causes) < maxCauses {
			causes[letter.Cause()]++
		}
		return nil
	})
	if err != nil {
		return err
	}
	n := fates[bridge.Redriven]
	text := fmt.Sprintf("would redrive %s of %s to %s", count(int(n), "dead letter"), l.route.Name, l.route.SinkName)
	if r.Rate > 0 && n > 0 {
		text += fmt.Sprintf(", in about %s", time.Duration(float64(n)/r.Rate*float64(time.Second)).Round(time.Second))
	}
	fmt.Fprintln(a.stdout, text)
	for _, cause := range countsOf(causes) {
		fmt.Fprintf(a.stdout, "  %s  %s\n", humanize.Comma(int64(cause.Count)), plain(cause.Cause))
	}
	tellLeft(a.stdout, func(f bridge.Fate) int64 { return fates[f] })
	fmt.Fprintln(a.stdout, "nothing was written; --yes does it")
	return nil
}

// readBack returns the source of a redrive and how far earlier ones came; nil if there is none.
func (l *letters) readBack(ctx context.Context) (*connectors.SourceSpec, map[string]int64, error) {
	if l.route.DeadLetter.ReadBack == nil || len(l.held) == 0 {
		return nil, nil, nil
	}
	back, err := l.route.DeadLetter.ReadBack("sluice-"+l.route.Name+"-redrive", l.held)
	if err != nil {
		return nil, nil, &ExitError{exitConfig, err}
	}
	from := map[string]int64{}
	if back.Positions == nil {
		return back, from, nil
	}
	p, err := back.Positions(ctx, l.env)
	if err != nil {
		return nil, nil, &ExitError{exitEnvironment, err}
	}
	defer func() { _ = p.Close(context.WithoutCancel(ctx)) }() // it was only read
	all, err := p.Committed(ctx)
	if err != nil {
		return nil, nil, exit(exitEnvironment, "how far the dead letters of %s are redriven: %w", l.route.Name, err)
	}
	for _, one := range all {
		if one.Known {
			from[one.Partition] = one.Next
		}
	}
	return back, from, nil
}
