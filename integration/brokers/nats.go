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

// NATS is one nats-server with JetStream on disk.
type NATS struct {
	URL     string // nats://host:port
	Version string // as the server says it
	// Process controls the server; nil if it was taken from the environment.
	Process *Process
}

const natsConfig = `
listen: 127.0.0.1:%d
server_name: sluice-tests
max_payload: 1MB
jetstream: {store_dir: "%s", max_mem: 1GB, max_file: 20GB}
`

// StartNATS builds nats-server from the module, starts it on a free port with its data under dir and
// returns once it serves. With SLUICE_NATS set it returns that server instead.
func StartNATS(ctx context.Context, dir string) (*NATS, error) {
	if url := os.Getenv("SLUICE_NATS"); url != "" {
		n := &NATS{URL: url}
		return n, n.Ready(ctx)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	program := filepath.Join(dir, "nats-server")
	if err := Build(ctx, "github.com/nats-io/nats-server/v2", program); err != nil {
		return nil, err
	}
	ports, err := FreePorts(1)
	if err != nil {
		return nil, err
	}
	config := fmt.Sprintf(natsConfig, ports[0], filepath.Join(dir, "data"))
	if err := os.WriteFile(filepath.Join(dir, "nats.conf"), []byte(config), 0o600); err != nil {
		return nil, err
	}
	n := &NATS{
		URL: "nats://" + loopback(ports[0]),
		Process: &Process{
			Name: "nats-server", Path: program, Dir: dir, Log: filepath.Join(dir, "nats.log"),
			Args: []string{"-c", "nats.conf"},
		},
	}
	if err := n.Process.Start(); err != nil {
		return nil, err
	}
	if err := n.Ready(ctx); err != nil {
		_ = n.Process.Kill()
		return nil, err
	}
	return n, nil
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

// Line says which server ran, for the last line of a test's main.
func (n *NATS) Line() string {
	if n == nil {
		return "no nats-server"
	}
	return n.Version
}

// Build compiles the main package pkg of this module, or of one that it requires, into the file program.
func Build(ctx context.Context, pkg, program string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", program, pkg)
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %w\n%s", pkg, err, text)
	}
	return nil
}
