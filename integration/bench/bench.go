package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-bridge/sluice/integration/brokers"
)

// bench is what all tables share: the brokers, the programs and the harness's own clients.
type bench struct {
	*options
	dir      string
	programs programs
	kafka    *brokers.Kafka
	nats     *brokers.NATS
	client   *kgo.Client
	admin    *kadm.Client
	conn     *nats.Conn
	js       jetstream.JetStream
	out      io.Writer       // the tables
	trials   int             // made so far
	filled   map[string]bool // topics and streams that hold their load
	began    time.Time
}

// programs are the paths of what was built.
type programs struct{ sluice, profiled, byHand, ceiling string }

// open starts the brokers and builds the programs. The caller closes.
func open(ctx context.Context, o *options, out io.Writer) (b *bench, err error) {
	b = &bench{options: o, out: out, filled: map[string]bool{}, began: time.Now()}
	if b.dir, err = os.MkdirTemp(o.dir, "sluice-bench-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	const module = "github.com/sluice-bridge/sluice/"
	for pkg, path := range map[string]*string{
		"cmd/sluice": &b.programs.sluice, "integration/bench/profiled": &b.programs.profiled,
		"integration/bench/byhand": &b.programs.byHand, "integration/bench/ceiling": &b.programs.ceiling,
	} {
		*path = filepath.Join(b.dir, filepath.Base(pkg))
		if err := brokers.Build(ctx, module+pkg, *path); err != nil {
			return nil, err
		}
	}
	if b.nats, err = brokers.StartNATS(ctx, filepath.Join(b.dir, "nats")); err != nil {
		return nil, err
	}
	// As a small broker in production runs, not as the tests start one.
	nodes, err := brokers.StartKafkaCluster(ctx, filepath.Join(b.dir, "kafka"), 1, "-Xmx1g", "-Xms1g", "-XX:+UseG1GC")
	if err != nil {
		return nil, err
	}
	b.kafka = nodes[0]
	if b.client, err = kgo.NewClient(kgo.SeedBrokers(b.kafka.Addr), kgo.MetadataMinAge(50*time.Millisecond)); err != nil {
		return nil, err
	}
	b.admin = kadm.NewClient(b.client)
	if b.conn, err = nats.Connect(b.nats.URL); err != nil {
		return nil, err
	}
	b.js, err = jetstream.New(b.conn)
	return b, err
}

func (b *bench) close() {
	if b.client != nil {
		b.client.Close()
	}
	if b.conn != nil {
		b.conn.Close()
	}
	if b.kafka != nil {
		_ = b.kafka.Process.Stop(goodbye)
	}
	if b.nats != nil {
		_ = b.nats.Process.Stop(goodbye)
	}
	os.RemoveAll(b.dir)
}

// say tells people how far it is.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%7.1f s  %s\n", time.Since(b.began).Seconds(), fmt.Sprintf(format, args...))
}

func cores() float64 { return float64(runtime.NumCPU()) }

// slug makes a file name of a title.
func slug(title string) string {
	return strings.Trim(strings.Map(func(c rune) rune {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
			return c
		case 'A' <= c && c <= 'Z':
			return c + 'a' - 'A'
		}
		return '-'
	}, title), "-")
}
