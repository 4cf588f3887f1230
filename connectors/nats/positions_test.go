package nats

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/sluice-bridge/sluice/connectors"
)

func openPositionsOf(t *testing.T, c JetStreamSourceConfig, name string) connectors.Positions {
	t.Helper()
	p := openPositions(c, sourceEnv(nil, name))
	t.Cleanup(func() { _ = p.Close(t.Context()) })
	return p
}

// TestSetNamesTheOwner: a durable that another instance reads is not moved under it; one whose owner is gone is.
func TestSetNamesTheOwner(t *testing.T) {
	t.Parallel()
	st := newStreamTest(t, nil)
	st.publish(1, 20)
	s := st.open(st.config(), newSourceHost(), "ann")
	commit(t, s, readAll(t, s, 1, 20, roomy)...)
	p := openPositionsOf(t, st.config(), "bob")
	to := map[string]int64{"S": 5}
	if err := p.Set(t.Context(), to); err == nil || !strings.Contains(err.Error(), "is being read by the instance ann") {
		t.Errorf("Set: %v", err)
	}
	if floor := st.durable().AckFloor.Stream; floor != 20 {
		t.Errorf("the floor is %d", floor)
	}
	// Killed: its mark stays, nobody answers at its inbox.
	s.conn.sockets.close()
	s.stop()
	<-s.done
	s.conn.close(t.Context())
	if err := p.Set(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	h := newSourceHost()
	s = st.open(st.config(), h, "ann")
	readAll(t, s, 5, 16, roomy)
	st.wantGaps(h)
}

// TestSetOutlivesAPullThatIsLeft: what the server still delivers for an owner that is gone does not count.
func TestSetOutlivesAPullThatIsLeft(t *testing.T) {
	t.Parallel()
	st := newStreamTest(t, nil)
	st.publish(1, 20)
	s := st.open(st.config(), newSourceHost(), "ann")
	commit(t, s, readAll(t, s, 1, 20, roomy)...)
	closeSource(t, s)
	left, err := st.nc.SubscribeSync(st.nc.NewInbox())
	if err != nil {
		t.Fatal(err)
	}
	if err := st.nc.PublishRequest("$JS.API.CONSUMER.MSG.NEXT.S.sluice-r", left.Subject, []byte(`{"batch":3}`)); err != nil {
		t.Fatal(err)
	}
	if err := st.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := openPositionsOf(t, st.config(), "bob").Set(t.Context(), map[string]int64{"S": 5}); err != nil {
		t.Fatal(err)
	}
	if _, err := left.NextMsg(time.Minute); err != nil {
		t.Errorf("the pull that was left got nothing: %v", err)
	}
	h := newSourceHost()
	readAll(t, st.open(st.config(), h, "ann"), 5, 16, roomy)
	st.wantGaps(h)
}

// TestSetBehindTheStart: a durable cannot be reset behind the start it was created with; a new one takes its
// place, configured alike.
func TestSetBehindTheStart(t *testing.T) {
	t.Parallel()
	st := newStreamTest(t, nil)
	st.publish(1, 20)
	c := st.config()
	c.Start, c.Subjects = "15", connectors.List{"s.x"}
	h := newSourceHost()
	s := st.open(c, h, "ann")
	commit(t, s, readAll(t, s, 15, 6, roomy)...)
	closeSource(t, s)
	before := st.durable()
	for _, seq := range []int64{3, 1, 18} {
		if err := openPositionsOf(t, c, "bob").Set(t.Context(), map[string]int64{"S": seq}); err != nil {
			t.Fatal(err)
		}
		h := newSourceHost()
		s := st.open(c, h, "ann")
		commit(t, s, readAll(t, s, int(seq), int(21-seq), roomy)...)
		st.wantGaps(h)
		closeSource(t, s)
	}
	after := st.durable()
	if after.Config.FilterSubject != before.Config.FilterSubject || after.Config.AckPolicy != before.Config.AckPolicy ||
		after.Config.MaxAckPending != before.Config.MaxAckPending || after.Config.AckWait != before.Config.AckWait {
		t.Errorf("the new durable is %+v, the old one was %+v", after.Config, before.Config)
	}
}

// TestSetWithoutDurable: the position is there before the first start, where the configuration may create it.
func TestSetWithoutDurable(t *testing.T) {
	t.Parallel()
	st := newStreamTest(t, nil)
	st.publish(1, 20)
	c := st.config()
	c.Consumer.Create = false
	if err := openPositionsOf(t, c, "bob").Set(t.Context(), map[string]int64{"S": 7}); err == nil || !strings.Contains(err.Error(), "consumer.create is false") {
		t.Errorf("Set: %v", err)
	}
	if err := openPositionsOf(t, st.config(), "bob").Set(t.Context(), map[string]int64{"S": 7}); err != nil {
		t.Fatal(err)
	}
	h := newSourceHost()
	s := st.open(st.config(), h, "ann")
	readAll(t, s, 7, 14, roomy)
	st.wantGaps(h)
	if len(h.unpositioned) > 0 {
		t.Errorf("the bridge was asked about %+v", h.unpositioned)
	}
}

// TestSetShared: without ownership readers show by their pulls.
func TestSetShared(t *testing.T) {
	t.Parallel()
	st := newStreamTest(t, nil)
	st.publish(1, 20)
	c := st.config()
	c.Shared = true
	s := st.open(c, newSourceHost(), "ann")
	commit(t, s, readAll(t, s, 1, 20, roomy)...)
	over := time.After(time.Minute)
	fetching := make(chan struct{})
	go func() {
		defer close(fetching)
		_, _ = s.Fetch(t.Context(), roomy)
	}()
	for st.durable().NumWaiting == 0 {
		select {
		case <-over:
			t.Fatal("no pull waits")
		case <-time.After(5 * time.Millisecond):
		}
	}
	to := map[string]int64{"S": 5}
	if err := openPositionsOf(t, c, "bob").Set(t.Context(), to); err == nil || !strings.Contains(err.Error(), "is being read: 1 pulls wait") {
		t.Errorf("Set: %v", err)
	}
	st.publish(21, 1)
	<-fetching
	closeSource(t, s)
	if err := openPositionsOf(t, c, "bob").Set(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	if floor := st.durable().AckFloor.Stream; floor != 4 {
		t.Errorf("the floor is %d, want 4", floor)
	}
}

// TestSetOfAWorkQueue: its durable is not replaced, for messages would go with it.
func TestSetOfAWorkQueue(t *testing.T) {
	t.Parallel()
	st := newStreamTest(t, func(c *jetstream.StreamConfig) { c.Retention = jetstream.WorkQueuePolicy })
	st.publish(1, 20)
	c := st.config()
	c.Start = "15"
	if _, err := st.js.CreateConsumer(t.Context(), "S", jetstream.ConsumerConfig{
		Durable: c.Durable, AckPolicy: jetstream.AckExplicitPolicy, MaxDeliver: -1,
	}); err != nil {
		t.Fatal(err)
	}
	if err := openPositionsOf(t, c, "bob").Set(t.Context(), map[string]int64{"S": 7}); err != nil {
		t.Errorf("Set: %v", err)
	}
	if n := st.durable().NumPending; n != 14 {
		t.Errorf("%d messages are left to read, want 14", n)
	}
	p := openPositionsOf(t, c, "bob").(positions)
	if _, err := p.Committed(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := p.recreate(t.Context(), &consumerInfo{}, 1, nil)
	if err == nil || !strings.Contains(err.Error(), "would drop messages") {
		t.Errorf("recreate: %v", err)
	}
}

// TestSourceUnpositioned: where the bridge knows the messages no durable is created, unless there is one by then.
func TestSourceUnpositioned(t *testing.T) {
	t.Parallel()
	st := newStreamTest(t, nil)
	st.publish(1, 20)
	st.purge(4)
	h := newSourceHost()
	h.lost = true
	s := st.open(st.config(), h, "a")
	_, err := fetchHalt(t, s)
	var named *connectors.HaltError
	if !errors.As(err, &named) || named.Reason != "position_lost" {
		t.Errorf("Fetch: %v", err)
	}
	if _, err := st.js.Consumer(t.Context(), "S", "sluice-r"); !errors.Is(err, jetstream.ErrConsumerNotFound) {
		t.Errorf("the durable: %v", err)
	}
	if want := (connectors.Range{Partition: "S", Origin: h.unpositioned[0].Origin, First: 4, End: 21}); len(h.unpositioned) != 1 || h.unpositioned[0] != want {
		t.Errorf("asked about %+v, want %+v", h.unpositioned, want)
	}
	closeSource(t, s)
	h = newSourceHost()
	h.lost = true
	h.meanwhile = func() {
		if err := openPositionsOf(t, st.config(), "bob").Set(t.Context(), map[string]int64{"S": 7}); err != nil {
			t.Error(err)
		}
	}
	s = st.open(st.config(), h, "a")
	readAll(t, s, 7, 14, roomy)
}
