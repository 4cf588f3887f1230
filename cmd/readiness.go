package cmd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

// readiness is what `status --wait` waits for.
type readiness struct {
	word    string
	timeout time.Duration
}

// askEvery is how often it asks.
const askEvery = 250 * time.Millisecond

func (r *readiness) flags(c *cobra.Command) {
	c.Flags().StringVar(&r.word, "wait", "", "wait until the daemon is `ready`")
	c.Flags().DurationVar(&r.timeout, "timeout", time.Minute, "with --wait: for at most so long")
}

// await asks /readyz until it says yes. A daemon that does not answer yet may be starting.
func (r *readiness) await(ctx context.Context, cl *client) error {
	switch r.word {
	case "":
		return nil
	case "ready":
	default:
		return exit(exitConfig, "--wait is %q; it has to be ready", r.word)
	}
	limited, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	var last error
	for {
		_, err := cl.get(limited, "/readyz")
		if err == nil {
			return nil
		}
		if limited.Err() == nil || last == nil {
			last = err
		}
		if !wait(limited, askEvery) {
			return notInTime(last, r.timeout)
		}
	}
}

// notInTime keeps the exit code of what the daemon said last.
func notInTime(last error, timeout time.Duration) error {
	var e *ExitError
	if !errors.As(last, &e) {
		return &ExitError{exitFailed, last}
	}
	return &ExitError{e.Code, fmt.Errorf("not ready within %s: %w", timeout, e.Err)}
}
