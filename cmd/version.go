package cmd

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// build is what is known of this program.
type build struct {
	Version    string   `json:"version"`
	Commit     string   `json:"commit,omitempty"`
	Modified   bool     `json:"modified,omitempty"`
	Go         string   `json:"go"`
	Platform   string   `json:"platform"`
	Connectors []string `json:"connectors"`
}

func (a *app) build() build {
	b := build{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		b.Version = info.Main.Version
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				b.Commit = s.Value
			case "vcs.modified":
				b.Modified = s.Value == "true"
			}
		}
	}
	for _, p := range a.registry.Plugins() {
		b.Connectors = append(b.Connectors, p.Name)
	}
	return b
}

func (a *app) version() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "version",
		Short: "Print the version and the connectors that are built in",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			b := a.build()
			if asJSON {
				return json.NewEncoder(a.stdout).Encode(b)
			}
			fmt.Fprintf(a.stdout, "sluice %s %s %s\nconnectors: %s\n", b.Version, b.Go, b.Platform, strings.Join(b.Connectors, ", "))
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON, with the commit")
	return c
}
