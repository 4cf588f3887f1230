package kafka

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/connectortest"
)

func expire(t *testing.T, adm *kadm.Client, before int64) {
	t.Helper()
	var upTo kadm.Offsets
	upTo.AddOffset("orders", 0, before, -1)
	if _, err := adm.DeleteRecords(t.Context(), upTo); err != nil {
		t.Fatal(err)
	}
}

func committedAt(t *testing.T, adm *kadm.Client) int64 {
	t.Helper()
	offsets, err := adm.FetchOffsets(t.Context(), "sluice-test")
	if err != nil {
		t.Fatal(err)
	}
	at, ok := offsets.Lookup("orders", 0)
	if !ok {
		return -1
	}
	return at.At
}

// TestGapIsToldOnce: the position steps over a gap although no message follows, so that the next start does
// not find it again.
func TestGapIsToldOnce(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "orders"))
	client := newClient(t, c)
	produce(t, client, "orders", 1, 0, 100)
	adm := kadm.NewClient(client)
	commitAt(t, adm, 10)
	expire(t, adm, 100)
	for _, want := range [][]connectortest.Gap{{{Partition: "orders/0", From: 10, To: 100}}, nil} {
		h := newHost()
		s := open(t, c, h)
		produce(t, client, "orders", 1, 100, 1)
		b := fetchOne(t, s, h, wide) // not committed
		if b.Messages[0].Offset < 100 {
			t.Errorf("offset %d was fetched", b.Messages[0].Offset)
		}
		if at := committedAt(t, adm); at != 100 {
			t.Errorf("committed %d, want 100", at)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		h.wantGaps(t, want...)
	}
}

// TestGapBehindWhatIsInFlight: the position steps over a gap when what is before it is committed, not sooner.
func TestGapBehindWhatIsInFlight(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "orders"))
	client := newClient(t, c)
	adm := kadm.NewClient(client)
	produce(t, client, "orders", 1, 0, 50)
	h := newHost()
	s := open(t, c, h)
	before := fetchOne(t, s, h, wide)
	if before.Next != 50 {
		t.Fatalf("fetched up to %d, want all 50", before.Next)
	}
	produce(t, client, "orders", 1, 50, 50)
	expire(t, adm, 80)
	after := fetchOne(t, s, h, wide)
	if after.Messages[0].Offset != 80 {
		t.Errorf("went on at %d", after.Messages[0].Offset)
	}
	h.wantGaps(t, connectortest.Gap{Partition: "orders/0", From: 50, To: 80})
	if at := committedAt(t, adm); at != 0 {
		t.Errorf("committed %d with messages in flight", at)
	}
	settle(t, s, h, before)
	if at := committedAt(t, adm); at != 80 {
		t.Errorf("committed %d, want 80", at)
	}
	settle(t, s, h, after)
	if at := committedAt(t, adm); at != 100 {
		t.Errorf("committed %d, want 100", at)
	}
}

// TestGapThatHalts: nothing from behind it is returned and the position stays before it.
func TestGapThatHalts(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "orders"))
	client := newClient(t, c)
	adm := kadm.NewClient(client)
	produce(t, client, "orders", 1, 0, 100)
	commitAt(t, adm, 10)
	expire(t, adm, 40)
	for range 2 {
		h := newHost()
		h.haltOnGap = true
		s := open(t, c, h)
		b, err := s.Fetch(t.Context(), wide)
		if b != nil || !connectors.IsPermanent(err) {
			t.Fatalf("Fetch: %v, %v", b, err)
		}
		h.wantGaps(t, connectortest.Gap{Partition: "orders/0", From: 10, To: 40})
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if at := committedAt(t, adm); at != 10 {
			t.Errorf("committed %d, want 10", at)
		}
	}
}
