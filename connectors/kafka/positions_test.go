package kafka

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-bridge/sluice/connectors"
)

func openPositionsOf(t *testing.T, c *kfake.Cluster, change ...func(*SourceConfig)) connectors.Positions {
	t.Helper()
	cfg := defaultSource(connectors.About{Route: "test"})
	cfg.Brokers, cfg.Topics = c.ListenAddrs(), connectors.List{"orders"}
	for _, f := range change {
		f(&cfg)
	}
	p, err := openPositions(&cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close(t.Context()) })
	return p
}

// TestSetNamesWhoReads: a group that has members is not moved under them.
func TestSetNamesWhoReads(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "orders"))
	other := newClient(t, c, kgo.ConsumerGroup("sluice-test"), kgo.ConsumeTopics("orders"), kgo.ClientID("billing"))
	produce(t, newClient(t, c), "orders", 1, 0, 10)
	other.PollFetches(t.Context())
	p := openPositionsOf(t, c)
	err := p.Set(t.Context(), map[string]int64{"orders/0": 3})
	if err == nil || !strings.Contains(err.Error(), "group sluice-test is being read by billing at 127.0.0.1") {
		t.Errorf("Set: %v", err)
	}
	other.LeaveGroup()
	if err := p.Set(t.Context(), map[string]int64{"orders/0": 3}); err != nil {
		t.Errorf("Set after the member has left: %v", err)
	}
}

// TestSetOfAStaticMember: a static member stays in its group when its run is closed, and is not in its own way.
func TestSetOfAStaticMember(t *testing.T) {
	t.Parallel()
	static := func(c *SourceConfig) { c.InstanceID = "one" }
	c := newCluster(t, kfake.SeedTopics(1, "orders"))
	produce(t, newClient(t, c), "orders", 1, 0, 10)
	h := newHost()
	s := open(t, c, h, func(c *SourceConfig, _ *timing) { static(c) })
	drain(t, s, h, 10)
	if err := openPositionsOf(t, c).Set(t.Context(), map[string]int64{"orders/0": 3}); err == nil || !strings.Contains(err.Error(), "(instance_id one)") {
		t.Errorf("Set by another: %v", err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := openPositionsOf(t, c, static).Set(t.Context(), map[string]int64{"orders/0": 3}); err != nil {
		t.Errorf("Set: %v", err)
	}
}

// TestPositionsKnowTheTopic: a position that was set is one of this topic, and one of a topic that is gone is none.
func TestPositionsKnowTheTopic(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "orders"))
	client := newClient(t, c)
	adm := kadm.NewClient(client)
	produce(t, client, "orders", 1, 0, 10)
	p := openPositionsOf(t, c)
	if err := p.Set(t.Context(), map[string]int64{"orders/0": 3}); err != nil {
		t.Fatal(err)
	}
	before, err := adm.FetchOffsets(t.Context(), "sluice-test")
	if err != nil {
		t.Fatal(err)
	}
	if o, _ := before.Lookup("orders", 0); !strings.HasPrefix(o.Metadata, fingerprintName) {
		t.Errorf("metadata %q", o.Metadata)
	}
	if _, err := adm.DeleteTopic(t.Context(), "orders"); err != nil {
		t.Fatal(err)
	}
	if _, err := adm.CreateTopic(t.Context(), 1, 1, nil, "orders"); err != nil {
		t.Fatal(err)
	}
	if err := admin(t, c).CommitAllOffsets(t.Context(), "sluice-test", before.Offsets()); err != nil {
		t.Fatal(err)
	}
	all, err := openPositionsOf(t, c).Committed(t.Context())
	if err != nil || len(all) != 1 || all[0].Known {
		t.Errorf("%+v, %v", all, err)
	}
	for _, bad := range []map[string]int64{{"orders/1": 0}, {"orders": 0}, {"other/0": 0}, {"orders/0": -1}} {
		if err := p.Set(t.Context(), bad); err == nil {
			t.Errorf("Set %v was accepted", bad)
		}
	}
}
