//go:build integration

package brokers

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

var pair *Pair

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "sluice-brokers-")
	if err != nil {
		panic(err)
	}
	pair = StartPair(dir)
	code := m.Run()
	pair.Stop()
	os.RemoveAll(dir)
	fmt.Println("brokers:", pair.Line())
	os.Exit(code)
}

// Data survives a kill of either broker, and a frozen broker answers again once thawed.
func TestDataSurvives(t *testing.T) {
	pair.NeedControl(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(pair.Kafka.Addr))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopic(ctx, 1, 1, nil, "survives"); err != nil {
		t.Fatal(err)
	}
	if err := client.ProduceSync(ctx, &kgo.Record{Topic: "survives", Value: []byte("v")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := pair.Kafka.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := pair.Kafka.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, "survives")
	if err != nil {
		t.Fatal(err)
	}
	if end, _ := ends.Lookup("survives", 0); end.Offset != 1 {
		t.Fatalf("end offset %d after a kill, want 1 (%v)", end.Offset, end.Err)
	}

	conn, err := nats.Connect(pair.NATS.URL, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := conn.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.AddStream(&nats.StreamConfig{Name: "SURVIVES", Subjects: []string{"survives"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish("survives", []byte("v")); err != nil {
		t.Fatal(err)
	}
	if err := pair.NATS.Process.Freeze(); err != nil {
		t.Fatal(err)
	}
	if _, err := js.StreamInfo("SURVIVES", nats.MaxWait(300*time.Millisecond)); err == nil {
		t.Fatal("a frozen nats-server answered")
	}
	if err := pair.NATS.Process.Thaw(); err != nil {
		t.Fatal(err)
	}
	if err := pair.NATS.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := pair.NATS.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	for conn.Status() != nats.CONNECTED {
		select {
		case <-ctx.Done():
			t.Fatal("not connected again")
		case <-time.After(20 * time.Millisecond):
		}
	}
	info, err := js.StreamInfo("SURVIVES")
	if err != nil {
		t.Fatal(err)
	}
	if info.State.Msgs != 1 {
		t.Fatalf("%d messages after a kill, want 1", info.State.Msgs)
	}
}
