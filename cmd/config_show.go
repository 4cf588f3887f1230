package cmd

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sluice-bridge/sluice/cmd/config"
)

func (a *app) config() *cobra.Command {
	c := &cobra.Command{Use: "config", Short: "What a configuration comes to"}
	c.AddCommand(a.configShow(), a.configSchema(), a.configReference())
	return c
}

func (a *app) configSchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema (draft-07) of a configuration, with the connectors of this build",
		Long: "Prints the JSON Schema (draft-07) of a configuration, with the connectors of this build. Editors that speak\n" +
			"yaml-language-server complete and check by it where a file begins with\n" +
			"# yaml-language-server: $schema=sluice.schema.json",
		Example: "  sluice config schema > sluice.schema.json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			d, err := a.describe()
			if err != nil {
				return err
			}
			text, err := d.Schema()
			if err != nil {
				return &ExitError{exitFailed, err}
			}
			_, err = a.stdout.Write(text)
			return err
		},
	}
}

func (a *app) configReference() *cobra.Command {
	return &cobra.Command{
		Use:   "reference",
		Short: "Print every key of a configuration, with the connectors of this build, in Markdown",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			d, err := a.describe()
			if err != nil {
				return err
			}
			fmt.Fprint(a.stdout, d.Reference())
			return nil
		},
	}
}

func (a *app) describe() (*config.Description, error) {
	comments, err := config.Comments()
	if err != nil {
		return nil, &ExitError{exitFailed, err}
	}
	return config.Describe(a.registry, comments), nil
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
