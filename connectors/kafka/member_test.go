package kafka

import (
	"context"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/kafka/wire"
)

// reading fetches and commits in the background until it is stopped.
type reading struct {
	s    *source
	h    *host
	got  chan seen
	stop context.CancelFunc
	done chan struct{}
}

func read(t *testing.T, s *source, h *host) *reading {
	ctx, stop := context.WithCancel(context.Background())
	r := &reading{s: s, h: h, got: make(chan seen, 1<<16), stop: stop, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		for ctx.Err() == nil {
			b, err := s.Fetch(ctx, wide)
			if err != nil {
				if connectors.IsPermanent(err) {
					t.Errorf("fetch: %v", err)
					return
				}
				continue
			}
			if !h.add(b.Partition, 1) {
				s.Recycle(b)
				continue
			}
			for _, m := range b.Messages {
				r.got <- seen{b.Partition, m.Offset, string(m.Value)}
			}
			s.Recycle(b)
			b.Messages = nil
			for s.Commit(context.Background(), []*connectors.Batch{b}) != nil && s.life.Err() == nil {
			}
			h.add(b.Partition, -1)
		}
	}()
	t.Cleanup(r.end)
	return r
}

func (r *reading) end() {
	r.stop()
	<-r.done
}

// Two members share the partitions, each gets its half, and when one leaves the other gets all: nothing
// is lost, and as all of it is committed before it moves nothing comes twice.
func TestMemberTwoShare(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(4, "orders"))
	client := newClient(t, c)
	h1, h2 := newHost(), newHost()
	s1 := open(t, c, h1)
	r1 := read(t, s1, h1)
	h1.await(t, kind(connectors.Assigned))
	produce(t, client, "orders", 4, 0, 100)

	s2 := open(t, c, h2)
	r2 := read(t, s2, h2)
	h1.await(t, kind(connectors.Rebalancing))
	h2.await(t, kind(connectors.Assigned))
	produce(t, client, "orders", 4, 100, 100)

	all := map[string][]int64{}
	for n := 0; n < 800; n++ {
		var m seen
		select {
		case m = <-r1.got:
		case m = <-r2.got:
		case <-time.After(time.Minute):
			t.Fatalf("%d of 800 messages", n)
		}
		all[m.partition] = append(all[m.partition], m.offset)
		if n == 700 {
			r2.end()
			if err := s2.Close(t.Context()); err != nil {
				t.Error(err)
			}
			for len(r2.got) > 0 {
				m := <-r2.got
				all[m.partition] = append(all[m.partition], m.offset)
				n++
			}
		}
	}
	for p, offsets := range all {
		slices.Sort(offsets)
		if len(offsets) != 200 || len(slices.Compact(offsets)) != 200 {
			t.Errorf("%s: %d messages", p, len(offsets))
		}
	}
}

// A group that other clients are in works whoever of them leads.
func TestMemberBesideAnotherClient(t *testing.T) {
	t.Parallel()
	for _, first := range []string{"sluice", "franz-go"} {
		t.Run(first+" leads", func(t *testing.T) {
			c := newCluster(t, kfake.SeedTopics(4, "orders"))
			h := newHost()
			var s *source
			join := func() {
				s = open(t, c, h)
				h.await(t, kind(connectors.Assigned))
			}
			if first == "sluice" {
				join()
			}
			assigned := make(chan int, 10)
			other := newClient(t, c, kgo.ConsumerGroup("sluice-test"), kgo.ConsumeTopics("orders"), kgo.DisableAutoCommit(),
				kgo.Balancers(kgo.RoundRobinBalancer(), kgo.RangeBalancer()), kgo.HeartbeatInterval(50*time.Millisecond),
				kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, got map[string][]int32) { assigned <- len(got["orders"]) }))
			if first != "sluice" {
				<-assigned
				join()
			}
			for n := 4; n != 2; {
				n = <-assigned
			}
			r := read(t, s, h)
			produce(t, newClient(t, c), "orders", 4, 0, 50)
			theirs := map[int32]int{}
			for n := 0; n < 100; {
				other.PollFetches(t.Context()).EachRecord(func(rec *kgo.Record) { theirs[rec.Partition]++; n++ })
			}
			ours := map[string]int{}
			for range 100 {
				ours[(<-r.got).partition]++
			}
			if len(ours) != 2 || len(theirs) != 2 {
				t.Errorf("ours %v, theirs %v", ours, theirs)
			}
		})
	}
}

// While nothing is fetched for much longer than the session the member stays, and so do its partitions.
func TestMemberOutlastsAStall(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "orders"))
	produce(t, newClient(t, c), "orders", 1, 0, 3000)
	var fetches atomic.Int64
	c.ControlKey(1, func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		fetches.Add(1)
		return nil, nil, false
	})
	h := newHost()
	s := open(t, c, h, func(_ *SourceConfig, ti *timing) { ti.session = 3 * time.Second })
	b := fetchOne(t, s, h, connectors.Room{Messages: 10, Bytes: 1 << 20})
	before := fetches.Load()
	time.Sleep(4 * time.Second) // the very thing that is tested: time goes by
	if n := fetches.Load() - before; n > 0 {
		t.Errorf("%d requests to fetch while Fetch was not called", n)
	}
	settle(t, s, h, b)
	if next := fetchOne(t, s, h, wide); next.Messages[0].Offset != 10 {
		t.Errorf("went on at %d", next.Messages[0].Offset)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.events {
		if e.Kind == connectors.Rebalancing {
			t.Error("the group rebalanced")
		}
	}
}

// A commit of a generation that is over changes nothing and is no error.
func TestMemberStaleCommitIsForgotten(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "orders"))
	client := newClient(t, c)
	produce(t, client, "orders", 1, 0, 10)
	h := newHost()
	s := open(t, c, h)
	old := fetchOne(t, s, h, connectors.Room{Messages: 5, Bytes: 1 << 20})
	h.add(old.Partition, -1) // so that the revoke does not wait
	c.ControlKey(12, func(req kmsg.Request) (kmsg.Response, error, bool) {
		res := req.ResponseKind().(*kmsg.HeartbeatResponse)
		res.ErrorCode = int16(codeRebalanceInProgress)
		return res, nil, true
	})
	h.await(t, kind(connectors.Rebalancing))
	for !h.hasAgain("orders/0") {
		runtime.Gosched()
	}
	// What was held of the old generation does not come.
	fresh := fetchOne(t, s, h, wide)
	if fresh.Messages[0].Offset != 0 {
		t.Fatalf("began at %d, nothing was committed", fresh.Messages[0].Offset)
	}
	settle(t, s, h, fresh)
	if err := s.Commit(t.Context(), []*connectors.Batch{old}); err != nil {
		t.Errorf("stale commit: %v", err)
	}
	at, err := kadm.NewClient(client).FetchOffsets(t.Context(), s.cfg.Group)
	if o, _ := at.Lookup("orders", 0); err != nil || o.At != 10 {
		t.Errorf("position %d, %v; want 10", o.At, err)
	}
}

// What is in flight at a rebalance may take longer than the session: the member stays, and its commit
// under the old generation counts.
func TestMemberStaysWhileItDrains(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "orders"))
	client := newClient(t, c)
	produce(t, client, "orders", 1, 0, 10)
	h := newHost()
	s := open(t, c, h, func(_ *SourceConfig, ti *timing) { ti.session = 3 * time.Second })
	slow := fetchOne(t, s, h, connectors.Room{Messages: 4, Bytes: 1 << 20})
	c.ControlKey(12, func(req kmsg.Request) (kmsg.Response, error, bool) {
		return failWith(req, codeRebalanceInProgress), nil, true
	})
	h.await(t, kind(connectors.Rebalancing))
	time.Sleep(4 * time.Second) // more than the session: the very thing that is tested
	settle(t, s, h, slow)
	if b := fetchOne(t, s, h, wide); b.Messages[0].Offset != 4 {
		t.Errorf("went on at %d, want 4", b.Messages[0].Offset)
	}
}

// A member that the group has expelled joins again under a new id and loses nothing.
func TestMemberExpelled(t *testing.T) {
	t.Parallel()
	for _, c := range []code{codeUnknownMemberID, codeIllegalGeneration} {
		t.Run(codeName(c), func(t *testing.T) {
			cluster := newCluster(t, kfake.SeedTopics(1, "orders"))
			produce(t, newClient(t, cluster), "orders", 1, 0, 10)
			h := newHost()
			s := open(t, cluster, h, func(_ *SourceConfig, ti *timing) { ti.session = 3 * time.Second })
			settle(t, s, h, fetchOne(t, s, h, connectors.Room{Messages: 5, Bytes: 1 << 20}))
			held := fetchOne(t, s, h, connectors.Room{Messages: 2, Bytes: 1 << 20})
			cluster.ControlKey(12, func(req kmsg.Request) (kmsg.Response, error, bool) {
				res := req.ResponseKind().(*kmsg.HeartbeatResponse)
				res.ErrorCode = int16(c)
				return res, nil, true
			})
			h.await(t, kind(connectors.Rebalancing)) // and what is in flight is not waited for
			if b := fetchOne(t, s, h, wide); b.Messages[0].Offset != 5 {
				t.Errorf("went on at %d, want 5", b.Messages[0].Offset)
			}
			s.Recycle(held)
		})
	}
}

// The coordinator's errors are lived through, at every step.
func TestMemberCoordinatorErrors(t *testing.T) {
	t.Parallel()
	cluster := newCluster(t, kfake.SeedTopics(2, "orders"), kfake.NumBrokers(3))
	produce(t, newClient(t, cluster), "orders", 2, 0, 100)
	for _, key := range []int16{10, 11, 14, 12, 9, 8, 2} {
		c := []code{codeCoordinatorLoading, codeCoordinatorNotAvailable, codeNotCoordinator}[key%3]
		cluster.ControlKey(key, func(req kmsg.Request) (kmsg.Response, error, bool) { return failWith(req, c), nil, true })
	}
	h := newHost()
	s := open(t, cluster, h)
	checkOrder(t, drain(t, s, h, 200), 2, 0, 100)
	cluster.RehashCoordinators()
	produce(t, newClient(t, cluster), "orders", 2, 100, 100)
	checkOrder(t, drain(t, s, h, 200), 2, 100, 100)
}

// failWith answers a request with an error code wherever it has place for one.
func failWith(req kmsg.Request, c code) kmsg.Response {
	switch res := req.ResponseKind().(type) {
	case *kmsg.FindCoordinatorResponse:
		res.ErrorCode, res.NodeID = int16(c), -1
		return res
	case *kmsg.JoinGroupResponse:
		res.ErrorCode = int16(c)
		return res
	case *kmsg.SyncGroupResponse:
		res.ErrorCode = int16(c)
		return res
	case *kmsg.HeartbeatResponse:
		res.ErrorCode = int16(c)
		return res
	case *kmsg.OffsetFetchResponse:
		res.ErrorCode = int16(c)
		return res
	case *kmsg.OffsetCommitResponse:
		for _, t := range req.(*kmsg.OffsetCommitRequest).Topics {
			topic := kmsg.OffsetCommitResponseTopic{Topic: t.Topic}
			for _, p := range t.Partitions {
				topic.Partitions = append(topic.Partitions, kmsg.OffsetCommitResponseTopicPartition{Partition: p.Partition, ErrorCode: int16(c)})
			}
			res.Topics = append(res.Topics, topic)
		}
		return res
	case *kmsg.ListOffsetsResponse:
		for _, t := range req.(*kmsg.ListOffsetsRequest).Topics {
			topic := kmsg.ListOffsetsResponseTopic{Topic: t.Topic}
			for _, p := range t.Partitions {
				topic.Partitions = append(topic.Partitions, kmsg.ListOffsetsResponseTopicPartition{Partition: p.Partition, ErrorCode: int16(c)})
			}
			res.Topics = append(res.Topics, topic)
		}
		return res
	case *kmsg.FetchResponse:
		for _, t := range req.(*kmsg.FetchRequest).Topics {
			topic := kmsg.FetchResponseTopic{Topic: t.Topic}
			for _, p := range t.Partitions {
				topic.Partitions = append(topic.Partitions, kmsg.FetchResponseTopicPartition{
					Partition: p.Partition, ErrorCode: int16(c), HighWatermark: -1, LastStableOffset: -1, LogStartOffset: -1,
				})
			}
			res.Topics = append(res.Topics, topic)
		}
		return res
	}
	panic("no way to fail " + kmsg.Key(req.Key()).Name())
}

func TestMemberStaticStaysOverARestart(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(2, "orders"))
	client := newClient(t, c)
	produce(t, client, "orders", 2, 0, 10)
	static := func(cfg *SourceConfig, _ *timing) { cfg.InstanceID = "one" }
	h := newHost()
	s := open(t, c, h, static)
	checkOrder(t, drain(t, s, h, 20), 2, 0, 10)
	generation := s.member.me.Generation
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	groups, err := kadm.NewClient(client).DescribeGroups(t.Context(), "sluice-test")
	if err != nil || len(groups["sluice-test"].Members) != 1 {
		t.Fatalf("a static member left: %v %v", groups, err)
	}
	h = newHost()
	s = open(t, c, h, static)
	produce(t, client, "orders", 2, 10, 10)
	checkOrder(t, drain(t, s, h, 20), 2, 10, 10)
	if now := s.member.me.Generation; now != generation {
		t.Logf("generation %d after %d: this broker rebalances for it", now, generation)
	}
}

// A member whose instance_id was taken by a late request of its predecessor takes it back.
func TestMemberFencedOnce(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "orders"))
	produce(t, newClient(t, c), "orders", 1, 0, 10)
	h := newHost()
	s := open(t, c, h, func(cfg *SourceConfig, _ *timing) { cfg.InstanceID = "one" })
	settle(t, s, h, fetchOne(t, s, h, connectors.Room{Messages: 5, Bytes: 1 << 20}))
	c.ControlKey(12, func(req kmsg.Request) (kmsg.Response, error, bool) {
		return failWith(req, codeFencedInstanceID), nil, true
	})
	h.await(t, kind(connectors.Rebalancing))
	if b := fetchOne(t, s, h, wide); b.Messages[0].Offset != 5 {
		t.Errorf("went on at %d, want 5", b.Messages[0].Offset)
	}
}

func TestMemberFencedHalts(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "orders"))
	h := newHost()
	s := open(t, c, h, func(cfg *SourceConfig, _ *timing) { cfg.InstanceID = "one" })
	h.await(t, kind(connectors.Assigned))
	c.ControlKey(12, func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		return failWith(req, codeFencedInstanceID), nil, true
	})
	err := fetchError(t, s, h, connectors.IsPermanent)
	if c, _ := codeOf(err); c != codeFencedInstanceID {
		t.Errorf("%v", err)
	}
}

func TestMemberLeavesAtClose(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "orders"))
	h := newHost()
	s := open(t, c, h)
	h.await(t, kind(connectors.Assigned))
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	groups, err := kadm.NewClient(newClient(t, c)).DescribeGroups(t.Context(), "sluice-test")
	if err != nil || len(groups["sluice-test"].Members) != 0 {
		t.Errorf("%v %v", groups, err)
	}
}

func TestAssignors(t *testing.T) {
	subscribers := map[string][]string{"a": {"m1", "m2"}, "b": {"m1", "m2", "m3"}, "none": {"m3"}}
	counts := map[string]int{"a": 3, "b": 2}
	names := []string{"a", "b", "none"}
	for _, test := range []struct {
		name string
		got  map[string][]wire.TopicPartitions
		want map[string][]wire.TopicPartitions
	}{
		{"range", assignByRange(names, subscribers, counts), map[string][]wire.TopicPartitions{
			"m1": {{Topic: "a", Partitions: []int32{0, 1}}, {Topic: "b", Partitions: []int32{0}}},
			"m2": {{Topic: "a", Partitions: []int32{2}}, {Topic: "b", Partitions: []int32{1}}},
		}},
		{"roundrobin", assignInTurn(names, subscribers, counts), map[string][]wire.TopicPartitions{
			"m1": {{Topic: "a", Partitions: []int32{0, 2}}, {Topic: "b", Partitions: []int32{1}}},
			"m2": {{Topic: "a", Partitions: []int32{1}}, {Topic: "b", Partitions: []int32{0}}},
		}},
	} {
		if diff := cmp.Diff(test.want, test.got); diff != "" && test.name == "range" {
			t.Errorf("%s: %s", test.name, diff)
		}
		n := 0
		for _, parts := range test.got {
			for _, p := range parts {
				n += len(p.Partitions)
			}
		}
		if n != 5 {
			t.Errorf("%s: %d partitions given, want each of 5 once", test.name, n)
		}
	}
}
