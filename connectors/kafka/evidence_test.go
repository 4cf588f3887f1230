package kafka

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

func TestLacks(t *testing.T) {
	m := &metadata{Brokers: map[int32]string{1: "a", 2: "b"}, Topics: map[string]*topic{
		"sound":  {Name: "sound", Partitions: []partition{{Leader: 1, Replicas: 2}}},
		"gone":   {Name: "gone", Code: codeUnknownTopicOrPartition},
		"orders": {Name: "orders", Partitions: []partition{{Leader: -1}, {Leader: 1, Replicas: 3, Missing: []int32{2, 3}}, {Leader: -1}, {Leader: -1}}},
	}}
	got := strings.Join(m.lacks([]string{"sound", "orders", "unknown"}), "; ")
	want := "orders/0 has no leader; orders/1: 1 of 3 replicas in sync, not broker 2 and broker 3 (offline); orders/2 has no leader; and 1 more partitions"
	if got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if got := m.lacks([]string{"gone"}); len(got) != 1 || !strings.Contains(got[0], "gone") {
		t.Errorf("a topic that is gone: %q", got)
	}
}

// A source says what its topic is at, the quota it was told of, and that nobody answers.
func TestEvidence(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(2, "orders"))
	s := open(t, c, newHost())
	if got := s.Evidence(t.Context()); !strings.HasPrefix(got, "the broker answers after ") {
		t.Errorf("of a sound topic: %q", got)
	}
	s.conn.throttled.Store(time.Now().Add(time.Minute).UnixNano())
	over, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	if got := s.Evidence(over); !strings.HasPrefix(got, "the quota of the brokers asks for 1m0s") || !strings.Contains(got, "nothing about the topics") {
		t.Errorf("without an answer: %q", got)
	}
}
