package cmd

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sluice-bridge/sluice/cmd/config"
)

func (a *app) config() *cobra.Command {
	c := &cobra.Command{Use: "config", Short: "What a configuration comes to"}
	c.AddCommand(a.configShow())
	return c
}

func (a *app) configShow() *cobra.Command {
	var given config.Given
	c := &cobra.Command{
		Use:   "show (-c FILE... | --from URL --to URL)",
		Short: "Print a configuration as one file: included files, defaults and flags put together, secrets hidden",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if len(given.Files) == 0 && given.Pair.From == "" {
				return exit(exitConfig, "there is nothing to show: give -c FILE, or --from URL --to URL")
			}
			cfg, err := a.load(&given)
			if err != nil {
				return err
			}
			fmt.Fprint(a.stdout, cfg.Merged)
			return nil
		},
	}
	routeFlags(c, &given)
	return c
}
