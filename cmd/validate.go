package cmd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-bridge/sluice/cmd/config"
)

// The formats of findings.
const (
	formatText   = "text"
	formatJSON   = "json"
	formatGitHub = "github" // annotations in the log of a workflow
)

// validateFlags are the flags of validate.
type validateFlags struct {
	given   config.Given
	connect bool
	strict  bool
	asJSON  bool
	format  string
}

func (a *app) validate() *cobra.Command {
	var f validateFlags
	c := &cobra.Command{
		Use:     "validate FILE...",
		Aliases: []string{"lint", "check"},
		Short:   "Check a configuration and report every finding; connects to nothing",
		Long: "Checks a configuration and reports every finding with its place and the way out. Connects to nothing.\n" +
			"Several files are read as one, as run -c FILE -c FILE does. Exit code 2 if there are findings, with\n" +
			"--strict also for warnings: what is no fault and hardly meant.\n" +
			"With --connect, where there are none, it goes on as doctor does.",
		Example: "  sluice validate sluice.yaml\n" +
			"  sluice validate --strict --format github sluice.yaml   # annotations at the lines of a pull request",
		RunE: func(c *cobra.Command, args []string) error {
			f.given.Files = append(f.given.Files, args...)
			if f.asJSON {
				f.format = formatJSON
			}
			switch {
			case len(f.given.Files) == 0:
				return exit(exitConfig, "name the files to check")
			case f.format != formatText && f.format != formatJSON && f.format != formatGitHub:
				return exit(exitConfig, "--format: %q is not one of %s, %s, %s", f.format, formatText, formatJSON, formatGitHub)
			}
			cfg, err := config.Read(a.registry, a.env, f.given)
			var findings config.Findings
			if err != nil && !errors.As(err, &findings) {
				return &ExitError{exitConfig, err}
			}
			if f.connect && err == nil && (!f.strict || len(cfg.Warnings) == 0) {
				return a.examine(c.Context(), &doctorFlags{given: f.given, timeout: checkTimeout, asJSON: f.format == formatJSON})
			}
			return a.verdict(cfg, findings, &f)
		},
	}
	fileFlags(c, &f.given)
	flags := c.Flags()
	flags.BoolVar(&f.connect, "connect", false, "ask both ends of every route too: the same as doctor")
	flags.BoolVar(&f.strict, "strict", false, "warnings fail too")
	flags.StringVar(&f.format, "format", formatText, "`how` to tell: text, json or github")
	flags.BoolVar(&f.asJSON, "json", false, "the same as --format json")
	return c
}

// verdict prints what was found. Findings are the result of this command, so they go to stdout.
func (a *app) verdict(cfg *config.Config, findings config.Findings, f *validateFlags) error {
	var warnings config.Findings
	if cfg != nil {
		warnings = cfg.Warnings
	}
	failed := len(findings) > 0 || f.strict && len(warnings) > 0
	switch f.format {
	case formatJSON:
		answer := struct {
			OK       bool            `json:"ok"`
			Findings config.Findings `json:"findings"`
			Warnings config.Findings `json:"warnings,omitempty"`
		}{!failed, append(config.Findings{}, findings...), warnings}
		if err := json.NewEncoder(a.stdout).Encode(answer); err != nil {
			return &ExitError{exitFailed, err}
		}
	case formatGitHub:
		annotate(a.stdout, "error", findings)
		annotate(a.stdout, "warning", warnings)
	default:
		findings.Print(a.stdout)
		if len(warnings) > 0 {
			fmt.Fprintln(a.stdout, "warnings:")
			warnings.Print(a.stdout)
		}
	}
	switch {
	case len(findings) > 0:
		return exit(exitConfig, "%s", count(len(findings), "finding"))
	case failed:
		return exit(exitConfig, "%s, and --strict", count(len(warnings), "warning"))
	case f.format == formatText:
		fmt.Fprintf(a.stdout, "ok: %s\n", count(len(cfg.Bridge.Routes), "route"))
	}
	return nil
}

// annotate writes findings as the commands of a GitHub workflow, which shows them at their lines.
func annotate(w io.Writer, level string, findings config.Findings) {
	data := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	property := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
	for i := range findings {
		f := &findings[i]
		text := f.Text
		if f.Hint != "" {
			text += "\n→ " + f.Hint
		}
		fmt.Fprintf(w, "::%s file=%s,line=%d,col=%d,title=%s::%s\n", level, property.Replace(f.File), f.Line, f.Column, f.Code, data.Replace(text))
	}
}
