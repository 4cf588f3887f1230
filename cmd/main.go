package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-bridge/sluice/connectors"
)

// The exit codes.
const (
	exitFailed      = 1
	exitConfig      = 2
	exitEnvironment = 3
	exitDrain       = 4
	exitSignal      = 128 // plus the signal's number
)

// closeGrace is how long after the drain deadline the ends may take to be closed.
const closeGrace = 5 * time.Second

// ExitError ends the program with a code of its own. A nil Err prints nothing.
type ExitError struct {
	Code int
	Err  error
}

func (e *ExitError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return e.Err.Error()
}

// Unwrap returns the error itself.
func (e *ExitError) Unwrap() error { return e.Err }

func exit(code int, format string, args ...any) error {
	return &ExitError{code, fmt.Errorf(format, args...)}
}

// app is one call of Main.
type app struct {
	registry *connectors.Registry
	stdout   io.Writer // results
	stderr   io.Writer // logs, progress, faults
	env      func(string) (string, bool)
	signals  <-chan os.Signal // nil: the process's own
	hangups  <-chan os.Signal // likewise: SIGHUP
	grace    time.Duration    // after the drain deadline, for the ends to be closed

	lookEvery time.Duration // at files, with run --watch; 0: lookAtFilesEvery
}

// Main runs the command line args, which are without the program's name, and returns the exit code. It
// blocks until the command is done. SIGINT and SIGTERM end `run` softly, a second one at once. extra
// are further commands; an *ExitError of theirs chooses the code.
func Main(registry *connectors.Registry, args []string, stdout, stderr io.Writer, extra ...*cobra.Command) int {
	a := &app{registry: registry, stdout: stdout, stderr: stderr, env: os.LookupEnv, grace: closeGrace}
	return a.main(context.Background(), args, extra...)
}

func (a *app) main(ctx context.Context, args []string, extra ...*cobra.Command) int {
	root := a.root()
	root.AddCommand(extra...)
	root.SetArgs(args)
	command, err := root.ExecuteContextC(ctx)
	var chosen *ExitError
	switch {
	case err == nil:
		return 0
	case !errors.As(err, &chosen):
		// Only cobra itself fails without a code: a flag or an argument is wrong.
		fmt.Fprintf(a.stderr, "%s: %s\n", command.CommandPath(), strings.TrimSpace(err.Error()))
		fmt.Fprintf(a.stderr, "  → %s --help\n", command.CommandPath())
		return exitConfig
	case chosen.Err != nil:
		fmt.Fprintf(a.stderr, "%s: %s\n", command.CommandPath(), chosen.Err)
	}
	return chosen.Code
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "sluice",
		Short: "Moves messages between Kafka and NATS at the pace of the slower side",
		Long: "Sluice moves messages between Kafka and NATS at the pace of the slower side, in bounded memory,\n" +
			"and shows every stall.\n\n" +
			"Exit codes: 0 done · 1 failed · 2 flags or configuration · 3 not reachable · 4 drain deadline passed ·\n" +
			"130/143 second signal.",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.AddCommand(a.run(), a.validate(), a.doctor(), a.verify(), a.status(), a.top(), a.whatif(), a.tap(), a.pause(), a.resume(), a.limit(), a.reload(), a.deadLetters(), a.position(), a.initFile(), a.config(), a.debug(), a.version())
	return root
}
