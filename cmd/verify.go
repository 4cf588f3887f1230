package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-bridge/sluice/bridge"
	"github.com/sluice-bridge/sluice/cmd/config"
	"github.com/sluice-bridge/sluice/cmd/verify"
)

func (a *app) verify() *cobra.Command {
	var given config.Given
	var since string
	var asJSON bool
	c := &cobra.Command{
		Use:   "verify ROUTE -c FILE...",
		Short: "Read both ends of a route again and compare them message by message",
		Long: "Reads both ends of a route again and compares what the source has, up to what is committed, with what\n" +
			"the sink holds of it, by the positions that Sluice-Origin names. Needs no daemon and disturbs none.\n" +
			"Exit code 0 if the ends are equal, 1 if they differ, 3 if an end cannot be read.",
		Example: "  sluice verify orders -c sluice.yaml --since 1h",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := a.load(&given)
			if err != nil {
				return err
			}
			route, err := toCompare(cfg, args[0])
			if err != nil {
				return &ExitError{exitConfig, err}
			}
			from, err := parseSince(since, time.Now())
			if err != nil {
				return exit(exitConfig, "--since: %w", err)
			}
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			report, err := compareRoute(ctx, route, from)
			switch {
			case ctx.Err() != nil:
				return &ExitError{Code: exitSignal + int(syscall.SIGINT)}
			case err != nil:
				return exit(exitEnvironment, "route %s: %w", route.Name, err)
			}
			return a.tell(route, report, asJSON)
		},
	}
	fileFlags(c, &given)
	c.Flags().StringVar(&since, "since", "", "compare only what the source stored since then: so long ago, such as 1h, or a `time` such as 2026-01-31T08:00:00Z")
	c.Flags().BoolVar(&asJSON, "json", false, "everything, as JSON")
	_ = c.MarkFlagRequired("config") // it fails only for a flag that does not exist
	return c
}

// toCompare returns a route whose ends can be compared, or the reason why they cannot.
func toCompare(cfg *config.Config, name string) (*bridge.RouteConfig, error) {
	i := slices.IndexFunc(cfg.Bridge.Routes, func(r bridge.RouteConfig) bool { return r.Name == name })
	if i < 0 {
		var names []string
		for _, r := range cfg.Bridge.Routes {
			names = append(names, r.Name)
		}
		return nil, fmt.Errorf("there is no route %q; the configuration has %s", name, strings.Join(names, ", "))
	}
	return &cfg.Bridge.Routes[i], verify.Check(&cfg.Bridge.Routes[i])
}

// parseSince reads --since; empty: the beginning.
func parseSince(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return now.Add(-d), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t, nil
	}
	return time.Time{}, fmt.Errorf("%q: want so long ago, such as 1h, or a time such as 2026-01-31T08:00:00Z", text)
}

// compareRoute compares what is committed by now.
func compareRoute(ctx context.Context, r *bridge.RouteConfig, since time.Time) (*verify.Report, error) {
	options, err := verify.OptionsFor(ctx, r)
	if err != nil {
		return nil, err
	}
	options.Since = since
	ends, err := verify.Open(ctx, r)
	if err != nil {
		return nil, err
	}
	defer ends.Close(ctx)
	return verify.Compare(ctx, *ends, options)
}

// tell prints what came out and returns the error that chooses the exit code.
func (a *app) tell(r *bridge.RouteConfig, report *verify.Report, asJSON bool) error {
	if asJSON {
		if err := json.NewEncoder(a.stdout).Encode(report); err != nil {
			return &ExitError{exitFailed, err}
		}
	} else {
		report.Print(a.stdout)
		if drops := r.OnReject == bridge.Drop || r.Stale.OlderThan > 0 && !r.Stale.DeadLetter; drops && report.Counts[verify.Lost] > 0 {
			fmt.Fprintln(a.stdout, "  the route drops messages where its configuration says so (on_reject, stale); they count as lost here")
		}
	}
	if !report.Equal {
		return &ExitError{exitFailed, errors.New("the ends of route " + r.Name + " differ")}
	}
	return nil
}
