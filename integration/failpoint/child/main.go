// Command child is the daemon with fail points, see package failpoint.
package main

import (
	"os"

	"github.com/sluice-bridge/sluice/integration/failpoint"
)

func main() { os.Exit(failpoint.Main(os.Args[1:], os.Stdout, os.Stderr)) }
