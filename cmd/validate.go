package cmd

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sluice-bridge/sluice/cmd/config"
)

func (a *app) validate() *cobra.Command {
	var given config.Given
	var asJSON, connect bool
	c := &cobra.Command{
		Use:     "validate FILE...",
		Aliases: []string{"lint", "check"},
		Short:   "Check a configuration and report every finding; connects to nothing",
		Long: "Checks a configuration and reports every finding with its place and the way out. Connects to nothing.\nSeveral files are read as one, as run -c FILE -c FILE does. Exit code 2 if there are findings.\n" +
			"With --connect, where there are none, it goes on as doctor does.",
		RunE: func(c *cobra.Command, args []string) error {
			given.Files = append(given.Files, args...)
			if len(given.Files) == 0 {
				return exit(exitConfig, "name the files to check")
			}
			if connect {
				return a.examine(c.Context(), &doctorFlags{given: given, timeout: checkTimeout, asJSON: asJSON})
			}
			cfg, err := config.Read(a.registry, a.env, given)
			var findings config.Findings
			if err != nil && !errors.As(err, &findings) {
				return &ExitError{exitConfig, err}
			}
			return a.verdict(cfg, findings, asJSON)
		},
	}
	fileFlags(c, &given)
	c.Flags().BoolVar(&connect, "connect", false, "ask both ends of every route too: the same as doctor")
	c.Flags().BoolVar(&asJSON, "json", false, "findings as JSON")
	return c
}

// verdict prints what was found. Findings are the result of this command, so they go to stdout.
func (a *app) verdict(cfg *config.Config, findings config.Findings, asJSON bool) error {
	if asJSON {
		answer := struct {
			OK       bool            `json:"ok"`
			Findings config.Findings `json:"findings"`
		}{len(findings) == 0, append(config.Findings{}, findings...)}
		if err := json.NewEncoder(a.stdout).Encode(answer); err != nil {
			return &ExitError{exitFailed, err}
		}
	} else {
		findings.Print(a.stdout)
	}
	if len(findings) > 0 {
		return exit(exitConfig, "%s", count(len(findings), "finding"))
	}
	if !asJSON {
		fmt.Fprintf(a.stdout, "ok: %s\n", count(len(cfg.Bridge.Routes), "route"))
	}
	return nil
}
