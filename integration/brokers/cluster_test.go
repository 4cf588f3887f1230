//go:build integration

package brokers

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A cluster of three goes on with two, and takes the third back.
func TestKafkaCluster(t *testing.T) {
	pair.NeedControl(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	nodes, err := StartKafkaCluster(ctx, t.TempDir(), 3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, k := range nodes {
			_ = k.Process.Kill()
		}
	})
	client, err := kgo.NewClient(kgo.SeedBrokers(nodes[1].Addr), kgo.MetadataMinAge(100*time.Millisecond), kgo.RecordDeliveryTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopic(ctx, 3, 3, nil, "survives"); err != nil {
		t.Fatal(err)
	}
	write := func() {
		t.Helper()
		for range 30 {
			if err := client.ProduceSync(ctx, &kgo.Record{Topic: "survives", Value: []byte("v")}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	write()
	if err := nodes[0].Process.Kill(); err != nil {
		t.Fatal(err)
	}
	write()
	if err := nodes[0].Restart(ctx); err != nil {
		t.Fatal(err)
	}
	write()
}

// A stream of three copies goes on when its leader steps down and when it is killed; one server goes
// back to what it had on disk a while ago, and is told the rest by the others.
func TestNATSCluster(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	servers, err := StartNATSCluster(ctx, t.TempDir(), 3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, s := range servers {
			_ = s.Process.Kill()
		}
	})
	conn, err := nats.Connect(servers[1].URL, nats.MaxReconnects(-1))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := conn.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.AddStream(&nats.StreamConfig{Name: "SURVIVES", Subjects: []string{"survives"}, Replicas: 3}, nats.Context(ctx)); err != nil {
		t.Fatal(err)
	}
	write := func(want uint64) {
		t.Helper()
		for {
			ack, err := js.Publish("survives", []byte("v"))
			if err == nil && ack.Sequence >= want {
				return
			}
			select {
			case <-ctx.Done():
				t.Fatalf("the stream does not take messages: %v", err)
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	write(10)
	if err := servers[1].StepDown(ctx, "SURVIVES"); err != nil {
		t.Fatal(err)
	}
	write(20)
	old := t.TempDir() + "/copy"
	if err := servers[0].Process.Freeze(); err != nil {
		t.Fatal(err)
	}
	if err := servers[0].CopyStore(old); err != nil {
		t.Fatal(err)
	}
	if err := servers[0].Process.Thaw(); err != nil {
		t.Fatal(err)
	}
	write(30)
	if err := servers[0].Process.Kill(); err != nil {
		t.Fatal(err)
	}
	write(40)
	if err := servers[0].RestoreStore(old); err != nil {
		t.Fatal(err)
	}
	if err := servers[0].Restart(ctx); err != nil {
		t.Fatal(err)
	}
	write(50)
}
