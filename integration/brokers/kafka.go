package brokers

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Kafka is one Apache Kafka broker (KRaft), alone or of a cluster.
type Kafka struct {
	ID      int32
	Addr    string // host:port for clients
	Version string // as the broker says it
	// Proxied are further listeners, each for a proxy of its own: clients that bootstrap at Listen are
	// told to come back to Listen, where a proxy that forwards to Target is to listen. None if the broker
	// was taken from the environment.
	Proxied []Listener
	// Process controls the broker; nil if it was taken from the environment.
	Process *Process
}

// Listener is where clients are sent, and where they are to arrive.
type Listener struct{ Listen, Target string }

// StartKafka starts a broker on free ports with its data under dir and returns once it serves. With
// SLUICE_KAFKA set it returns that broker instead.
func StartKafka(ctx context.Context, dir string) (*Kafka, error) {
	if addr := os.Getenv("SLUICE_KAFKA"); addr != "" {
		k := &Kafka{Addr: addr, Version: "at " + addr}
		return k, k.Ready(ctx)
	}
	nodes, err := StartKafkaCluster(ctx, dir, 1)
	if err != nil {
		return nil, err
	}
	return nodes[0], nil
}

// Restart starts a broker that was killed or stopped again on its data and waits until it serves.
func (k *Kafka) Restart(ctx context.Context) error {
	if err := k.Process.Start(); err != nil {
		return err
	}
	return k.Ready(ctx)
}

// Ready returns when the broker serves: metadata, a producer id and a group's coordinator. The last
// two fail for a while after metadata answers, and create the internal topics at first use.
func (k *Kafka) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(k.Addr), kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		return err
	}
	defer client.Close()
	var last error
	for {
		if last = k.serves(ctx, client); last == nil {
			return nil
		}
		if k.Process != nil {
			select {
			case <-k.Process.Exited():
				return fmt.Errorf("kafka ended while it started:\n%s", k.Process.Tail(20))
			default:
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("kafka at %s does not serve: %w", k.Addr, last)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (k *Kafka) serves(ctx context.Context, client *kgo.Client) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	meta, err := kadm.NewClient(client).BrokerMetadata(ctx)
	if err != nil {
		return err
	}
	registered := k.Process == nil && len(meta.Brokers) > 0
	for _, b := range meta.Brokers {
		registered = registered || b.NodeID == k.ID
	}
	if !registered || meta.Controller < 0 {
		return fmt.Errorf("the broker is not registered")
	}
	if answer, err := kmsg.NewPtrInitProducerIDRequest().RequestWith(ctx, client); err != nil {
		return err
	} else if answer.ErrorCode != 0 {
		return fmt.Errorf("init producer id: error %d", answer.ErrorCode)
	}
	_, err = kadm.NewClient(client).FetchOffsets(ctx, "sluice-ready-check")
	return err
}

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// Line says which broker ran, for the last line of a test's main.
func (k *Kafka) Line() string {
	if k == nil {
		return "no Kafka"
	}
	return strings.TrimSpace(k.Version)
}

// Damage flips a byte past the middle of a partition's first log segment: within the records of a batch,
// where its checksum notices. The broker must be stopped.
func (k *Kafka) Damage(topic string, partition int) error {
	segment := filepath.Join(k.Process.Dir, "data", fmt.Sprintf("%s-%d", topic, partition), "00000000000000000000.log")
	data, err := os.ReadFile(segment)
	if err != nil {
		return err
	}
	if len(data) < 1000 {
		return fmt.Errorf("%s has only %d bytes", segment, len(data))
	}
	data[len(data)*11/20] ^= 0x40 // of ten equal batches, amid the sixth
	return os.WriteFile(segment, data, 0o600)
}

// CopyLog copies what the broker holds of a topic to a directory that does not exist. The broker must be
// frozen or dead.
func (k *Kafka) CopyLog(topic, to string) error {
	return k.eachLog(topic, func(dir string) error {
		return os.CopyFS(filepath.Join(to, filepath.Base(dir)), os.DirFS(dir))
	})
}

// RestoreLog puts a copy in the place of what the broker holds of a topic, as if nothing written since had
// reached the disk. The broker must be dead.
func (k *Kafka) RestoreLog(topic, from string) error {
	return k.eachLog(topic, func(dir string) error {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
		return os.CopyFS(dir, os.DirFS(filepath.Join(from, filepath.Base(dir))))
	})
}

func (k *Kafka) eachLog(topic string, do func(dir string) error) error {
	dirs, err := filepath.Glob(filepath.Join(k.Process.Dir, "data", topic+"-[0-9]*"))
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		if err := do(dir); err != nil {
			return err
		}
	}
	return nil
}

// java returns the program that runs brokers.
func java(version string) (string, error) {
	path, err := exec.LookPath("java")
	if err != nil {
		return "", fmt.Errorf("%w: java 17, to run Apache Kafka %s", ErrMissing, version)
	}
	return path, nil
}
