// Command sluice is the daemon with the connectors of this repository.
//
// To build one with connectors of your own, copy this file into a module of yours, add their plugins
// to the registry, and build it:
//
//	registry, err := connectors.NewRegistry(kafka.Plugin(), nats.JetStream(), yours.Plugin())
//	...
//	os.Exit(cmd.Main(registry, os.Args[1:], os.Stdout, os.Stderr))
//
// Configuration, commands, signals and exit codes come with cmd.Main; a connector is a package against
// package connectors, and connectors/lines is the one to learn from. The demo is a command like any
// other and can be left out: so does the build tag nodemo, which leaves the brokers in it out of the program.
package main

import (
	"fmt"
	"os"

	"github.com/sluice-bridge/sluice/cmd"
	"github.com/sluice-bridge/sluice/cmd/convert"
	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/kafka"
	"github.com/sluice-bridge/sluice/connectors/lines"
	"github.com/sluice-bridge/sluice/connectors/nats"
)

func main() { os.Exit(run()) }

func builtIn() (*connectors.Registry, error) {
	return connectors.NewRegistry(kafka.Plugin(), nats.JetStream(), nats.Core(), lines.Plugin())
}

func run() int {
	registry, err := builtIn()
	if err != nil {
		fmt.Fprintln(os.Stderr, "sluice:", err)
		return 1
	}
	return cmd.Main(registry, os.Args[1:], os.Stdout, os.Stderr, append(demos(registry), convert.Command(registry))...)
}
