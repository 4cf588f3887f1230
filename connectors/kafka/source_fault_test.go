package kafka

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/connectortest"
)

func admin(t *testing.T, c *kfake.Cluster) *kadm.Client { return kadm.NewClient(newClient(t, c)) }

// commitAt sets the group's position by another client.
func commitAt(t *testing.T, adm *kadm.Client, offset int64) {
	t.Helper()
	var at kadm.Offsets
	at.AddOffset("orders", 0, offset, -1)
	if err := adm.CommitAllOffsets(t.Context(), "sluice-test", at); err != nil {
		t.Fatal(err)
	}
}

func TestSourceReportsWhatExpired(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(2, "orders"))
	produce(t, newClient(t, c), "orders", 2, 0, 100)
	adm := admin(t, c)
	commitAt(t, adm, 10)
	var upTo kadm.Offsets
	upTo.AddOffset("orders", 0, 40, -1)
	if _, err := adm.DeleteRecords(t.Context(), upTo); err != nil {
		t.Fatal(err)
	}
	h := newHost()
	s := open(t, c, h)
	got := drain(t, s, h, 160)
	h.wantGaps(t, connectortest.Gap{Partition: "orders/0", From: 10, To: 40})
	first := slices.IndexFunc(got, func(m seen) bool { return m.partition == "orders/0" })
	if got[first].offset != 40 {
		t.Errorf("went on at %d", got[first].offset)
	}
}

func TestSourceHaltsWhereTheLogIsShorter(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "orders"))
	produce(t, newClient(t, c), "orders", 1, 0, 100)
	commitAt(t, admin(t, c), 500)
	h := newHost()
	s := open(t, c, h)
	err := fetchError(t, s, h, connectors.IsPermanent)
	for _, part := range []string{"orders/0", "500", "(100)"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is missing in: %v", part, err)
		}
	}
	wantHalt(t, err, "source_truncated", "sluice position test set --partition orders/0 --to 100")
}

func TestSourceHaltsWhenATopicIsCreatedAnew(t *testing.T) {
	t.Parallel()
	recreate := func(t *testing.T, adm *kadm.Client) {
		t.Helper()
		if _, err := adm.DeleteTopic(t.Context(), "orders"); err != nil {
			t.Fatal(err)
		}
		if _, err := adm.CreateTopic(t.Context(), 1, 1, nil, "orders"); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("while it is read", func(t *testing.T) {
		c := newCluster(t, kfake.SeedTopics(1, "orders"))
		client := newClient(t, c)
		produce(t, client, "orders", 1, 0, 10)
		h := newHost()
		s := open(t, c, h)
		drain(t, s, h, 10)
		recreate(t, kadm.NewClient(client))
		err := fetchError(t, s, h, connectors.IsPermanent)
		wantHalt(t, err, "source_recreated", "sluice position test set --to earliest")
	})
	t.Run("while nobody looks", func(t *testing.T) {
		c := newCluster(t, kfake.SeedTopics(1, "orders"))
		client := newClient(t, c)
		adm := kadm.NewClient(client)
		produce(t, client, "orders", 1, 0, 10)
		h := newHost()
		s := open(t, c, h)
		drain(t, s, h, 10)
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		before, err := adm.FetchOffsets(t.Context(), "sluice-test")
		if err != nil {
			t.Fatal(err)
		}
		recreate(t, adm)
		// Kafka forgets the positions of a deleted topic; one that comes back, such as from a backup, is told.
		if err := admin(t, c).CommitAllOffsets(t.Context(), "sluice-test", before.Offsets()); err != nil {
			t.Fatal(err)
		}
		h = newHost()
		s = open(t, c, h)
		err = fetchError(t, s, h, connectors.IsPermanent)
		wantHalt(t, err, "source_recreated", "sluice position test set --to earliest")
	})
}

func TestSourceWaitsForAMissingTopic(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	h := newHost()
	s := open(t, c, h)
	e := h.await(t, kind(connectors.Disconnected))
	if !strings.Contains(e.Err.Error(), "topic orders: Unknown Topic Or Partition (3); create the topic, it is waited for: kafka-topics.sh --bootstrap-server 127.0.0.1:") {
		t.Errorf("%v", e.Err)
	}
	adm := admin(t, c)
	if _, err := adm.CreateTopic(t.Context(), 2, 1, nil, "orders"); err != nil {
		t.Fatal(err)
	}
	produce(t, newClient(t, c), "orders", 2, 0, 10)
	checkOrder(t, drain(t, s, h, 20), 2, 0, 10)
	if kinds := h.link(); !slices.Equal(kinds, []connectors.EventKind{connectors.Disconnected, connectors.Connected}) {
		t.Errorf("reported %v", kinds)
	}

	// And sees that it grows.
	if _, err := adm.CreatePartitions(t.Context(), 2, "orders"); err != nil {
		t.Fatal(err)
	}
	h.await(t, kind(connectors.Rebalancing))
	client := newClient(t, c)
	if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "orders", Partition: 3, Value: []byte("new")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if got := drain(t, s, h, 1); got[0].partition != "orders/3" || got[0].value != "new" {
		t.Errorf("%+v", got)
	}
}

func TestSourceFollowsLeaders(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(4, "orders"), kfake.NumBrokers(3))
	client := newClient(t, c)
	h := newHost()
	s := open(t, c, h)
	for round := range 5 {
		produce(t, client, "orders", 4, round*50, 50)
		checkOrder(t, drain(t, s, h, 200), 4, round*50, 50)
		c.ShufflePartitionLeaders()
	}
}

func TestSourcePartitionErrorsAreTriedAgain(t *testing.T) {
	t.Parallel()
	for _, bad := range []code{codeUnknownTopicOrPartition, codeNotLeader, codeFencedLeaderEpoch, codeUnknownLeaderEpoch, codeOffsetOutOfRange, codeCorruptMessage, 56, -1} {
		t.Run(codeName(bad), func(t *testing.T) {
			c := newCluster(t, kfake.SeedTopics(1, "orders"))
			produce(t, newClient(t, c), "orders", 1, 0, 10)
			c.ControlKey(1, func(req kmsg.Request) (kmsg.Response, error, bool) { return failWith(req, bad), nil, true })
			h := newHost()
			s := open(t, c, h)
			checkOrder(t, drain(t, s, h, 10), 1, 0, 10)
		})
	}
}

func TestSourceReportsAnOutage(t *testing.T) {
	t.Parallel()
	g := newGate()
	c := newCluster(t, kfake.SeedTopics(1, "orders"), g.option())
	produce(t, newClient(t, c), "orders", 1, 0, 10)
	h := newHost()
	s := open(t, c, h)
	checkOrder(t, drain(t, s, h, 10), 1, 0, 10)
	h.await(t, kind(connectors.Connected))
	g.set(true)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	for ctx.Err() == nil {
		if b, err := s.Fetch(ctx, wide); err == nil {
			t.Fatalf("fetched %v from nowhere", b)
		}
	}
	h.await(t, kind(connectors.Disconnected))
	g.set(false)
	produce(t, newClient(t, c), "orders", 1, 10, 10)
	checkOrder(t, drain(t, s, h, 10), 1, 10, 10)
	link := h.link()
	if want := []connectors.EventKind{connectors.Connected, connectors.Disconnected, connectors.Connected}; !slices.Equal(link, want) {
		t.Errorf("reported %v, want %v", link, want)
	}
}

func TestSourceOneOfItsTopicsIsMissing(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "orders"))
	h := newHost()
	s := open(t, c, h, func(cfg *SourceConfig, _ *timing) { cfg.Topics = connectors.List{"orders", "later"} })
	err := fetchError(t, s, h, func(err error) bool { return !connectors.IsPermanent(err) })
	if !strings.Contains(err.Error(), "topic later") {
		t.Errorf("%v", err)
	}
	produce(t, newClient(t, c), "orders", 1, 0, 10)
	checkOrder(t, drain(t, s, h, 10), 1, 0, 10)
	if kinds := h.link(); !slices.Equal(kinds, []connectors.EventKind{connectors.Connected}) {
		t.Errorf("reported %v", kinds)
	}
}

func TestSourceMayNotUseTheGroup(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "orders"))
	produce(t, newClient(t, c), "orders", 1, 0, 10)
	for range 3 {
		c.ControlKey(11, func(req kmsg.Request) (kmsg.Response, error, bool) {
			return failWith(req, codeGroupAuthorization), nil, true
		})
	}
	h := newHost()
	s := open(t, c, h)
	e := h.await(t, kind(connectors.Disconnected))
	if !strings.Contains(e.Err.Error(), "join group sluice-test: Group Authorization Failed (30); grant the user READ on the group") {
		t.Errorf("%v", e.Err)
	}
	checkOrder(t, drain(t, s, h, 10), 1, 0, 10)
}

func TestSourceTransactions(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "orders"))
	client := newClient(t, c, kgo.TransactionalID("tx"))
	for round, commit := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort, kgo.TryCommit, kgo.TryAbort} {
		if err := client.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		produce(t, client, "orders", 1, round*10, 10)
		if err := client.EndTransaction(t.Context(), commit); err != nil {
			t.Fatal(err)
		}
	}
	produce(t, newClient(t, c), "orders", 1, 40, 1)
	h := newHost()
	s := open(t, c, h)
	var numbers []string
	for _, m := range drain(t, s, h, 21) {
		numbers = append(numbers, m.value[2:strings.LastIndex(m.value, ":")])
	}
	if got := strings.Join(numbers, " "); got != "0 1 2 3 4 5 6 7 8 9 20 21 22 23 24 25 26 27 28 29 40" {
		t.Errorf("read %s", got)
	}
	h = newHost()
	s = open(t, c, h, func(cfg *SourceConfig, _ *timing) { cfg.Isolation, cfg.Group = readUncommitted, "other" })
	drain(t, s, h, 41)
}

// A batch that cannot be decoded is given to the reject policy with its bytes; what is beside it, and
// behind it, comes.
func TestSourceHostileBatch(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(2, "orders"))
	produce(t, newClient(t, c), "orders", 2, 0, 10)
	c.ControlKey(1, func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		f := req.(*kmsg.FetchRequest)
		for _, topic := range f.Topics {
			for _, p := range topic.Partitions {
				if p.Partition != 1 || p.FetchOffset >= 10 {
					continue
				}
				res := req.ResponseKind().(*kmsg.FetchResponse)
				bad := kmsg.RecordBatch{Length: 49 + 4, Magic: 2, CRC: 1, LastOffsetDelta: 9, NumRecords: 10, Records: []byte("evil")}
				res.Topics = []kmsg.FetchResponseTopic{{Topic: "orders", Partitions: []kmsg.FetchResponseTopicPartition{{
					Partition: 1, HighWatermark: 10, LastStableOffset: 10, PreferredReadReplica: -1, RecordBatches: bad.AppendTo(nil),
				}}}}
				return res, nil, true
			}
		}
		return nil, nil, false
	})
	h := newHost()
	s := open(t, c, h)
	rejected, good := 0, 0
	for rejected+good < 11 {
		b := fetchOne(t, s, h, wide)
		if b.Partition == "orders/0" {
			good += len(b.Messages)
		} else {
			rejected++
			if b.Reject == nil || b.Next != 10 || len(b.Messages) != 1 || !strings.HasSuffix(string(b.Messages[0].Value), "evil") ||
				!strings.Contains(b.Reject.Error(), "orders/1: record batch at offset 0: its checksum is wrong") {
				t.Fatalf("batch %+v: %v", b, b.Reject)
			}
		}
		settle(t, s, h, b)
	}
	if rejected != 1 {
		t.Errorf("rejected %d times", rejected)
	}
}

// An answer that is not one breaks its connection, not the source.
func TestSourceHostileAnswer(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "orders"))
	produce(t, newClient(t, c), "orders", 1, 0, 10)
	for range 3 {
		c.ControlKey(1, func(req kmsg.Request) (kmsg.Response, error, bool) {
			// Its answer is read as a Fetch answer and makes no sense as one.
			res := kmsg.NewPtrListOffsetsResponse()
			res.Topics = []kmsg.ListOffsetsResponseTopic{{Topic: "orders", Partitions: make([]kmsg.ListOffsetsResponseTopicPartition, 9)}}
			res.SetVersion(1)
			return res, nil, true
		})
	}
	h := newHost()
	s := open(t, c, h)
	checkOrder(t, drain(t, s, h, 10), 1, 0, 10)
}

func TestSourceBacklogAndLag(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(4, "orders"))
	produce(t, newClient(t, c), "orders", 4, 0, 25)
	h := newHost()
	s := open(t, c, h)
	b := fetchOne(t, s, h, wide)
	f := s.Describe()
	if f.Backlog != "4 partitions, 100 messages, oldest 0s" || !slices.Equal(f.Touches, []string{"group sluice-test"}) {
		t.Errorf("%+v", f)
	}
	if f.Memory != 1<<20 || f.MemoryFor != "1 broker x 1MiB fetch" {
		t.Errorf("%+v", f)
	}
	if lag, ok := s.Lag(); !ok || lag != 100-int64(len(b.Messages)) {
		t.Errorf("lag %d, %v", lag, ok)
	}
	settle(t, s, h, b)
	drain(t, s, h, 100-int(b.Next))
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	h = newHost()
	s = open(t, c, h)
	h.await(t, kind(connectors.Assigned))
	if f := s.Describe(); f.Backlog != "" {
		t.Errorf("not a first start: %q", f.Backlog)
	}
}

// An exactly-once sink knows better than the group.
func TestSourceBeginsWhereTheSinkIs(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "orders"))
	produce(t, newClient(t, c), "orders", 1, 0, 10)
	commitAt(t, admin(t, c), 2)
	h := newHost()
	h.stored["orders/0"] = 7
	s := open(t, c, h)
	if b := fetchOne(t, s, h, wide); b.Messages[0].Offset != 7 {
		t.Errorf("began at %d", b.Messages[0].Offset)
	}
}
