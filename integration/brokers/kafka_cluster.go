package brokers

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"text/template"
)

//go:embed server.properties
var serverProperties string

// node is what a broker's properties are made of.
type node struct {
	*Kafka
	Controller, Voters string
	Copies, InSync     int
	Session            int // milliseconds without a heartbeat until the broker counts as dead
}

// Oddity is what sets a broker apart from those of the other tests.
type Oddity struct {
	Config string   // lines that win over, or stand beside, those of its configuration; a template over node for Kafka
	Env    []string // of the process
}

// StartKafkaCluster starts n brokers, each a controller too, with their data under dir, and returns once
// all serve. Topics have three copies by default, or as many as there are brokers, and take a message
// with two in sync. jvm replaces the flags with which a broker starts fast and stays small.
func StartKafkaCluster(ctx context.Context, dir string, n int, jvm ...string) ([]*Kafka, error) {
	return startKafka(ctx, dir, n, Oddity{}, jvm...)
}

// StartOddKafka starts one broker that differs.
func StartOddKafka(ctx context.Context, dir string, o Oddity) (*Kafka, error) {
	nodes, err := startKafka(ctx, dir, 1, o)
	if err != nil {
		return nil, err
	}
	return nodes[0], nil
}

func startKafka(ctx context.Context, dir string, n int, o Oddity, jvm ...string) ([]*Kafka, error) {
	version := os.Getenv("SLUICE_KAFKA_VERSION")
	if version == "" {
		version = KafkaVersion
	}
	program, err := java(version)
	if err != nil {
		return nil, err
	}
	libs, err := kafkaJars(ctx, version)
	if err != nil {
		return nil, err
	}
	nodes, err := layOut(n)
	if err != nil {
		return nil, err
	}
	if len(jvm) == 0 {
		jvm = []string{"-Xmx512m", "-Xms256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"}
		if n > 1 {
			jvm[0], jvm[1] = "-Xmx320m", "-Xms128m"
		}
	}
	started := make([]*Kafka, n)
	for i, k := range nodes {
		home := dir
		if n > 1 {
			home = filepath.Join(dir, fmt.Sprint(k.ID))
		}
		k.Version = "Apache Kafka " + version
		k.Process = &Process{
			Name: fmt.Sprintf("kafka %d", k.ID), Path: program, Dir: home, Log: filepath.Join(home, "kafka.log"), Env: o.Env,
			Args: append(slices.Clone(jvm), "-cp", filepath.Join(libs, "*"), "kafka.Kafka", "server.properties"),
		}
		if err := k.format(ctx, libs, o.Config); err != nil {
			return nil, err
		}
		started[i] = k.Kafka
	}
	if err := startAll(ctx, started); err != nil {
		for _, k := range started {
			_ = k.Process.Kill()
		}
		return nil, err
	}
	return started, nil
}

// layOut gives n brokers their ports.
func layOut(n int) ([]*node, error) {
	const each = 6
	ports, err := FreePorts(n * each)
	if err != nil {
		return nil, err
	}
	session := 2000
	if n > 1 {
		session = 4000 // several are slow on a busy machine, and should not lead each other's partitions for that
	}
	var nodes []*node
	var voters []string
	for i := range n {
		p := ports[i*each:]
		k := &Kafka{ID: int32(i + 1), Addr: loopback(p[1]), Proxied: []Listener{
			{Target: loopback(p[2]), Listen: loopback(p[3])}, {Target: loopback(p[4]), Listen: loopback(p[5])},
		}}
		nodes = append(nodes, &node{Kafka: k, Controller: loopback(p[0]), Copies: min(n, 3), InSync: min(n, 2), Session: session})
		voters = append(voters, fmt.Sprintf("%d@%s", k.ID, loopback(p[0])))
	}
	for _, k := range nodes {
		k.Voters = strings.Join(voters, ",")
	}
	return nodes, nil
}

// format writes a broker's properties and makes its data directory.
func (k *node) format(ctx context.Context, libs, more string) error {
	if err := os.MkdirAll(k.Process.Dir, 0o755); err != nil {
		return err
	}
	var properties strings.Builder
	if err := template.Must(template.New("").Parse(serverProperties+more)).Execute(&properties, k); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(k.Process.Dir, "server.properties"), []byte(properties.String()), 0o600); err != nil {
		return err
	}
	format := exec.CommandContext(ctx, k.Process.Path, "-cp", filepath.Join(libs, "*"), "kafka.tools.StorageTool",
		"format", "-t", "c2x1aWNlLXRlc3RzLTAwMQ", "-c", "server.properties")
	format.Dir = k.Process.Dir
	if text, err := format.CombinedOutput(); err != nil {
		return fmt.Errorf("format Kafka's data: %w\n%s", err, text)
	}
	return nil
}

// startAll starts brokers and waits until all serve: a controller quorum needs most of them.
func startAll(ctx context.Context, all []*Kafka) error {
	for _, k := range all {
		if err := k.Process.Start(); err != nil {
			return err
		}
	}
	var wg sync.WaitGroup
	errs := make([]error, len(all))
	for i, k := range all {
		wg.Go(func() { errs[i] = k.Ready(ctx) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
