package brokers

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

const natsConfig = `
listen: %[1]s
server_name: %[2]s
max_payload: 1MB
jetstream: {store_dir: "%[3]s", max_mem: 1GB, max_file: 20GB}
%[4]s`

// A client is not told of the other servers: it would go around the proxies it was given.
const natsClusterConfig = `cluster: {name: sluice, listen: %s, routes: [%s], no_advertise: true}
`

// StartNATSCluster builds nats-server from the module and starts n of them with their data under dir, as
// one cluster if there are several. It returns once all serve.
func StartNATSCluster(ctx context.Context, dir string, n int) ([]*NATS, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	program := filepath.Join(dir, "nats-server")
	if err := Build(ctx, "github.com/nats-io/nats-server/v2", program); err != nil {
		return nil, err
	}
	return startNATS(ctx, dir, program, n, "", "")
}

// StartOddNATS starts one server that differs. login is how it is to be reached by us, user:password@ or empty. Its
// clock is wrong by skew.
func StartOddNATS(ctx context.Context, dir string, o Oddity, login string, skew time.Duration) (*NATS, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	program := filepath.Join(dir, "nats-server")
	var overlay []string
	if skew != 0 {
		file, err := skewedClock(dir, skew)
		if err != nil {
			return nil, err
		}
		overlay = []string{"-overlay", file}
	}
	if err := Build(ctx, "github.com/nats-io/nats-server/v2", program, overlay...); err != nil {
		return nil, err
	}
	servers, err := startNATS(ctx, dir, program, 1, o.Config, login)
	if err != nil {
		return nil, err
	}
	return servers[0], nil
}

func startNATS(ctx context.Context, dir, program string, n int, more, login string) ([]*NATS, error) {
	ports, err := FreePorts(2 * n)
	if err != nil {
		return nil, err
	}
	var routes []string
	for _, p := range ports[n:] {
		routes = append(routes, "nats://"+loopback(p))
	}
	servers := make([]*NATS, n)
	for i := range servers {
		s := &NATS{Name: fmt.Sprintf("sluice-%d", i+1), URL: "nats://" + login + loopback(ports[i])}
		home, cluster := dir, more
		if n > 1 {
			home = filepath.Join(dir, s.Name)
			cluster = fmt.Sprintf(natsClusterConfig, loopback(ports[n+i]), strings.Join(routes, ", "))
		}
		s.Process = &Process{
			Name: "nats-server", Path: program, Dir: home, Log: filepath.Join(home, "nats.log"), Args: []string{"-c", "nats.conf"},
		}
		servers[i] = s
		if err := s.configure(loopback(ports[i]), cluster); err != nil {
			return nil, err
		}
	}
	return servers, startServers(ctx, servers)
}

func (n *NATS) configure(listen, cluster string) error {
	if err := os.MkdirAll(n.Process.Dir, 0o755); err != nil {
		return err
	}
	config := fmt.Sprintf(natsConfig, listen, n.Name, n.store(), cluster)
	return os.WriteFile(filepath.Join(n.Process.Dir, "nats.conf"), []byte(config), 0o600)
}

func startServers(ctx context.Context, servers []*NATS) error {
	for _, s := range servers {
		if err := s.Process.Start(); err != nil {
			return err
		}
	}
	for _, s := range servers {
		if err := s.Ready(ctx); err != nil {
			for _, s := range servers {
				_ = s.Process.Kill()
			}
			return err
		}
	}
	return nil
}

// StepDown makes the leaders of streams give up their place to another server of the cluster.
func (n *NATS) StepDown(ctx context.Context, streams ...string) error {
	conn, err := nats.Connect(n.URL)
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, stream := range streams {
		answer, err := conn.RequestWithContext(ctx, "$JS.API.STREAM.LEADER.STEPDOWN."+stream, nil)
		if err == nil && strings.Contains(string(answer.Data), `"error"`) {
			err = fmt.Errorf("step down: %s", answer.Data)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
