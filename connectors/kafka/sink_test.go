package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-bridge/sluice/connectors"
)

// Every field arrives as it is, under every codec, and our own header replaces an older one.
func TestSinkWritesEveryField(t *testing.T) {
	t.Parallel()
	cluster := newCluster(t, kfake.SeedTopics(1, "t"))
	long := bytes.Repeat([]byte("long "), 20_000)
	headers := []connectors.Header{
		{Key: "a", Value: []byte("1")}, {Key: "b", Value: []byte{}}, {Key: "a", Value: nil}, {Key: "", Value: []byte{0, 0xff}},
	}
	at := time.UnixMilli(1_600_000_000_123)
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		s, _ := openTestSink(t, cluster.ListenAddrs(), "t", func(c *SinkConfig, _ *connectors.Env) { c.Compression = codec })
		old := connectors.Header{Key: connectors.OriginHeader, Value: []byte("kafka:x/y/0/7;hops=2")}
		b := batchOf("S", 40,
			connectors.Message{Subject: "s.1", Key: []byte("k"), Value: long, Headers: headers, Time: at},
			connectors.Message{Subject: "s.1", Key: []byte{}, Value: []byte{}, Time: at},
			connectors.Message{Subject: "s.1", Value: nil, Headers: append([]connectors.Header{old}, headers...), Time: at},
			connectors.Message{Subject: "s.1", Value: []byte(codec), Time: at.Add(-time.Hour)},
		)
		if err := s.Write(testContext(t), []*connectors.Batch{b}); err != nil {
			t.Fatalf("%s: %v", codec, err)
		}
	}
	records := readAll(t, cluster.ListenAddrs(), 20, "t")
	if len(records) != 20 {
		t.Fatalf("%d records", len(records))
	}
	for i, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		var theirs []kgo.RecordHeader
		for _, h := range headers {
			theirs = append(theirs, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
		origin := func(offset, hops int) kgo.RecordHeader {
			return kgo.RecordHeader{Key: "Sluice-Origin", Value: fmt.Appendf(nil, "nats:test/S/%d;hops=%d", offset, hops)}
		}
		type record struct {
			Key, Value []byte
			Headers    []kgo.RecordHeader
			Time       time.Time
		}
		want := []record{
			{[]byte("k"), long, append(theirs[:4:4], origin(40, 1)), at},
			{[]byte{}, []byte{}, []kgo.RecordHeader{origin(41, 1)}, at},
			{nil, nil, append(theirs[:4:4], origin(42, 3)), at},
			{[]byte("s.1"), []byte(codec), []kgo.RecordHeader{origin(43, 1)}, at.Add(-time.Hour)},
		}
		for j, w := range want {
			r := records[4*i+j]
			if diff := cmp.Diff(w, record{r.Key, r.Value, r.Headers, r.Timestamp}); diff != "" {
				t.Errorf("%s, message %d: %s", codec, j, diff)
			}
		}
	}
}

// Many lanes at once, each in order, spread over partitions and brokers.
func TestSinkManyLanes(t *testing.T) {
	t.Parallel()
	cluster := newCluster(t, kfake.NumBrokers(3), kfake.SeedTopics(6, "t"))
	s, _ := openTestSink(t, cluster.ListenAddrs(), "t", nil)
	ctx := testContext(t)
	lanes := map[string]int{"a": 2000, "b": 2000, "c": 2000}
	errs := make(chan error)
	for lane, n := range lanes {
		go func() {
			for i := 0; i < n; i += 100 {
				messages := keyed(lane, i, 100)
				err := s.Write(ctx, []*connectors.Batch{batchOf(lane, int64(i), messages[:30]...), batchOf(lane, int64(i+30), messages[30:]...)})
				for j := range messages { // nobody may read them any more
					copy(messages[j].Value, "!!!!!!!!")
					copy(messages[j].Key, "!!!!!!!!")
				}
				if err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range lanes {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	records := readAll(t, cluster.ListenAddrs(), 6000, "t")
	checkLanes(t, records, lanes)
	partitions := map[int32]bool{}
	for _, r := range records {
		partitions[r.Partition] = true
		if want := int32(kgo.StickyKeyPartitioner(nil).ForTopic("t").Partition(r, 6)); r.Partition != want {
			t.Fatalf("key %q is in partition %d, Java puts it into %d", r.Key, r.Partition, want)
		}
	}
	if len(partitions) < 3 {
		t.Errorf("only %d partitions were used", len(partitions))
	}
}

// Large Writes are cut into batches that topic and request allow.
func TestSinkLargeWrite(t *testing.T) {
	t.Parallel()
	cluster := newCluster(t, kfake.SeedTopics(2, "t"))
	s, _ := openTestSink(t, cluster.ListenAddrs(), "t", nil)
	messages := keyed("a", 0, 600)
	for i := range messages {
		messages[i].Value = append(messages[i].Value, bytes.Repeat([]byte(" "), 10_000)...)
	}
	if err := s.Write(testContext(t), []*connectors.Batch{batchOf("a", 0, messages...)}); err != nil {
		t.Fatal(err)
	}
	checkLanes(t, readAll(t, cluster.ListenAddrs(), 600, "t"), map[string]int{"a": 600})
}

// A topic that is not there is a state with a name and a way out, and over when it is created.
func TestSinkUnknownTopic(t *testing.T) {
	t.Parallel()
	cluster := newCluster(t, kfake.SeedTopics(1, "other"))
	s, host := openTestSink(t, cluster.ListenAddrs(), "late", nil)
	ctx := testContext(t)
	write := func() error {
		return s.Write(ctx, []*connectors.Batch{batchOf("a", 0, keyed("a", 0, 1)...)})
	}
	err := write()
	if err == nil || connectors.IsPermanent(err) || !strings.Contains(err.Error(), "late") || !strings.Contains(err.Error(), "--create --topic late --partitions 4 --replication-factor 1") {
		t.Fatalf("err = %v", err)
	}
	if _, err := host.AwaitEvent(ctx, connectors.Connected); err != nil {
		t.Error("a missing topic is not a missing broker")
	}
	createTopic(t, cluster, "late")
	if err := write(); err != nil {
		t.Fatal(err)
	}
	checkLanes(t, readAll(t, cluster.ListenAddrs(), 1, "late"), map[string]int{"a": 1})
}

func createTopic(t *testing.T, cluster *kfake.Cluster, name string) {
	t.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = 5000
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions, rt.ReplicationFactor = name, 1, 1
	req.Topics = append(req.Topics, rt)
	if _, err := req.RequestWith(t.Context(), newClient(t, cluster)); err != nil {
		t.Fatal(err)
	}
}

// A broker that is away at start is waited for.
func TestSinkBrokerAwayAtStart(t *testing.T) {
	t.Parallel()
	away := newCluster(t, kfake.SeedTopics(1, "t"))
	address := away.ListenAddrs()
	away.Close()
	s, host := openTestSink(t, address, "t", nil)
	ctx := testContext(t)
	e, err := host.AwaitEvent(ctx, connectors.Disconnected)
	if err != nil || !strings.Contains(e.Err.Error(), address[0]) {
		t.Fatalf("%v, %v", e.Err, err)
	}
	if err := s.Write(ctx, []*connectors.Batch{batchOf("a", 0, keyed("a", 0, 1)...)}); err == nil || connectors.IsPermanent(err) {
		t.Errorf("Write returned %v", err)
	}
	var port int
	fmt.Sscanf(address[0][strings.LastIndex(address[0], ":")+1:], "%d", &port)
	back := newCluster(t, kfake.SeedTopics(1, "t"), kfake.Ports(port))
	if _, err := host.AwaitEvent(ctx, connectors.Connected); err != nil {
		t.Fatal(err)
	}
	for err = errors.New("not yet"); err != nil && ctx.Err() == nil; {
		err = s.Write(ctx, []*connectors.Batch{batchOf("a", 0, keyed("a", 0, 1)...)})
	}
	checkLanes(t, readAll(t, back.ListenAddrs(), 1, "t"), map[string]int{"a": 1})
}

// Topics by mapping: the messages that make no topic name, or that of a topic that is not there, fail
// alone and by their own class.
func TestSinkTopicTemplate(t *testing.T) {
	t.Parallel()
	cluster := newCluster(t, kfake.SeedTopics(1, "x.a", "x.b"))
	s, _ := openTestSink(t, cluster.ListenAddrs(), "", func(_ *SinkConfig, e *connectors.Env) {
		e.Map.Topic, _ = connectors.ParseTemplate("x.{{ key }}")
		e.Map.Key, _ = connectors.ParseTemplate("{{ subject }}@{{ offset }}")
	})
	message := func(key string) connectors.Message {
		return connectors.Message{Subject: "s", Key: []byte(key), Value: []byte(key)}
	}
	err := s.Write(testContext(t), []*connectors.Batch{batchOf("S", 7,
		message("a"), message("no name"), message("b"), message("missing"), message("a"), message(strings.Repeat("l", 250)))})
	var failed *connectors.BatchError
	if !errors.As(err, &failed) || len(failed.Failed) != 3 {
		t.Fatalf("err = %v", err)
	}
	for i, want := range []struct {
		index     int
		permanent bool
		text      string
	}{{1, true, "not a topic name"}, {3, false, "x.missing"}, {5, true, "not a topic name"}} {
		f := failed.Failed[i]
		if f.Index != want.index || connectors.IsPermanent(f.Err) != want.permanent || !strings.Contains(f.Err.Error(), want.text) {
			t.Errorf("failure %d: %d %v", i, f.Index, f.Err)
		}
	}
	got := map[string]string{}
	for _, r := range readAll(t, cluster.ListenAddrs(), 3, "x.a", "x.b") {
		got[string(r.Key)] = r.Topic
	}
	if diff := cmp.Diff(map[string]string{"s@7": "x.a", "s@9": "x.b", "s@11": "x.a"}, got); diff != "" {
		t.Error(diff)
	}
}

// A message that passed too many bridges, and one that is too large, are refused without a broker.
func TestSinkRefusesLocally(t *testing.T) {
	t.Parallel()
	cluster := newCluster(t, kfake.SeedTopics(1, "t"))
	s, _ := openTestSink(t, cluster.ListenAddrs(), "t", func(c *SinkConfig, _ *connectors.Env) { c.MaxMessage = 2 << 10 })
	messages := keyed("a", 0, 3)
	messages[0].Headers = []connectors.Header{{Key: connectors.OriginHeader, Value: []byte("kafka:x/y/0/7;hops=8")}}
	messages[2].Value = make([]byte, 2<<10)
	err := s.Write(testContext(t), []*connectors.Batch{batchOf("a", 0, messages...)})
	var failed *connectors.BatchError
	if !errors.As(err, &failed) || len(failed.Failed) != 2 || failed.Failed[0].Index != 0 || failed.Failed[1].Index != 2 ||
		!connectors.IsPermanent(failed.Failed[0].Err) || !connectors.IsPermanent(failed.Failed[1].Err) {
		t.Fatalf("err = %v", err)
	}
	if !strings.Contains(failed.Failed[0].Err.Error(), "loop") || !strings.Contains(failed.Failed[1].Err.Error(), "max_message") {
		t.Error(err)
	}
}

func TestSinkWriteEndsWithItsContext(t *testing.T) {
	t.Parallel()
	cluster := newCluster(t, kfake.SeedTopics(1, "t"))
	s, _ := openTestSink(t, cluster.ListenAddrs(), "t", nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := s.Write(ctx, []*connectors.Batch{batchOf("a", 0, keyed("a", 0, 1)...)})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
}

// A partition that map.partition asks for may be newer than what the sink knows of the topic: it asks before it refuses.
func TestSinkPartitionMapped(t *testing.T) {
	t.Parallel()
	cluster := newCluster(t, kfake.SeedTopics(2, "t"))
	s, _ := openTestSink(t, cluster.ListenAddrs(), "t", func(_ *SinkConfig, e *connectors.Env) {
		e.Map.Partition, _ = connectors.ParseTemplate("{{ key }}")
	})
	write := func(first int64, keys ...string) error {
		var messages []connectors.Message
		for _, key := range keys {
			messages = append(messages, connectors.Message{Key: []byte(key), Value: []byte(key)})
		}
		return s.Write(testContext(t), []*connectors.Batch{batchOf("S", first, messages...)})
	}
	if err := write(0, "1", "0"); err != nil {
		t.Fatal(err)
	}
	if _, err := admin(t, cluster).CreatePartitions(t.Context(), 2, "t"); err != nil {
		t.Fatal(err)
	}
	var failed *connectors.BatchError
	err := write(2, "3", "4", "2", "x", "3")
	if !errors.As(err, &failed) || len(failed.Failed) != 2 || failed.Failed[0].Index != 1 || failed.Failed[1].Index != 3 {
		t.Fatalf("err = %v", err)
	}
	for _, f := range failed.Failed {
		if !connectors.IsPermanent(f.Err) || !strings.Contains(f.Err.Error(), "topic t has the partitions 0 to 3") {
			t.Error(f.Err)
		}
	}
	for _, r := range readAll(t, cluster.ListenAddrs(), 5, "t") {
		if string(r.Value) != fmt.Sprint(r.Partition) {
			t.Errorf("%s is in partition %d", r.Value, r.Partition)
		}
	}
}
