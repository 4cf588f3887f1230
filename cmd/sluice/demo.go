//go:build !nodemo

package main

import (
	"github.com/spf13/cobra"

	"github.com/sluice-bridge/sluice/cmd/demo"
	"github.com/sluice-bridge/sluice/connectors"
)

// demos are the commands that bring brokers of their own.
func demos(registry *connectors.Registry) []*cobra.Command {
	return []*cobra.Command{demo.Command(registry)}
}
