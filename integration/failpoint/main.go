package failpoint

import (
	"fmt"
	"io"
	"os"

	"github.com/sluice-bridge/sluice/cmd"
	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/kafka"
	"github.com/sluice-bridge/sluice/connectors/nats"
)

// Main is the daemon with the points, of which the environment names the one that kills. Args and the
// exit code are cmd.Main's.
func Main(args []string, stdout, stderr io.Writer) int {
	t, err := newTrap(os.Getenv)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	registry, err := connectors.NewRegistry(wrap(kafka.Plugin(), t), wrap(nats.JetStream(), t), wrap(nats.Core(), t))
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	return cmd.Main(registry, args, stdout, stderr)
}
