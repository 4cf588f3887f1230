package cmd

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-bridge/sluice/cmd/config"
	"github.com/sluice-bridge/sluice/cmd/doctor"
)

// checkTimeout is how long a check may take: a broker that is busy answers within it.
const checkTimeout = 10 * time.Second

// doctorFlags are the flags of doctor.
type doctorFlags struct {
	given   config.Given
	only    string
	timeout time.Duration
	asJSON  bool
}

// doctorAnswer is the answer as JSON.
type doctorAnswer struct {
	Command  string          `json:"command"`
	OK       bool            `json:"ok"` // nothing has failed
	Summary  doctor.Summary  `json:"summary"`
	Results  []doctor.Result `json:"results"`
	Findings config.Findings `json:"findings,omitempty"` // of the configuration; then nothing was connected
}

func (a *app) doctor() *cobra.Command {
	var f doctorFlags
	c := &cobra.Command{
		Use:   "doctor (-c FILE... | --from URL --to URL)",
		Short: "Ask both ends of every route why it would not move, and what to type",
		Long: "Walks the whole chain of every route in its order: configuration, secrets, names, ports, login, every\n" +
			"advertised broker, topic, group, stream, subject, durable, rights, limits, clocks, and this machine. The\n" +
			"first failure of a chain explains itself; what depends on it is skipped. Writes nothing and takes nobody's\n" +
			"place, so that a daemon may run meanwhile. Exit code 0 if nothing has failed, warnings or not.",
		Example: "  sluice doctor -c sluice.yaml\n" +
			"  sluice doctor -c sluice.yaml --check kafka.advertised",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.examine(c.Context(), &f) },
	}
	routeFlags(c, &f.given)
	c.MarkFlagsOneRequired("config", "from")
	flags := c.Flags()
	flags.StringVar(&f.only, "check", "", "only the check of this `name`, such as kafka.advertised, or of a kind, such as kafka; and what it depends on")
	flags.DurationVar(&f.timeout, "timeout", checkTimeout, "`time` that each check may take")
	flags.BoolVar(&f.asJSON, "json", false, "all results as JSON")
	return c
}

// examine loads the configuration and asks.
func (a *app) examine(ctx context.Context, f *doctorFlags) error {
	if f.timeout <= 0 {
		return exit(exitConfig, "--timeout has to be more than zero")
	}
	cfg, err := config.Read(a.registry, a.env, f.given)
	var findings config.Findings
	switch {
	case errors.As(err, &findings) && f.asJSON:
		if err := a.answer(&doctorAnswer{Findings: findings}); err != nil {
			return err
		}
		return exit(exitConfig, "%s; nothing was connected", count(len(findings), "finding"))
	case errors.As(err, &findings):
		findings.Print(a.stdout)
		return exit(exitConfig, "%s; nothing was connected", count(len(findings), "finding"))
	case err != nil:
		return &ExitError{exitConfig, err}
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	answer := doctorAnswer{Results: []doctor.Result{}}
	print := doctor.Printer{W: a.stdout}
	w := &doctor.Walk{Only: f.only, Timeout: f.timeout, Tell: func(r doctor.Result) {
		if f.asJSON {
			answer.Results = append(answer.Results, r)
		} else {
			print.Tell(r)
		}
	}}
	if err := a.walk(ctx, w, cfg, cmp.Or(strings.Join(f.given.Files, ", "), "command line")); err != nil {
		return err
	}
	if codes := w.Unknown(); codes != nil {
		return exit(exitConfig, "--check: no check is called %q; there is %s", f.only, strings.Join(codes, ", "))
	}
	answer.Summary, answer.OK = w.Summary, w.Summary.Failed == 0
	if f.asJSON {
		if err := a.answer(&answer); err != nil {
			return err
		}
	} else {
		print.End()
		fmt.Fprintf(a.stdout, "Summary: %s\n", w.Summary)
	}
	if !answer.OK {
		return &ExitError{Code: exitEnvironment}
	}
	return nil
}

// walk asks about the configuration's files, every end, and this machine.
func (a *app) walk(ctx context.Context, w *doctor.Walk, cfg *config.Config, files string) error {
	m := &machine{app: a, cfg: cfg}
	w.Chain(ctx, doctor.Place{End: files}, m.fileChecks())
	if err := w.Routes(ctx, cfg); err != nil {
		return &ExitError{exitFailed, err}
	}
	w.Chain(ctx, doctor.Place{End: "this machine"}, m.checks())
	if ctx.Err() != nil {
		return &ExitError{Code: exitSignal + int(syscall.SIGINT)}
	}
	return nil
}

func (a *app) answer(answer *doctorAnswer) error {
	answer.Command = "doctor"
	if err := json.NewEncoder(a.stdout).Encode(answer); err != nil {
		return &ExitError{exitFailed, err}
	}
	return nil
}
