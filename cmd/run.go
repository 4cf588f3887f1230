package cmd

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sluice-bridge/sluice/cmd/config"
	"github.com/sluice-bridge/sluice/connectors"
)

// runFlags are the flags of run. What is empty is left to the file.
type runFlags struct {
	given       config.Given
	dryRun      bool
	admin       string
	logLevel    string
	logFormat   string
	memoryLimit string
	watch       bool
}

func (a *app) run() *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:   "run (-c FILE... | --from URL --to URL)",
		Short: "Run the routes of a configuration until a signal",
		Example: "  sluice run -c sluice.yaml\n" +
			"  sluice run --from kafka://localhost:9092/orders --to jetstream://localhost:4222/ORDERS",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := a.configure(&f)
			if err != nil {
				return err
			}
			limit, err := memoryLimit(f.memoryLimit)
			if err != nil {
				return &ExitError{exitConfig, err}
			}
			if f.dryRun {
				if err := printPlan(a.stdout, cfg); err != nil {
					return &ExitError{exitConfig, err}
				}
				return nil
			}
			return a.daemon(c.Context(), cfg, &f, limit)
		},
	}
	flags := c.Flags()
	routeFlags(c, &f.given)
	flags.BoolVar(&f.dryRun, "dry-run", false, "check everything and print the plan; connect to nothing")
	flags.BoolVar(&f.watch, "watch", false, "reload when a file of the configuration changes; SIGHUP and sluice reload do so in any case")
	flags.StringVar(&f.admin, "admin", "", "`address` of the admin listener, or off; default "+config.DefaultListen)
	flags.StringVar(&f.logLevel, "log-level", "", "trace, debug, info, warn or error")
	flags.StringVar(&f.logFormat, "log-format", "", "auto, console or json")
	flags.StringVar(&f.memoryLimit, "memory-limit", "", "`size` the process may take where no cgroup says so, such as 512MiB")
	return c
}

// routeFlags let a command be given files, or one route by two URLs.
func routeFlags(c *cobra.Command, g *config.Given) {
	fileFlags(c, g)
	flags, pair := c.Flags(), &g.Pair
	flags.StringVar(&pair.From, "from", "", "source `URL`, such as kafka://localhost:9092/orders")
	flags.StringVar(&pair.To, "to", "", "sink `URL`, such as jetstream://localhost:4222/ORDERS")
	flags.StringVar(&pair.Name, "route", "", "`name` of the route of --from and --to; default: after the source")
	flags.StringSliceVar(&pair.AcceptLoss, "accept-loss", nil, "`losses` that the route of --from and --to accepts, such as core_source")
	c.MarkFlagsMutuallyExclusive("config", "from")
	c.MarkFlagsMutuallyExclusive("config", "to")
	c.MarkFlagsRequiredTogether("from", "to")
}

// fileFlags let a command be given files, and values over what they say.
func fileFlags(c *cobra.Command, g *config.Given) {
	c.Flags().StringArrayVarP(&g.Files, "config", "c", nil, "configuration `file`; may be given several times")
	c.Flags().StringArrayVar(&g.Set, "set", nil, "a `path=value` over what the files say, such as routes.orders.window.max_messages=4096; may be given several times")
}

// configure reads the configuration that the flags name and puts the flags over it. It prints what is wrong.
func (a *app) configure(f *runFlags) (*config.Config, error) {
	switch {
	case len(f.given.Files) == 0 && f.given.Pair.From == "":
		return nil, exit(exitConfig, "there is nothing to run: give -c FILE, or --from URL --to URL")
	case f.watch && len(f.given.Files) == 0:
		return nil, exit(exitConfig, "--watch watches files: give -c FILE")
	}
	return a.printed(a.read(f))
}

// read reads the configuration that the flags name and puts the flags over it; as config.Read.
func (a *app) read(f *runFlags) (*config.Config, error) {
	cfg, err := config.Read(a.registry, a.env, f.given)
	if err != nil {
		return cfg, err
	}
	cfg.Admin.Listen = cmp.Or(f.admin, cfg.Admin.Listen)
	cfg.Log.Level = cmp.Or(f.logLevel, cfg.Log.Level)
	cfg.Log.Format = cmp.Or(f.logFormat, cfg.Log.Format)
	if _, err := parseLevel(cfg.Log.Level); err != nil {
		return nil, exit(exitConfig, "--log-level: %w", err)
	}
	if err := checkFormat(cfg.Log.Format); err != nil {
		return nil, exit(exitConfig, "--log-format: %w", err)
	}
	return cfg, nil
}

// load reads a configuration and prints what is wrong with it.
func (a *app) load(g *config.Given) (*config.Config, error) {
	return a.printed(config.Read(a.registry, a.env, *g))
}

// printed prints findings. The error has the exit code that fits.
func (a *app) printed(cfg *config.Config, err error) (*config.Config, error) {
	var findings config.Findings
	var chosen *ExitError
	switch {
	case errors.As(err, &findings):
		findings.Print(a.stderr)
		return nil, exit(exitConfig, "%s; nothing was connected", count(len(findings), "finding"))
	case errors.As(err, &chosen):
		return nil, err
	case err != nil:
		return nil, &ExitError{exitConfig, err}
	}
	return cfg, nil
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// memoryLimit reads --memory-limit; empty: the default.
func memoryLimit(text string) (connectors.Size, error) {
	limit := connectors.Size(defaultMemoryLimit)
	if text == "" {
		return limit, nil
	}
	if err := limit.UnmarshalText([]byte(text)); err != nil {
		return 0, fmt.Errorf("--memory-limit: %w", err)
	}
	if limit < minMemoryLimit {
		return 0, fmt.Errorf("--memory-limit: %s is less than %s, what the process needs by itself", limit, connectors.Size(minMemoryLimit))
	}
	return limit, nil
}
