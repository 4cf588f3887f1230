package kafka

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/connectortest"
)

func brokerGoroutines() []goleak.Option {
	return []goleak.Option{
		goleak.IgnoreAnyFunction("github.com/twmb/franz-go/pkg/kfake.(*clientConn).read"),
		goleak.IgnoreAnyFunction("github.com/twmb/franz-go/pkg/kfake.(*clientConn).read.func1"),
		goleak.IgnoreAnyFunction("github.com/twmb/franz-go/pkg/kfake.(*clientConn).write"),
		goleak.IgnoreAnyFunction("github.com/twmb/franz-go/pkg/kfake.(*group).manage"),
	}
}

func TestLogConformance(t *testing.T) {
	place := func(t testing.TB, partitions int32) (*kfake.Cluster, string) {
		c, err := kfake.NewCluster(kfake.NumBrokers(2), kfake.SeedTopics(partitions, "orders"),
			kfake.GroupMinSessionTimeout(0), kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c, "brokers: [" + strings.Join(c.ListenAddrs(), ", ") + "]\n"
	}
	settings := connectortest.Settings{Goroutines: brokerGoroutines()}
	t.Run("source", func(t *testing.T) {
		connectortest.Log(t, connectortest.LogHarness{Settings: settings, New: func(t testing.TB) connectortest.Logged {
			c, config := place(t, 3)
			source := func(t testing.TB) *connectors.SourceSpec {
				return connectortest.SourceSpec(t, Plugin(), config+"topics: orders")
			}
			return connectortest.Logged{
				Partition: "orders/1", Empty: "orders/2", Source: source, Log: source(t).Log,
				Put: func(t testing.TB, messages ...connectors.Message) { putRecords(t, c, 1, messages...) },
			}
		}})
	})
	t.Run("sink", func(t *testing.T) {
		connectortest.Log(t, connectortest.LogHarness{Settings: settings, New: func(t testing.TB) connectortest.Logged {
			_, config := place(t, 1)
			sink := func(t testing.TB) *connectors.SinkSpec {
				return connectortest.SinkSpec(t, Plugin(), config+"topic: orders\ncompression: zstd")
			}
			return connectortest.Logged{Partition: "orders/0", Sink: sink, Log: sink(t).Log}
		}})
	})
}

// putRecords stores messages with an independent client.
func putRecords(t testing.TB, c *kfake.Cluster, partition int32, messages ...connectors.Message) {
	t.Helper()
	records := make([]*kgo.Record, len(messages))
	for i, m := range messages {
		r := &kgo.Record{Topic: "orders", Partition: partition, Key: m.Key, Value: m.Value, Timestamp: m.Time}
		for _, h := range m.Headers {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
		records[i] = r
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.ProduceSync(context.Background(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func openTestLog(t *testing.T, open func(context.Context, connectors.Env) (connectors.Log, error), env connectors.Env) connectors.Log {
	t.Helper()
	l, err := open(t.Context(), env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close(context.Background()) })
	return l
}

// valuesIn reads a partition as the log bounds it.
func valuesIn(t *testing.T, l connectors.Log, r connectors.Range) (all []string) {
	t.Helper()
	if err := l.Read(testContext(t), r.Partition, r.First, r.End, func(m *connectors.Message) error {
		all = append(all, string(m.Value))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// A log steps over what is no message: aborted transactions, their markers, what compaction left empty; it
// ends before a transaction that is open; and with read_uncommitted it reads what a source would.
func TestLogOfTransactions(t *testing.T) {
	c := newCluster(t, kfake.SeedTopics(1, "orders"))
	client := newClient(t, c, kgo.TransactionalID("t"), kgo.DefaultProduceTopic("orders"))
	transaction := func(end kgo.TransactionEndTry, open bool, values ...string) {
		t.Helper()
		if err := client.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for _, v := range values {
			if err := client.ProduceSync(t.Context(), &kgo.Record{Value: []byte(v)}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		if open {
			return
		}
		if err := client.EndTransaction(t.Context(), end); err != nil {
			t.Fatal(err)
		}
	}
	transaction(kgo.TryAbort, false, "x1", "x2")
	transaction(kgo.TryCommit, false, "a", "b")
	transaction(kgo.TryAbort, false, "x3")
	transaction(kgo.TryCommit, false, "c")
	transaction(kgo.TryAbort, false, "x4", "x5")
	transaction(kgo.TryCommit, true, "open")

	for isolation, want := range map[string]string{
		readCommitted: "a b c", readUncommitted: "x1 x2 a b x3 c x4 x5 open",
	} {
		config := "brokers: [" + c.ListenAddrs()[0] + "]\ntopics: orders\nisolation: " + isolation
		l := openTestLog(t, connectortest.SourceSpec(t, Plugin(), config).Log, connectors.Env{})
		all, err := l.Ranges(testContext(t))
		if err != nil || len(all) != 1 {
			t.Fatalf("%s: %v, %v", isolation, all, err)
		}
		if got := strings.Join(valuesIn(t, l, all[0]), " "); got != want {
			t.Errorf("%s: %s, want %s", isolation, got, want)
		}
		// Beyond the end nothing is waited for.
		all[0].End += 100
		if got := strings.Join(valuesIn(t, l, all[0]), " "); got != want {
			t.Errorf("%s beyond the end: %s, want %s", isolation, got, want)
		}
	}
}

func TestLogOfTruncated(t *testing.T) {
	c := newCluster(t, kfake.SeedTopics(1, "orders"))
	client := newClient(t, c, kgo.DefaultProduceTopic("orders"))
	for i := range 40 {
		if err := client.ProduceSync(t.Context(), &kgo.Record{Key: fmt.Append(nil, "k", i%20), Value: fmt.Append(nil, i)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	l := openTestLog(t, connectortest.SourceSpec(t, Plugin(), "brokers: ["+c.ListenAddrs()[0]+"]\ntopics: orders").Log, connectors.Env{})
	if got := valuesIn(t, l, connectors.Range{Partition: "orders/0", End: 40}); len(got) != 40 {
		t.Fatalf("%d messages", len(got))
	}
	upTo := kadm.Offsets{}
	upTo.AddOffset("orders", 0, 10, -1)
	if _, err := kadm.NewClient(client).DeleteRecords(t.Context(), upTo); err != nil {
		t.Fatal(err)
	}
	all, err := l.Ranges(testContext(t))
	if err != nil || all[0].First != 10 || all[0].End != 40 {
		t.Fatalf("%v, %v", all, err)
	}
	// From before the beginning, as from a position of long ago.
	if got := valuesIn(t, l, connectors.Range{Partition: "orders/0", First: 3, End: 40}); len(got) != 30 || got[0] != "10" {
		t.Errorf("%d messages from %v", len(got), got[:1])
	}
}

// A batch that cannot be decoded is one message with its bytes, as the source has it.
func TestLogOfCorruptBatch(t *testing.T) {
	c := newCluster(t, kfake.SeedTopics(1, "orders"))
	produce(t, newClient(t, c), "orders", 1, 0, 5)
	broken := make([]byte, 61)
	binary.BigEndian.PutUint32(broken[8:], uint32(len(broken)-12))
	broken[16] = 2
	binary.BigEndian.PutUint32(broken[23:], 2) // offsets 0 to 2
	c.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		of := req.(*kmsg.FetchRequest).Topics[0]
		if of.Partitions[0].FetchOffset != 0 {
			return nil, nil, false
		}
		res := req.ResponseKind().(*kmsg.FetchResponse)
		part := kmsg.NewFetchResponseTopicPartition()
		part.HighWatermark, part.LastStableOffset, part.RecordBatches = 5, 5, broken
		res.Topics = append(res.Topics, kmsg.FetchResponseTopic{Topic: of.Topic, TopicID: of.TopicID, Partitions: []kmsg.FetchResponseTopicPartition{part}})
		return res, nil, true
	})
	l := openTestLog(t, connectortest.SourceSpec(t, Plugin(), "brokers: ["+c.ListenAddrs()[0]+"]\ntopics: orders").Log, connectors.Env{})
	got := valuesIn(t, l, connectors.Range{Partition: "orders/0", End: 5})
	if want := []string{string(broken), string(value(0, 3)), string(value(0, 4))}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// What stands in for a batch never goes back, and never far ahead for a lie.
func TestUndecoded(t *testing.T) {
	claim := func(base int64, delta uint32, length uint32) []byte {
		b := make([]byte, 40)
		binary.BigEndian.PutUint64(b, uint64(base))
		binary.BigEndian.PutUint32(b[8:], length)
		binary.BigEndian.PutUint32(b[23:], delta)
		return b
	}
	for name, c := range map[string]struct {
		raw  []byte
		at   int64
		want int64
		size int
	}{
		"plausible": {claim(10, 4, 20), 12, 15, 32}, "short": {[]byte("x"), 7, 8, 1}, "empty": {nil, 7, 8, 0}, "behind": {claim(10, 4, 20), 20, 21, 32},
		"far ahead": {claim(10, 1<<30, 20), 12, 13, 32}, "negative": {claim(10, 1<<31, 20), 12, 13, 32}, "longer than there is": {claim(10, 4, 1<<20), 12, 15, 40},
		"a negative length": {claim(10, 4, 1<<31), 12, 15, 40},
	} {
		if r, after := undecoded(c.raw, c.at); after != c.want || len(r.Value) != c.size || r.Offset != c.at {
			t.Errorf("%s: %d bytes at %d, after %d", name, len(r.Value), r.Offset, after)
		}
	}
}

// A sink's log is of the topics that its mapping may have filled.
func TestLogOfMappedTopics(t *testing.T) {
	c := newCluster(t, kfake.SeedTopics(2, "out.a", "out.b", "other", "__out.c"))
	template, err := connectors.ParseTemplate("out.{{ subject }}")
	if err != nil {
		t.Fatal(err)
	}
	m := connectors.Map{Topic: template}
	about := connectortest.About()
	about.Map = m
	spec, err := Plugin().Sink(connectortest.Decode("brokers: ["+c.ListenAddrs()[0]+"]"), about)
	if err != nil {
		t.Fatal(err)
	}
	l := openTestLog(t, spec.Log, connectors.Env{Map: m})
	all, err := l.Ranges(testContext(t))
	var names []string
	for _, r := range all {
		names = append(names, r.Partition)
	}
	if want := []string{"out.a/0", "out.a/1", "out.b/0", "out.b/1"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("%v, %v", names, err)
	}
}

// A topic that a source names has to exist; one that a sink will write to holds nothing yet.
func TestLogOfMissingTopic(t *testing.T) {
	c := newCluster(t, kfake.SeedTopics(1, "other"))
	config := "brokers: [" + c.ListenAddrs()[0] + "]\n"
	source := openTestLog(t, connectortest.SourceSpec(t, Plugin(), config+"topics: [other, orders]").Log, connectors.Env{})
	if _, err := source.Ranges(testContext(t)); err == nil || !strings.Contains(err.Error(), "topic orders") {
		t.Errorf("source: %v", err)
	}
	sink := openTestLog(t, connectortest.SinkSpec(t, Plugin(), config+"topic: orders").Log, connectors.Env{})
	if all, err := sink.Ranges(testContext(t)); err != nil || len(all) != 0 {
		t.Errorf("sink: %v, %v", all, err)
	}
}

func TestLogUnreachable(t *testing.T) {
	config := "brokers: [127.0.0.1:1]\ndial_timeout: 200ms\n"
	l := openTestLog(t, connectortest.SourceSpec(t, Plugin(), config+"topics: orders").Log, connectors.Env{})
	if _, err := l.Ranges(testContext(t)); err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("%v", err)
	}
}

// A log logs in as its connection says, with the password that stands in the file by then.
func TestLogLogsIn(t *testing.T) {
	c := newCluster(t, kfake.SeedTopics(1, "orders"), kfake.EnableSASL(), kfake.Superuser("PLAIN", "u", "secret"))
	file := filepath.Join(t.TempDir(), "password")
	config := defaultSource(connectortest.About())
	config.Brokers, config.Topics, config.Username, config.Password = c.ListenAddrs(), connectors.List{"orders"}, "u", connectors.SecretFile(file)
	for password, works := range map[string]bool{"secret": true, "wrong": false} {
		if err := os.WriteFile(file, []byte(password), 0o600); err != nil {
			t.Fatal(err)
		}
		l := openTestLog(t, func(context.Context, connectors.Env) (connectors.Log, error) { return openSourceLog(&config) }, connectors.Env{})
		if _, err := l.Ranges(testContext(t)); (err == nil) != works {
			t.Errorf("%s: %v", password, err)
		}
	}
}

// What a sink changes on purpose is expected so.
func TestLogExpects(t *testing.T) {
	l := openTestLog(t, connectortest.SinkSpec(t, Plugin(), "brokers: [127.0.0.1:1]\ntopic: out").Log, connectors.Env{})
	b := &connectors.Batch{Partition: "S", Origin: "nats:x/S"}
	m := connectors.Message{Subject: "s.1", Time: time.Unix(7, 1_999_999)}
	l.(connectors.Expecter).Expect(b, &m)
	if string(m.Key) != "s.1" || !m.Time.Equal(time.Unix(7, 1_000_000)) {
		t.Errorf("key %q, time %v", m.Key, m.Time)
	}
}
