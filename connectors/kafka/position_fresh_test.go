package kafka

import (
	"context"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-bridge/sluice/connectors"
)

func startLatest(c *SourceConfig, _ *timing) { c.Start = Start{Kind: StartLatest} }

func offsetsOf(t *testing.T, adm *kadm.Client) map[int32]int64 {
	t.Helper()
	offsets, err := adm.FetchOffsets(t.Context(), "sluice-test")
	if err != nil {
		t.Fatal(err)
	}
	at := map[int32]int64{}
	for p, o := range offsets["orders"] {
		at[p] = o.At
	}
	return at
}

// TestFirstStart: the bridge is asked about every partition, and the configured start counts.
func TestFirstStart(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(2, "orders"))
	client := newClient(t, c)
	produce(t, client, "orders", 2, 0, 10)
	adm := kadm.NewClient(client)
	expire(t, adm, 4)
	h := newHost()
	s := open(t, c, h)
	drain(t, s, h, 16)
	want := []connectors.Range{
		{Partition: "orders/0", Origin: h.unpositioned[0].Origin, First: 4, End: 10},
		{Partition: "orders/1", Origin: h.unpositioned[1].Origin, First: 0, End: 10},
	}
	if !slices.Equal(h.unpositioned, want) {
		t.Errorf("asked about %+v, want %+v", h.unpositioned, want)
	}
}

// TestPositionLost: where the bridge knows the messages nothing is begun or committed.
func TestPositionLost(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(2, "orders"))
	client := newClient(t, c)
	produce(t, client, "orders", 2, 0, 10)
	h := newHost()
	h.lost = true
	s := open(t, c, h)
	wantHalt(t, fetchError(t, s, h, connectors.IsPermanent), "position_lost", "")
	if at := offsetsOf(t, kadm.NewClient(client)); len(at) > 0 {
		t.Errorf("committed %v", at)
	}
}

// TestPartitionWithoutPosition: beside siblings that have one, it is new if its log is whole, and begins there
// whatever the configured start is; else its position was lost.
func TestPartitionWithoutPosition(t *testing.T) {
	t.Parallel()
	t.Run("new", func(t *testing.T) {
		c := newCluster(t, kfake.SeedTopics(2, "orders"))
		client := newClient(t, c)
		produce(t, client, "orders", 2, 0, 10)
		commitAt(t, kadm.NewClient(client), 10)
		h := newHost()
		s := open(t, c, h, startLatest)
		checkOrder(t, drain(t, s, h, 10), 0, 0, 0)
		if len(h.unpositioned) != 1 || h.unpositioned[0].Partition != "orders/1" {
			t.Errorf("asked about %+v", h.unpositioned)
		}
	})
	t.Run("added while it runs", func(t *testing.T) {
		c := newCluster(t, kfake.SeedTopics(1, "orders"))
		client := newClient(t, c)
		produce(t, client, "orders", 1, 0, 10)
		adm := kadm.NewClient(client)
		commitAt(t, adm, 9)
		h := newHost()
		s := open(t, c, h, startLatest)
		drain(t, s, h, 1)
		if _, err := adm.UpdatePartitions(t.Context(), 2, "orders"); err != nil {
			t.Fatal(err)
		}
		produce(t, newClient(t, c), "orders", 2, 10, 5)
		var added []seen
		for len(added) < 5 {
			for _, m := range drain(t, s, h, 1) {
				if m.partition == "orders/1" {
					added = append(added, m)
				}
			}
		}
		if added[0].offset != 0 {
			t.Errorf("it begins at %d", added[0].offset)
		}
	})
	t.Run("lost", func(t *testing.T) {
		c := newCluster(t, kfake.SeedTopics(2, "orders"))
		client := newClient(t, c)
		produce(t, client, "orders", 2, 0, 10)
		adm := kadm.NewClient(client)
		var at kadm.Offsets
		at.AddOffset("orders", 1, 10, -1)
		if err := adm.CommitAllOffsets(t.Context(), "sluice-test", at); err != nil {
			t.Fatal(err)
		}
		expire(t, adm, 4)
		h := newHost()
		s := open(t, c, h)
		wantHalt(t, fetchError(t, s, h, connectors.IsPermanent), "position_lost", "sluice position test set --partition orders/0 --to earliest")
	})
}

// TestFirstStartOfSeveral: who starts a topic first stores the start of all of it, so that a member that comes
// a moment later does not find positions in some partitions and none in its own.
func TestFirstStartOfSeveral(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(4, "orders"))
	client := newClient(t, c)
	produce(t, client, "orders", 4, 0, 10)
	other := newClient(t, c, kgo.ConsumerGroup("sluice-test"), kgo.ConsumeTopics("orders"), kgo.DisableAutoCommit(),
		kgo.Balancers(kgo.RangeBalancer()))
	other.PollFetches(t.Context())
	polling, stop := context.WithCancel(t.Context())
	defer stop()
	go func() {
		for polling.Err() == nil {
			other.PollFetches(polling)
		}
	}()
	h := newHost()
	s := open(t, c, h)
	drain(t, s, h, 20)
	if at := offsetsOf(t, kadm.NewClient(client)); len(at) != 4 {
		t.Errorf("committed %v, want a start in each of 4 partitions", at)
	}
}
