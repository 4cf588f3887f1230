//go:build nodemo

package main

import (
	"github.com/spf13/cobra"

	"github.com/sluice-bridge/sluice/connectors"
)

// demos are the commands that bring brokers of their own: none in this build.
func demos(*connectors.Registry) []*cobra.Command { return nil }
