// Command daemon is sluice with a connector of our own.
package main

import (
	"fmt"
	"os"

	"example.com/spool"

	"github.com/sluice-bridge/sluice/cmd"
	"github.com/sluice-bridge/sluice/connectors"
)

func main() {
	registry, err := connectors.NewRegistry(spool.Plugin())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(cmd.Main(registry, os.Args[1:], os.Stdout, os.Stderr))
}
