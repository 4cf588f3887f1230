package brokers

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"
)

// NATS is one nats-server with JetStream on disk, alone or of a cluster.
type NATS struct {
	Name    string // of the server
	URL     string // nats://host:port
	Version string // as the server says it
	// Process controls the server; nil if it was taken from the environment.
	Process *Process
}

// StartNATS builds nats-server from the module, starts it on a free port with its data under dir and
// returns once it serves. With SLUICE_NATS set it returns that server instead.
func StartNATS(ctx context.Context, dir string) (*NATS, error) {
	if url := os.Getenv("SLUICE_NATS"); url != "" {
		n := &NATS{URL: url}
		return n, n.Ready(ctx)
	}
	servers, err := StartNATSCluster(ctx, dir, 1)
	if err != nil {
		return nil, err
	}
	return servers[0], nil
}

// Restart starts a server that was killed or stopped again on its data and waits until it serves.
func (n *NATS) Restart(ctx context.Context) error {
	if err := n.Process.Start(); err != nil {
		return err
	}
	return n.Ready(ctx)
}

// Ready returns when JetStream answers.
func (n *NATS) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		last := n.serves(ctx)
		if last == nil {
			return nil
		}
		if n.Process != nil {
			select {
			case <-n.Process.Exited():
				return fmt.Errorf("nats-server ended while it started:\n%s", n.Process.Tail(20))
			default:
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("nats-server at %s does not serve: %w", n.URL, last)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (n *NATS) serves(ctx context.Context) error {
	conn, err := nats.Connect(n.URL, nats.Timeout(time.Second))
	if err != nil {
		return err
	}
	defer conn.Close()
	n.Version = "nats-server " + conn.ConnectedServerVersion()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	_, err = conn.RequestWithContext(ctx, "$JS.API.INFO", nil)
	return err
}

// store is where a server keeps its data.
func (n *NATS) store() string { return filepath.Join(n.Process.Dir, "data") }

// CopyStore copies the server's data to a directory that does not exist. The server must be frozen or
// dead.
func (n *NATS) CopyStore(to string) error { return os.CopyFS(to, os.DirFS(n.store())) }

// RestoreStore puts a copy in the place of the server's data, as if nothing written since had reached
// the disk. The server must be dead.
func (n *NATS) RestoreStore(from string) error {
	if err := os.RemoveAll(n.store()); err != nil {
		return err
	}
	return os.CopyFS(n.store(), os.DirFS(from))
}

// Line says which server ran, for the last line of a test's main.
func (n *NATS) Line() string {
	if n == nil {
		return "no nats-server"
	}
	return n.Version
}

// Build compiles the main package pkg of this module, or of one that it requires, into the file program.
func Build(ctx context.Context, pkg, program string, flags ...string) error {
	cmd := exec.CommandContext(ctx, "go", append(append([]string{"build"}, flags...), "-o", program, pkg)...)
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %w\n%s", pkg, err, text)
	}
	return nil
}
