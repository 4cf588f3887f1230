package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestBridge runs the short form against brokers: it says what it is about to move, moves it, and ends
// well.
func TestBridge(t *testing.T) {
	t.Parallel()
	ctx := soon(t)
	kafka, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(4, "orders"))
	if err != nil {
		t.Fatal(err)
	}
	defer kafka.Close()
	ns, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	defer func() { ns.Shutdown(); ns.WaitForShutdown() }()
	if !ns.ReadyForConnections(time.Minute) {
		t.Fatal("no nats-server")
	}
	nc, err := nats.Connect(ns.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders"}})
	if err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(kafka.ListenAddrs()...), kgo.DefaultProduceTopic("orders"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	const messages = 1000
	records := make([]*kgo.Record, messages)
	for i := range records {
		records[i] = kgo.StringRecord(fmt.Sprint(i))
	}
	if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		t.Fatal(err)
	}

	p := start(ctx, t, "run", "--from", "kafka://"+strings.Join(kafka.ListenAddrs(), ",")+"/orders",
		"--to", "jetstream://"+ns.Addr().String()+"/ORDERS", "--admin", "127.0.0.1:0", "--log-format", "json")
	address, _, _ := strings.Cut(p.out.await(ctx, t, `"address":"`), `"`)
	backlog, _, _ := strings.Cut(p.out.await(ctx, t, `"backlog":"`), `"`)
	if !strings.Contains(backlog, "4 partitions") || !strings.Contains(backlog, "1000 messages") {
		t.Errorf("backlog: %s", backlog)
	}
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for {
		if _, body := get(ctx, t, address+"/status"); strings.Contains(body, fmt.Sprintf(`"committed_messages":%d,`, messages)) {
			break
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			t.Fatalf("not everything is moved:\n%s", &p.out)
		}
	}
	if code, body := get(ctx, t, address+"/readyz"); code != 200 {
		t.Errorf("/readyz: %d %s", code, body)
	}
	p.signal(t)
	if code := p.code(t); code != 0 {
		t.Errorf("exit code %d:\n%s", code, &p.out)
	}
	info, err := stream.Info(ctx)
	if err != nil || info.State.Msgs != messages {
		t.Errorf("%d messages in the stream, want %d: %v", info.State.Msgs, messages, err)
	}
}
