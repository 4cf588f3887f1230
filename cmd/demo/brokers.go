package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/twmb/franz-go/pkg/kfake"
)

// The names of the demo's places.
const (
	ordersTopic     = "orders"
	ordersStream    = "ORDERS"
	telemetryStream = "TELEMETRY"
	telemetryTopic  = "telemetry"
	partitions      = 4
)

// brokers are the two brokers of the demo, each with a gate in front of what the bridge writes.
type brokers struct {
	nats  *server.Server
	dir   string // the nats-server's; removed at the end
	proxy *proxy // in front of the nats-server
	kafka *kfake.Cluster
	gate  *gate // in front of Kafka's produce requests
	done  chan struct{}
}

// startBrokers starts both on free ports of the loopback interface.
func startBrokers(ctx context.Context) (*brokers, error) {
	b := &brokers{gate: newGate(), done: make(chan struct{})}
	if err := errors.Join(b.startNATS(ctx), b.startKafka()); err != nil {
		b.stop()
		return nil, err
	}
	return b, nil
}

func (b *brokers) startNATS(ctx context.Context) (err error) {
	if b.dir, err = os.MkdirTemp("", "sluice-demo-"); err != nil {
		return err
	}
	b.nats, err = server.NewServer(&server.Options{
		ServerName: "demo", Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true,
		JetStream: true, StoreDir: b.dir,
	})
	if err != nil {
		return fmt.Errorf("nats-server: %w", err)
	}
	b.nats.Start()
	const patience = 10 * time.Second
	if !b.nats.ReadyForConnections(patience) {
		return errors.New("the nats-server in this process did not start")
	}
	if b.proxy, err = newProxy(ctx, b.nats.Addr().String()); err != nil {
		return err
	}
	nc, err := nats.Connect(b.natsURL())
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	for stream, subject := range map[string]string{ordersStream: "orders.>", telemetryStream: "telemetry.>"} {
		_, err := js.CreateStream(ctx, jetstream.StreamConfig{
			Name: stream, Subjects: []string{subject}, Storage: jetstream.MemoryStorage,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (b *brokers) startKafka() (err error) {
	b.kafka, err = kfake.NewCluster(
		kfake.NumBrokers(1),
		kfake.SeedTopics(partitions, ordersTopic, telemetryTopic),
		kfake.ListenFn(func(network, address string) (net.Listener, error) {
			l, err := net.Listen(network, address)
			if err != nil {
				return nil, err
			}
			return produceGate{Listener: l, gate: b.gate, done: b.done}, nil
		}),
	)
	if err != nil {
		return fmt.Errorf("kafka: %w", err)
	}
	return nil
}

func (b *brokers) natsURL() string { return "nats://" + b.nats.Addr().String() }

func (b *brokers) gatedNATS() string { return "nats://" + b.proxy.address() }

func (b *brokers) kafkaAddresses() []string { return b.kafka.ListenAddrs() }

// stop ends both and removes what they wrote.
func (b *brokers) stop() {
	close(b.done)
	if b.proxy != nil {
		b.proxy.close()
	}
	if b.kafka != nil {
		b.kafka.Close()
	}
	if b.nats != nil {
		b.nats.Shutdown()
		b.nats.WaitForShutdown()
	}
	if b.dir != "" {
		// What is left of a directory for temporary files is the system's to remove.
		_ = os.RemoveAll(b.dir)
	}
}
