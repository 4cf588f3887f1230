package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/connectortest"
)

// testTiming is patient enough for a busy machine and quick enough for a test.
func testTiming() timing {
	t := defaultTiming()
	t.session, t.rebalance, t.drain = 6*time.Second, 10*time.Second, 5*time.Second
	t.heartbeat, t.wait, t.request = 50*time.Millisecond, 100*time.Millisecond, 5*time.Second
	t.metadata, t.pace, t.backoff = 200*time.Millisecond, 5*time.Millisecond, 10*time.Millisecond
	return t
}

func newCluster(t *testing.T, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{
		kfake.NumBrokers(1), kfake.GroupMinSessionTimeout(time.Second),
		kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func newClient(t *testing.T, c *kfake.Cluster, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(c.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// produce writes n messages to each of the partitions; the value tells partition and number.
func produce(t *testing.T, client *kgo.Client, topic string, partitions, from, n int) {
	t.Helper()
	var records []*kgo.Record
	for i := from; i < from+n; i++ {
		for p := range partitions {
			records = append(records, &kgo.Record{
				Topic: topic, Partition: int32(p), Key: fmt.Appendf(nil, "k%d", i), Value: value(p, i),
				Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("v")}},
			})
		}
	}
	if err := client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func value(partition, i int) []byte {
	return fmt.Appendf(nil, "%d:%d:%s", partition, i, strings.Repeat("x", 50))
}

// host is what a bridge does for a source: it knows what is in flight and settles it at a revoke.
type host struct {
	mu           sync.Mutex
	inFlight     map[string]int // batches fetched and not committed
	changed      chan struct{}
	events       []connectors.Event
	gaps         []connectortest.Gap
	unpositioned []connectors.Range
	lost         bool // what Unpositioned answers
	haltOnGap    bool
	revoked      int
	stored       map[string]int64 // positions an exactly-once sink knows
}

func newHost() *host {
	return &host{inFlight: map[string]int{}, changed: make(chan struct{}), stored: map[string]int64{}}
}

func (h *host) Assign(_ context.Context, partition string) (int64, bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.inFlight[partition] = 0
	next, known := h.stored[partition]
	return next, known, nil
}

func (h *host) Revoke(ctx context.Context, partitions ...string) {
	for _, p := range partitions {
		for ctx.Err() == nil {
			h.mu.Lock()
			n, changed := h.inFlight[p], h.changed
			h.mu.Unlock()
			if n == 0 {
				break
			}
			select {
			case <-changed:
			case <-ctx.Done():
			}
		}
		h.mu.Lock()
		delete(h.inFlight, p)
		h.mu.Unlock()
	}
	h.mu.Lock()
	h.revoked++
	h.mu.Unlock()
}

func (h *host) Unpositioned(ctx context.Context, at connectors.Range) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.unpositioned = append(h.unpositioned, at)
	if h.lost {
		return connectors.Halt("position_lost", "", errors.New("the sink holds messages of it"))
	}
	return ctx.Err()
}

func (h *host) Gap(partition string, from, to int64) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.gaps = append(h.gaps, connectortest.Gap{Partition: partition, From: from, To: to})
	if h.haltOnGap {
		return connectors.Halt("gap", "", errors.New("a gap"))
	}
	return nil
}

// wantGaps fails unless these were told, and no others.
func (h *host) wantGaps(t *testing.T, want ...connectortest.Gap) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if !slices.Equal(h.gaps, want) {
		t.Errorf("gaps %+v, want %+v", h.gaps, want)
	}
}

func wantHalt(t *testing.T, err error, reason, way string) {
	t.Helper()
	h, ok := errors.AsType[*connectors.HaltError](err)
	if !ok || !connectors.IsPermanent(err) || h.Reason != reason || h.Way != way {
		t.Errorf("got %+v (%v), want %s: %s", h, err, reason, way)
	}
}

func (h *host) Report(e connectors.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
	h.wake()
}

// wake is called with h.mu held.
func (h *host) wake() {
	close(h.changed)
	h.changed = make(chan struct{})
}

// hasAgain reports whether a partition is assigned after a revoke.
func (h *host) hasAgain(partition string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, known := h.inFlight[partition]
	return known && h.revoked > 0
}

// add counts a batch and reports whether its partition is ours still.
func (h *host) add(partition string, n int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ours := h.inFlight[partition]; !ours {
		return false
	}
	h.inFlight[partition] += n
	h.wake()
	return true
}

// await waits for an event that is wanted.
func (h *host) await(t *testing.T, want func(connectors.Event) bool) connectors.Event {
	t.Helper()
	deadline := time.After(time.Minute)
	for seen := 0; ; {
		h.mu.Lock()
		events, changed := h.events[seen:], h.changed
		seen = len(h.events)
		h.mu.Unlock()
		for _, e := range events {
			if want(e) {
				return e
			}
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("the event did not come; got %v", h.events)
		}
	}
}

// link returns the reports of the connection, in order.
func (h *host) link() (kinds []connectors.EventKind) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.events {
		if e.Kind == connectors.Connected || e.Kind == connectors.Disconnected {
			kinds = append(kinds, e.Kind)
		}
	}
	return kinds
}

func kind(k connectors.EventKind) func(connectors.Event) bool {
	return func(e connectors.Event) bool { return e.Kind == k }
}

// open opens a source on a cluster.
func open(t *testing.T, c *kfake.Cluster, h *host, change ...func(*SourceConfig, *timing)) *source {
	t.Helper()
	cfg := defaultSource(connectors.About{Route: "test"})
	cfg.Brokers, cfg.Topics = c.ListenAddrs(), connectors.List{"orders"}
	timing := testTiming()
	for _, f := range change {
		f(&cfg, &timing)
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	s := newSource(cfg, connectors.Env{
		Route: "test", Host: h, Logger: zerolog.New(zerolog.NewTestWriter(t)), Window: wide,
	}, timing)
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	return s
}

var wide = connectors.Room{Messages: 8192, Bytes: 64 << 20}

// fetchOne fetches one batch, past errors that are tried again.
func fetchOne(t *testing.T, s *source, h *host, room connectors.Room) *connectors.Batch {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		b, err := s.Fetch(ctx, room)
		switch {
		case err == nil:
			if h.add(b.Partition, 1) {
				return b
			}
			s.Recycle(b)
		case connectors.IsPermanent(err), ctx.Err() != nil, isNoRoom(err):
			t.Fatalf("fetch: %v", err)
		default:
			t.Logf("fetch: %v; again", err)
		}
	}
}

func isNoRoom(err error) bool {
	_, ok := errors.AsType[*connectors.NoRoomError](err)
	return ok
}

// seen is what a message looked like, copied.
type seen struct {
	partition string
	offset    int64
	value     string
}

// drain fetches and commits until n messages have come; check sees each before it is recycled.
func drain(t *testing.T, s *source, h *host, n int) []seen {
	t.Helper()
	var all []seen
	for len(all) < n {
		b := fetchOne(t, s, h, wide)
		for _, m := range b.Messages {
			all = append(all, seen{b.Partition, m.Offset, string(m.Value)})
		}
		settle(t, s, h, b)
	}
	return all
}

func settle(t *testing.T, s *source, h *host, b *connectors.Batch) {
	t.Helper()
	s.Recycle(b)
	b.Messages = nil
	if err := s.Commit(t.Context(), []*connectors.Batch{b}); err != nil {
		t.Fatal(err)
	}
	h.add(b.Partition, -1)
}

// checkOrder fails unless each partition's messages are from, from+1, ... without hole or repetition.
func checkOrder(t *testing.T, all []seen, partitions, from, n int) {
	t.Helper()
	next := map[string]int{}
	for _, m := range all {
		var p, i int
		if _, err := fmt.Sscanf(m.value, "%d:%d:", &p, &i); err != nil {
			t.Fatal(err)
		}
		if want := from + next[m.partition]; i != want || m.partition != partName("orders", int32(p)) {
			t.Fatalf("%s: message %q (partition %d), want number %d", m.partition, m.value[:10], p, want)
		}
		next[m.partition]++
	}
	for p := range partitions {
		if got := next[partName("orders", int32(p))]; got != n {
			t.Fatalf("partition %d: %d messages, want %d", p, got, n)
		}
	}
}

// fetchError fetches until an error comes that is wanted.
func fetchError(t *testing.T, s *source, h *host, want func(error) bool) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		b, err := s.Fetch(ctx, wide)
		if err == nil {
			s.Recycle(b)
			continue
		}
		if want(err) {
			return err
		}
		if errors.Is(err, context.DeadlineExceeded) {
			t.Fatal("the error did not come")
		}
	}
}
