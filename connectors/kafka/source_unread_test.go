package kafka

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-bridge/sluice/connectors"
)

// A source says how old what it has not read is and when the topic's retention takes it, and asks where the log
// ends while it is not fetched from.
func TestSourceForecasts(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "orders"))
	client := newClient(t, c)
	stored := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	write := func(n int) {
		for range n {
			if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "orders", Value: []byte("x"), Timestamp: stored}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(3)
	s := open(t, c, newHost())
	if _, err := s.Fetch(t.Context(), connectors.Room{Messages: 1, Bytes: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	await := func(what string, ok func() bool) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				lag, known := s.Lag()
				t.Fatalf("%s: lag %d, %v; unread %+v", what, lag, known, s.Unread())
			}
		}
	}
	await("retention", func() bool {
		u := s.Unread()
		return u.Oldest.Equal(stored) && u.Lost.Equal(stored.Add(7*24*time.Hour)) && u.Limit == "retention.ms of topic orders"
	})
	write(4)
	await("what was written meanwhile", func() bool { lag, _ := s.Lag(); return lag == 6 })
	for range 6 {
		if _, err := s.Fetch(t.Context(), connectors.Room{Messages: 1, Bytes: 1 << 20}); err != nil {
			t.Fatal(err)
		}
	}
	if u := s.Unread(); u != (connectors.Unread{Kept: 7 * 24 * time.Hour, Limit: "retention.ms of topic orders"}) {
		t.Errorf("all is read, and there is %+v", u)
	}
}
