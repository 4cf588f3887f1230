package kafka

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-bridge/sluice/connectors"
)

func TestSourceReadsInOrderAndGoesOnWhereItCommitted(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(4, "orders"))
	client := newClient(t, c)
	produce(t, client, "orders", 4, 0, 500)

	h := newHost()
	s := open(t, c, h)
	checkOrder(t, drain(t, s, h, 2000), 4, 0, 500)
	if lag, ok := s.Lag(); !ok || lag != 0 {
		t.Errorf("lag %d, %v; want 0", lag, ok)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}

	produce(t, client, "orders", 4, 500, 100)
	h = newHost()
	s = open(t, c, h)
	checkOrder(t, drain(t, s, h, 400), 4, 500, 100)
}

func TestSourceMessageIsWhole(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "orders"), kfake.ClusterID("c1"))
	produce(t, newClient(t, c), "orders", 1, 7, 1)
	h := newHost()
	s := open(t, c, h)
	b := fetchOne(t, s, h, wide)
	m := b.Messages[0]
	if b.Partition != "orders/0" || b.Origin != "kafka:c1/orders/0" || b.Next != 1 || b.Memory < int64(len(m.Value)) {
		t.Errorf("batch %+v", b)
	}
	if m.Subject != "orders" || string(m.Key) != "k7" || m.Offset != 0 || time.Since(m.Time) > time.Minute ||
		len(m.Headers) != 1 || m.Headers[0].Key != "h" || string(m.Headers[0].Value) != "v" {
		t.Errorf("message %+v", m)
	}
}

func TestSourceRedeliversWhatWasNotCommitted(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(2, "orders"))
	produce(t, newClient(t, c), "orders", 2, 0, 300)
	h := newHost()
	s := open(t, c, h)
	for range 3 {
		b := fetchOne(t, s, h, connectors.Room{Messages: 50, Bytes: 1 << 20})
		if len(b.Messages) > 50 {
			t.Fatalf("%d messages in a room of 50", len(b.Messages))
		}
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	h = newHost()
	s = open(t, c, h)
	checkOrder(t, drain(t, s, h, 600), 2, 0, 300)
}

func TestSourceKeepsToItsRoom(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "orders"))
	produce(t, newClient(t, c, kgo.ProducerBatchCompression(kgo.NoCompression())), "orders", 1, 0, 200)
	h := newHost()
	s := open(t, c, h)

	b := fetchOne(t, s, h, connectors.Room{Messages: 100, Bytes: 2000})
	if b.Memory > 2000 {
		t.Errorf("a batch of %d bytes in a room of 2000", b.Memory)
	}
	got := b.Next
	settle(t, s, h, b)
	_, err := s.Fetch(t.Context(), connectors.Room{Messages: 100, Bytes: 10})
	need, ok := errors.AsType[*connectors.NoRoomError](err)
	if !ok || need.Need < 50 || need.Need > 1000 {
		t.Fatalf("fetch without room: %v", err)
	}
	b = fetchOne(t, s, h, connectors.Room{Messages: 100, Bytes: 10, Alone: true})
	if len(b.Messages) != 1 || b.Messages[0].Offset != got {
		t.Errorf("alone: %d messages at %d", len(b.Messages), b.Messages[0].Offset)
	}
	settle(t, s, h, b)
	b = fetchOne(t, s, h, connectors.Room{Messages: 100, Bytes: need.Need})
	if len(b.Messages) != 1 {
		t.Errorf("with the room it asked for: %d messages", len(b.Messages))
	}
}

func TestSourceInterruptedFetchLeavesNoHole(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(3, "orders"))
	produce(t, newClient(t, c), "orders", 3, 0, 400)
	h := newHost()
	s := open(t, c, h)
	var all []seen
	for patience := time.Duration(0); len(all) < 1200; patience += 50 * time.Microsecond {
		ctx, cancel := context.WithTimeout(t.Context(), patience%(5*time.Millisecond))
		b, err := s.Fetch(ctx, connectors.Room{Messages: 7, Bytes: 1 << 20})
		cancel()
		if err != nil {
			continue
		}
		if !h.add(b.Partition, 1) {
			t.Fatal("fetched before it was assigned")
		}
		for _, m := range b.Messages {
			all = append(all, seen{b.Partition, m.Offset, string(m.Value)})
		}
		settle(t, s, h, b)
	}
	checkOrder(t, all, 3, 0, 400)
}

func TestSourceStart(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "orders"))
	client := newClient(t, c)
	produce(t, client, "orders", 1, 0, 10)
	for _, test := range []struct {
		start string
		want  int
	}{
		{"earliest", 0}, {"latest", 10}, {"7", 7}, {"24h", 0}, {"2001-01-01T00:00:00Z", 0}, {"2100-01-01T00:00:00Z", 10},
	} {
		t.Run(test.start, func(t *testing.T) {
			h := newHost()
			s := open(t, c, h, func(cfg *SourceConfig, _ *timing) {
				cfg.Group = "start-" + test.start
				if err := cfg.Start.UnmarshalText([]byte(test.start)); err != nil {
					t.Fatal(err)
				}
			})
			h.await(t, kind(connectors.Assigned))
			// The start is kept before anything is read.
			adm := kadm.NewClient(client)
			for {
				at, err := adm.FetchOffsets(t.Context(), s.cfg.Group)
				if err != nil {
					t.Fatal(err)
				}
				if o, ok := at.Lookup("orders", 0); ok {
					if o.At != int64(test.want) {
						t.Errorf("start %s: position %d, want %d", test.start, o.At, test.want)
					}
					return
				}
			}
		})
	}
}

func TestSourcePause(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(2, "orders"))
	produce(t, newClient(t, c), "orders", 2, 0, 3000)
	h := newHost()
	s := open(t, c, h)
	b := fetchOne(t, s, h, connectors.Room{Messages: 10, Bytes: 64 << 20})
	paused := b.Partition
	settle(t, s, h, b)
	s.Pause(paused)
	for range 4 {
		b := fetchOne(t, s, h, wide)
		if b.Partition == paused {
			t.Fatalf("%s is paused and was fetched", paused)
		}
		settle(t, s, h, b)
		if b.Next == 3000 {
			break
		}
	}
	h.await(t, kind(connectors.Refetched))
	s.Resume(paused)
	next := int64(10)
	for next < 3000 {
		b := fetchOne(t, s, h, wide)
		if b.Partition != paused {
			settle(t, s, h, b)
			continue
		}
		if b.Messages[0].Offset != next {
			t.Fatalf("resumed at %d, want %d", b.Messages[0].Offset, next)
		}
		next = b.Next
		settle(t, s, h, b)
	}
}

// Each request has all partitions, and none is sent while something of an earlier answer is held.
func TestSourceAsksForAllItMayReadAtOnce(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(3, "orders"))
	produce(t, newClient(t, c), "orders", 3, 0, 100)
	var parts atomic.Int64 // of the request with the fewest
	parts.Store(99)
	c.ControlKey(1, func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		parts.Store(min(parts.Load(), int64(len(req.(*kmsg.FetchRequest).Topics[0].Partitions))))
		return nil, nil, false
	})
	h := newHost()
	s := open(t, c, h)
	for got := 0; got < 300; {
		b := fetchOne(t, s, h, connectors.Room{Messages: 9, Bytes: 1 << 20})
		got += len(b.Messages)
		settle(t, s, h, b)
	}
	if n := parts.Load(); n != 3 {
		t.Errorf("a request had %d partitions", n)
	}
}

// Batches larger than an answer, in every partition: each partition's turn comes.
func TestSourceLargeBatches(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(4, "orders"))
	client := newClient(t, c, kgo.ProducerBatchCompression(kgo.NoCompression()))
	for p := range int32(4) {
		for range 5 {
			r := &kgo.Record{Topic: "orders", Partition: p, Value: make([]byte, 200<<10)}
			if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	h := newHost()
	s := open(t, c, h, func(cfg *SourceConfig, _ *timing) { cfg.FetchMaxBytes = 64 << 10 })
	got := map[string]int{}
	for _, m := range drain(t, s, h, 20) {
		got[m.partition]++
	}
	if len(got) != 4 {
		t.Errorf("%v", got)
	}
}
