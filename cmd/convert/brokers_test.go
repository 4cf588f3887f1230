package convert

import (
	"context"
	"fmt"
	"hash/fnv"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-bridge/sluice/bridge"
	"github.com/sluice-bridge/sluice/cmd/config"
	"github.com/sluice-bridge/sluice/telemetry"
)

// brokers are both, in this process.
type brokers struct {
	*testing.T
	ctx   context.Context
	kafka *kfake.Cluster
	nats  *server.Server
	js    nats.JetStreamContext
	conn  *nats.Conn
}

const partitions = 5

func startBrokers(t *testing.T, topics ...string) *brokers {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	b := &brokers{T: t, ctx: ctx}
	var err error
	if b.kafka, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, topics...)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.kafka.Close)
	if b.nats, err = server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true}); err != nil {
		t.Fatal(err)
	}
	b.nats.Start()
	t.Cleanup(func() { b.nats.Shutdown(); b.nats.WaitForShutdown() })
	if !b.nats.ReadyForConnections(time.Minute) {
		t.Fatal("no nats-server")
	}
	if b.conn, err = nats.Connect(b.nats.ClientURL()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.conn.Close)
	if b.js, err = b.conn.JetStream(); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *brokers) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// old writes a configuration of nats-kafka.
func (b *brokers) old(connectors string) string {
	return inLine(b.T, fmt.Sprintf("nats { servers: [%q] }\nconnect [\n%s\n]", b.nats.ClientURL(),
		strings.ReplaceAll(connectors, "KAFKA", b.kafka.ListenAddrs()[0])))
}

func (b *brokers) client(o ...kgo.Opt) *kgo.Client {
	b.Helper()
	c, err := kgo.NewClient(append(o, kgo.SeedBrokers(b.kafka.ListenAddrs()...))...)
	b.must(err)
	b.Cleanup(c.Close)
	return c
}

// converted converts a file and returns the configuration's text.
func (b *brokers) converted(old string, args ...string) (text, report string) {
	b.Helper()
	into := filepath.Join(b.TempDir(), "sluice.yaml")
	_, report, code := run(b.T, append(args, old, "-o", into)...)
	if code != 0 {
		b.Fatalf("%d: %s", code, report)
	}
	data, err := os.ReadFile(into)
	b.must(err)
	return string(data), report
}

// moves runs a configuration until every route has committed its number of messages.
func (b *brokers) moves(text string, want map[string]uint64) {
	b.Helper()
	cfg, err := config.Text(registry(b.T), "converted", text)
	b.must(err)
	tel, err := telemetry.New(b.ctx, telemetry.Config{Service: "test", Instance: "test"}, zerolog.Nop())
	b.must(err)
	cfg.Bridge.Instance = "test"
	br, err := bridge.New(cfg.Bridge, zerolog.Nop(), tel)
	b.must(err)
	soft, stop := context.WithCancel(b.ctx)
	ended := make(chan error, 1)
	go func() { ended <- br.Run(soft) }()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for done := false; !done; {
		select {
		case <-b.ctx.Done():
			stop()
			b.Fatalf("not everything has moved: %+v", br.Status())
		case <-look.C:
		}
		done = true
		for _, s := range br.Status() {
			done = done && s.Counts.CommittedMessages >= want[s.Route]
		}
	}
	stop()
	b.must(<-ended)
	b.must(tel.Shutdown(b.ctx))
}

const each = 2500

// TestSameMessages: of the same 10,000 messages, subject, payload, headers, key and partition are those that
// nats-kafka makes of them, where it keeps them. The expectation is its own code's, read at commit 310c39f.
func TestSameMessages(t *testing.T) {
	b := startBrokers(t, "in", "fixed", "none", "one")
	for name, subject := range map[string]string{"IN": "in.>", "OUT": "out.*"} {
		_, err := b.js.AddStream(&nats.StreamConfig{Name: name, Subjects: []string{subject}})
		b.must(err)
	}
	old := b.old(`
	{ id: toStream, type: KafkaToJetStream, brokers: ["KAFKA"], topic: "in", groupid: "g", subject: "in.{{ .Topic }}.{{ .Partition }}" }
	{ id: toFixed, type: JetStreamToKafka, brokers: ["KAFKA"], topic: "fixed", subject: "out.*", stream: "OUT", balancer: "hash", keytype: "fixed", keyvalue: "the key" }
	{ id: toNone, type: JetStreamToKafka, brokers: ["KAFKA"], topic: "none", subject: "out.*" }
	{ id: toOne, type: JetStreamToKafka, brokers: ["KAFKA"], topic: "one", subject: "out.7", stream: "OUT", keytype: "subject" }
	`)
	text, _ := b.converted(old, "--resume-from", b.nats.ClientURL())
	client := b.client()
	var records []*kgo.Record
	for n := range each {
		r := kgo.StringRecord(fmt.Sprintf("message %d", n))
		r.Topic, r.Key = "in", []byte(fmt.Sprint(n%100))
		r.Headers = []kgo.RecordHeader{{Key: "b", Value: []byte("1")}, {Key: "b", Value: []byte("2")}, {Key: "A", Value: []byte(fmt.Sprint(n))}}
		records = append(records, r)
	}
	b.must(client.ProduceSync(b.ctx, records...).FirstErr())
	for n := range each {
		m := &nats.Msg{Subject: fmt.Sprintf("out.%d", n%10), Data: []byte(fmt.Sprintf("%d", n)), Header: nats.Header{"One": {fmt.Sprint(n)}, "Two": {"a"}}}
		_, err := b.js.PublishMsgAsync(m)
		b.must(err)
	}
	select {
	case <-b.js.PublishAsyncComplete():
	case <-b.ctx.Done():
		t.Fatal("the stream does not take its messages")
	}
	b.moves(text, map[string]uint64{"toStream": each, "toFixed": each, "toNone": each, "toOne": each / 10})

	inStream := map[string]int{}
	sub, err := b.js.SubscribeSync("in.>", nats.OrderedConsumer())
	b.must(err)
	for range each {
		m, err := sub.NextMsgWithContext(b.ctx)
		b.must(err)
		inStream[fmt.Sprintf("%s|%s|%s|%s", m.Subject, m.Data, strings.Join(m.Header["b"], "+"), m.Header["A"][0])]++
	}
	for n, r := range records {
		want := fmt.Sprintf("in.in.%d|message %d|1+2|%d", r.Partition, n, n)
		if inStream[want] != 1 {
			t.Fatalf("%q is %d times in the stream", want, inStream[want])
		}
	}
	for topic, key := range map[string]string{"fixed": "the key", "none": "", "one": "out.7"} {
		b.sameInTopic(topic, key)
	}
}

// sameInTopic reads a topic again, whose messages all have one key.
func (b *brokers) sameInTopic(topic, key string) {
	b.Helper()
	client := b.client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	got, want := map[string]bool{}, map[string]bool{}
	for n := range each {
		if topic != "one" || n%10 == 7 {
			want[fmt.Sprint(n)] = true
		}
	}
	for len(got) < len(want) {
		fetched := client.PollFetches(b.ctx)
		b.must(fetched.Err())
		for _, r := range fetched.Records() {
			headers := map[string]string{}
			for _, h := range r.Headers {
				headers[h.Key] = string(h.Value)
			}
			if r.Key == nil || string(r.Key) != key || r.Partition != saramaHash(key) || headers["One"] != string(r.Value) || headers["Two"] != "a" || got[string(r.Value)] {
				b.Fatalf("%s: partition %d, want %d; %+v", topic, r.Partition, saramaHash(key), r)
			}
			got[string(r.Value)] = true
		}
	}
	if !maps.Equal(got, want) {
		b.Errorf("%s: %d messages, want %d", topic, len(got), len(want))
	}
}

// saramaHash is what sarama 1.37 makes of a key without Producer.Partitioner being set: its hashPartitioner.
func saramaHash(key string) int32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(key)) // it never fails
	p := int32(h.Sum32()) % partitions
	return max(p, -p)
}

// TestResume: positions are carried over where there are any, and what is not known is told.
func TestResume(t *testing.T) {
	b := startBrokers(t, "fresh", "known", "core", "back")
	for name, subject := range map[string]string{"IN": "in.>", "OUT": "out.*"} {
		_, err := b.js.AddStream(&nats.StreamConfig{Name: name, Subjects: []string{subject}})
		b.must(err)
	}
	// As nats-kafka reads a stream: a durable to which the server pushes, 30 of 50 acknowledged.
	sub, err := b.js.SubscribeSync("out.*", nats.Durable("theirs"), nats.AckExplicit())
	b.must(err)
	for range 50 {
		_, err := b.js.Publish("out.a", []byte("x"))
		b.must(err)
	}
	for range 30 {
		m, err := sub.NextMsgWithContext(b.ctx)
		b.must(err)
		b.must(m.AckSync(nats.Context(b.ctx)))
	}
	_, err = b.js.Publish("in.fresh", []byte("x"))
	b.must(err)
	client := b.client()
	b.must(client.ProduceSync(b.ctx, &kgo.Record{Topic: "known", Value: []byte("x")}).FirstErr())
	member := b.client(kgo.ConsumerGroup("known"), kgo.ConsumeTopics("known"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	b.must(member.PollFetches(b.ctx).Err())
	b.must(member.CommitUncommittedOffsets(b.ctx))
	member.Close()

	old := b.old(`
	{ id: back, type: JetStreamToKafka, brokers: ["KAFKA"], topic: "back", subject: "out.*", durablename: "theirs" }
	{ id: anew, type: JetStreamToKafka, brokers: ["KAFKA"], topic: "core", subject: "out.*" }
	{ id: fresh, type: KafkaToJetStream, brokers: ["KAFKA"], topic: "fresh", groupid: "fresh", subject: "in.{{ .Topic }}" }
	{ id: known, type: KafkaToJetStream, brokers: ["KAFKA"], topic: "known", groupid: "known", subject: "in.known" }
	{ id: core, type: KafkaToNATS, brokers: ["KAFKA"], topic: "core", groupid: "core", subject: "core" }
	`)
	text, report := b.converted(old, "--resume-from", b.nats.ClientURL(), "--resume-margin", "10m")
	for _, want := range []string{
		"stream: OUT, subjects: [out.*], start: '31'}", "begins at 31, behind what it has acknowledged", "nothing tells how far it has got",
		"the route begins at what was written to the topic since", "the group has offsets, and the route goes on there", "core NATS keeps no message to go by",
	} {
		if !strings.Contains(text+report, want) {
			t.Errorf("want %q in\n%s\n%s", want, text, report)
		}
	}
	info, err := b.js.GetLastMsg("IN", "in.fresh")
	b.must(err)
	if want := "group: fresh, start: '" + info.Time.Add(-10*time.Minute).UTC().Format(time.RFC3339); !strings.Contains(text, want) {
		t.Errorf("want %s in\n%s", want, text)
	}
	if slices.ContainsFunc(strings.Split(text, "\n"), func(line string) bool {
		return strings.Contains(line, "group: known") && strings.Contains(line, "start")
	}) {
		t.Errorf("a start where there is a position:\n%s", text)
	}

	// A durable that is gone, as it is once nats-kafka was stopped, is an error: the stream would come again.
	b.must(b.js.DeleteConsumer("OUT", "theirs"))
	if _, report, code := run(t, old, "--resume-from", b.nats.ClientURL()); code != 2 || !strings.Contains(report, "nats-kafka deletes it when it is stopped") {
		t.Errorf("%d: %s", code, report)
	}
}
