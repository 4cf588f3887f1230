package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// joins counts the joins of each group.
type joins struct {
	mu    sync.Mutex
	count map[string]int
}

func (j *joins) see(r kmsg.Request) (kmsg.Response, error, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if join, ok := r.(*kmsg.JoinGroupRequest); ok {
		j.count[join.Group]++
	}
	return nil, nil, false
}

func (j *joins) of(group string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.count[group]
}

// bed is a Kafka and a nats-server in this process.
type bed struct {
	*testing.T
	ctx    context.Context
	kafka  *kfake.Cluster
	client *kgo.Client
	js     jetstream.JetStream
	nats   string
	joins  joins
	put    map[string]int
}

func newBed(t *testing.T, topics ...string) *bed {
	t.Helper()
	b := &bed{T: t, ctx: soon(t), joins: joins{count: map[string]int{}}, put: map[string]int{}}
	var err error
	if b.kafka, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, topics...)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.kafka.Close)
	b.kafka.ControlKey(int16(kmsg.JoinGroup), func(r kmsg.Request) (kmsg.Response, error, bool) {
		b.kafka.KeepControl()
		return b.joins.see(r)
	})
	ns, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	t.Cleanup(func() { ns.Shutdown(); ns.WaitForShutdown() })
	if !ns.ReadyForConnections(time.Minute) {
		t.Fatal("no nats-server")
	}
	b.nats = ns.Addr().String()
	nc, err := nats.Connect(ns.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	if b.js, err = jetstream.New(nc); err != nil {
		t.Fatal(err)
	}
	for _, topic := range topics {
		if _, err := b.js.CreateStream(b.ctx, jetstream.StreamConfig{Name: strings.ToUpper(topic), Subjects: []string{topic, topic + ".>"}}); err != nil {
			t.Fatal(err)
		}
	}
	if b.client, err = kgo.NewClient(kgo.SeedBrokers(b.kafka.ListenAddrs()...)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.client.Close)
	return b
}

// load writes messages to topics until stop is closed. Those of one topic are numbered.
func (b *bed) load(stop <-chan struct{}, topics ...string) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		var records []*kgo.Record
		for _, topic := range topics {
			for range 20 {
				records = append(records, &kgo.Record{Topic: topic, Value: strconv.AppendInt(nil, int64(b.put[topic]), 10)})
				b.put[topic]++
			}
		}
		if err := b.client.ProduceSync(b.ctx, records...).FirstErr(); err != nil {
			b.Error(err)
			return
		}
	}
}

// exactly waits until a stream holds each message of its topic, and wants each to be there once.
func (b *bed) exactly(topic string) {
	b.Helper()
	stream, err := b.js.Stream(b.ctx, strings.ToUpper(topic))
	if err != nil {
		b.Fatal(err)
	}
	consumer, err := stream.OrderedConsumer(b.ctx, jetstream.OrderedConsumerConfig{})
	if err != nil {
		b.Fatal(err)
	}
	seen := make([]int, b.put[topic])
	all, err := consumer.Messages()
	if err != nil {
		b.Fatal(err)
	}
	defer all.Stop()
	for left := len(seen); left > 0; {
		m, err := all.Next(jetstream.NextContext(b.ctx))
		if err != nil {
			b.Fatalf("%s: %d of %d are missing: %v", topic, left, len(seen), err)
		}
		n, err := strconv.Atoi(string(m.Data()))
		if err != nil {
			b.Fatal(err)
		}
		if seen[n]++; seen[n] == 1 {
			left--
		}
	}
	info, err := stream.Info(b.ctx)
	if err != nil {
		b.Fatal(err)
	}
	if doubled := int(info.State.Msgs) - len(seen); doubled != 0 {
		b.Errorf("%s: %d of %d are doubled", topic, doubled, len(seen))
	}
}

func (b *bed) member(group string) string {
	b.Helper()
	all, err := kadm.NewClient(b.client).DescribeGroups(b.ctx, group)
	if err != nil {
		b.Fatal(err)
	}
	var ids []string
	for _, m := range all[group].Members {
		ids = append(ids, m.MemberID)
	}
	return strings.Join(ids, " ")
}

// TestReload: under load, a route that is not changed keeps its member of the group and joins no more; one that is
// changed, one that is new and one that is gone lose and double nothing; what is wrong changes nothing.
func TestReload(t *testing.T) {
	t.Parallel()
	b := newBed(t, "kept", "changed", "gone", "added")
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	write := func(routes ...string) {
		t.Helper()
		text := fmt.Sprintf("admin: {listen: \"127.0.0.1:0\"}\nlog: {format: json}\nconnections:\n  k: {kafka: {brokers: [%q]}}\n  n: {nats: {servers: [%q]}}\nroutes:\n",
			b.kafka.ListenAddrs()[0], "nats://"+b.nats)
		for _, r := range routes {
			name, more, _ := strings.Cut(r, " ")
			text += fmt.Sprintf("  %s: {source: {kafka: {topics: %s}}, sink: {jetstream: {stream: %s}}%s}\n", name, name, strings.ToUpper(name), more)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("kept", "changed", "gone")
	p := start(b.ctx, t, "run", "-c", file)
	address, _, _ := strings.Cut(p.out.await(b.ctx, t, `"address":"`), `"`)
	stop, loaded := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(loaded)
		b.load(stop, "kept", "changed", "gone", "added")
	}()
	moved := func(route string, least int) {
		t.Helper()
		look := time.NewTicker(20 * time.Millisecond)
		defer look.Stop()
		for {
			_, body := get(b.ctx, t, address+"/status")
			_, of, _ := strings.Cut(body, `"route":"`+route+`"`)
			_, counted, _ := strings.Cut(of, `"committed_messages":`)
			digits, _, _ := strings.Cut(counted, ",")
			if n, err := strconv.Atoi(digits); err == nil && n >= least {
				return
			}
			select {
			case <-look.C:
			case <-b.ctx.Done():
				t.Fatalf("%s does not move:\n%s", route, &p.out)
			}
		}
	}
	for _, route := range []string{"kept", "changed", "gone"} {
		moved(route, 500)
	}
	member, joined := b.member("sluice-kept"), b.joins.of("sluice-kept")
	if member == "" || joined == 0 {
		t.Fatalf("member %q, %d joins", member, joined)
	}
	reload := func(want int) string {
		t.Helper()
		c := start(b.ctx, t, "reload", "--url", address)
		if code := c.code(t); code != want {
			t.Fatalf("exit code %d: %s\n%s", code, &c.out, &p.out)
		}
		return c.out.String()
	}
	write("kept", "changed , sinc: 1")
	if said := reload(1); !strings.Contains(said, `unknown key "sinc"`) || !strings.Contains(said, "nothing was changed") {
		t.Error(said)
	}
	for i, window := range []string{", window: {max_messages: 1000}", ", window: {max_messages: 500}", `, map: {subject: "changed.{{ partition }}"}`} {
		write("kept", "changed "+window, []string{"gone", "added", "added"}[i])
		if said := reload(0); !strings.Contains(said, "changed: changed: drained") || strings.Contains(said, "kept:") {
			t.Error(said)
		}
		moved("changed", 500*(i+2))
	}
	moved("added", 500)
	before := b.joins.of("sluice-changed")
	if err := p.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	p.out.await(b.ctx, t, `"who":"SIGHUP"`)
	close(stop)
	<-loaded
	for _, topic := range []string{"kept", "changed", "added"} {
		b.exactly(topic)
	}
	if now := b.member("sluice-kept"); now != member || b.joins.of("sluice-kept") != joined {
		t.Errorf("the route that was not changed: member %s, was %s; %d joins, were %d", now, member, b.joins.of("sluice-kept"), joined)
	}
	if before < 4 || b.joins.of("sluice-changed") != before {
		t.Errorf("the route that was changed three times has joined %d times, then %d", before, b.joins.of("sluice-changed"))
	}
	if left := b.member("sluice-gone"); left != "" {
		t.Errorf("the route that is gone has a member: %s", left)
	}
	p.signal(t)
	if code := p.code(t); code != 0 {
		t.Errorf("exit code %d:\n%s", code, &p.out)
	}
	// What is gone was drained: it goes on where it was, and doubles nothing.
	write("gone")
	p = start(b.ctx, t, "run", "-c", file)
	b.exactly("gone")
	p.signal(t)
	if code := p.code(t); code != 0 {
		t.Errorf("exit code %d:\n%s", code, &p.out)
	}
}
