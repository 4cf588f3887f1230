package main

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/sluice-bridge/sluice/integration/brokers"
	"github.com/sluice-bridge/sluice/integration/daemon"
	"github.com/sluice-bridge/sluice/integration/proxy"
)

// stage is what a run plays on.
type stage struct {
	dir    string
	kafka  []*brokers.Kafka
	nats   []*brokers.NATS
	sluice *daemon.Program
}

// newStage starts n brokers of each kind, n 1 or 3, and builds the daemon.
func newStage(ctx context.Context, dir string, n int) (*stage, error) {
	s := &stage{dir: dir}
	var err error
	if s.sluice, err = daemon.Build(ctx, dir); err != nil {
		return nil, err
	}
	if s.nats, err = brokers.StartNATSCluster(ctx, filepath.Join(dir, "nats"), n); err != nil {
		return nil, err
	}
	if s.kafka, err = brokers.StartKafkaCluster(ctx, filepath.Join(dir, "kafka"), n); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *stage) close() {
	for _, k := range s.kafka {
		_ = k.Process.Stop(10 * time.Second)
	}
	for _, n := range s.nats {
		_ = n.Process.Stop(10 * time.Second)
	}
}

// bootstrap returns the addresses of the Kafka brokers.
func (s *stage) bootstrap() string {
	all := make([]string, len(s.kafka))
	for i, k := range s.kafka {
		all[i] = k.Addr
	}
	return strings.Join(all, ",")
}

// servers returns the URLs of the NATS servers.
func (s *stage) servers() string {
	all := make([]string, len(s.nats))
	for i, n := range s.nats {
		all[i] = n.URL
	}
	return strings.Join(all, ",")
}

// versions says what runs.
func (s *stage) versions() map[string]string {
	v := map[string]string{"kafka": s.kafka[0].Line(), "nats": s.nats[0].Line()}
	for name, command := range map[string][]string{
		"commit": {"git", "describe", "--always", "--dirty", "--abbrev=12"}, "go": {"go", "version"}, "kernel": {"uname", "-sr"},
	} {
		if text, err := exec.Command(command[0], command[1:]...).Output(); err == nil {
			v[name] = strings.TrimSpace(string(text))
		}
	}
	return v
}

// end is one side of a route as its daemons reach it: a proxy before each broker.
type end struct {
	name    string // kafka or nats
	proxies []*proxy.Proxy
}

// kafkaEnd makes the proxies of one of the two routes.
func (s *stage) kafkaEnd(route int) (*end, error) {
	e := &end{name: "kafka"}
	for _, k := range s.kafka {
		if err := e.add(k.Proxied[route].Listen, k.Proxied[route].Target); err != nil {
			return nil, err
		}
	}
	return e, nil
}

func (s *stage) natsEnd() (*end, error) {
	e := &end{name: "nats"}
	for _, n := range s.nats {
		if err := e.add("127.0.0.1:0", strings.TrimPrefix(n.URL, "nats://")); err != nil {
			return nil, err
		}
	}
	return e, nil
}

func (e *end) add(listen, target string) error {
	p, err := proxy.New(listen, target)
	if err != nil {
		e.close()
		return err
	}
	p.Delay(usualDelay)
	e.proxies = append(e.proxies, p)
	return nil
}

// usualDelay is how long bytes take each way when nothing is wrong: without any, nothing would be in
// flight most of the time.
const usualDelay = 3 * time.Millisecond

func (e *end) close() {
	for _, p := range e.proxies {
		_ = p.Close()
	}
}

// addresses returns where the daemon finds the brokers, as a list in YAML.
func (e *end) addresses() string {
	all := make([]string, len(e.proxies))
	for i, p := range e.proxies {
		all[i] = `"` + p.Addr + `"`
	}
	return "[" + strings.Join(all, ", ") + "]"
}
