// Command profiled is cmd/sluice with profiles of itself, which the product has no option for.
package main

import (
	"fmt"
	"os"

	"github.com/sluice-bridge/sluice/cmd"
	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/kafka"
	"github.com/sluice-bridge/sluice/connectors/nats"
	"github.com/sluice-bridge/sluice/integration/bench/profile"
)

func main() { os.Exit(run()) }

func run() int {
	registry, err := connectors.NewRegistry(kafka.Plugin(), nats.JetStream(), nats.Core())
	if err != nil {
		fmt.Fprintln(os.Stderr, "profiled:", err)
		return 1
	}
	defer profile.Start()()
	return cmd.Main(registry, os.Args[1:], os.Stdout, os.Stderr)
}
