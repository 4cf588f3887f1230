package nats

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/sluice-bridge/sluice/connectors"
)

// blind is a source that looks at its durable only when it has to.
func (st *streamTest) blind(h connectors.Host) *jetStreamSource {
	p := defaultPace()
	p.poll = time.Hour
	s := newJetStreamSource(st.config(), sourceEnv(h, "a"), p)
	st.t.Cleanup(func() { closeSource(st.t, s) })
	return s
}

func (st *streamTest) api(subject, body string) []byte {
	st.t.Helper()
	m, err := st.nc.Request("$JS.API."+subject, []byte(body), 5*time.Second)
	if err != nil {
		st.t.Fatal(err)
	}
	return m.Data
}

// steal takes n messages as a stranger who acknowledges nothing.
func (st *streamTest) steal(n int) {
	st.t.Helper()
	inbox := nats.NewInbox()
	sub, err := st.nc.SubscribeSync(inbox)
	if err != nil {
		st.t.Fatal(err)
	}
	if err := st.nc.PublishRequest("$JS.API.CONSUMER.MSG.NEXT.S.sluice-r", inbox, fmt.Appendf(nil, `{"batch":%d,"expires":5000000000}`, n)); err != nil {
		st.t.Fatal(err)
	}
	for range n {
		if m, err := sub.NextMsg(time.Minute); err != nil || m.Header.Get("Status") != "" {
			st.t.Fatalf("a stranger gets %v, %v", m, err)
		}
	}
	if err := sub.Unsubscribe(); err != nil {
		st.t.Fatal(err)
	}
}

// TestForgedContiguity is the counterexample of the rule "acknowledge up to the highest contiguous":
// a stranger resets the durable and reads as many messages as we had read, so that our next delivery
// continues our numbers although fifty messages went to the stranger.
func TestForgedContiguity(t *testing.T) {
	t.Parallel()
	st := newStreamTest(t, nil)
	st.publish(1, 100)
	s := st.blind(newSourceHost())
	half, rest := st.readExactly(s, 1, 50), st.readExactly(s, 51, 50)
	commit(t, s, half...)

	st.publish(101, 100)
	st.api("CONSUMER.RESET.S.sluice-r", "")
	st.steal(100) // 51 to 150, as deliveries 1 to 100

	forged := st.readExactly(s, 151, 20) // contiguous, as far as anybody can tell
	commit(t, s, rest...)
	commit(t, s, forged...)
	if floor := st.durable().AckFloor.Stream; floor > 100 {
		t.Fatalf("the floor is at %d, but 101 to 150 were never written", floor)
	}
	// What the stranger took is read now, and so is everything behind it.
	readAll(t, s, 51, 150, roomy)
}

// readExactly reads n messages and leaves nothing asked for.
func (st *streamTest) readExactly(s *jetStreamSource, first, n int) (batches []*connectors.Batch) {
	st.t.Helper()
	for n > 0 {
		b := fetchOne(st.t, s, connectors.Room{Messages: n, Bytes: 1 << 20})
		if got := string(b.Messages[0].Value); got != fmt.Sprint(first) {
			st.t.Fatalf("message %s, want %d", got, first)
		}
		first += len(b.Messages)
		n -= len(b.Messages)
		batches = append(batches, b)
	}
	return batches
}

// setOwner writes a mark into the durable, as another instance does.
func (st *streamTest) setOwner(mark string) {
	st.t.Helper()
	var info struct {
		Config map[string]any `json:"config"`
	}
	if err := json.Unmarshal(st.api("CONSUMER.INFO.S.sluice-r", ""), &info); err != nil {
		st.t.Fatal(err)
	}
	info.Config["metadata"] = map[string]string{ownerKey: mark}
	body, err := json.Marshal(map[string]any{"stream_name": "S", "config": info.Config, "action": "update"})
	if err != nil {
		st.t.Fatal(err)
	}
	if err := decodeAPI(st.api("CONSUMER.CREATE.S.sluice-r", string(body)), nil); err != nil {
		st.t.Fatal(err)
	}
}

// TestOtherMarkStopsAcknowledging: whoever finds another's mark acknowledges nothing and stands by.
func TestOtherMarkStopsAcknowledging(t *testing.T) {
	t.Parallel()
	st := newStreamTest(t, nil)
	st.publish(1, 100)
	h := newSourceHost()
	s := st.blind(h)
	batches := readAll(t, s, 1, 100, roomy)
	inbox := nats.NewInbox()
	if _, err := st.nc.Subscribe(inbox, func(m *nats.Msg) { _ = m.Respond(nil) }); err != nil {
		t.Fatal(err)
	}
	st.setOwner("other-host " + inbox + " 7")
	commit(t, s, batches...)
	if floor := st.durable().AckFloor.Stream; floor != 0 {
		t.Errorf("the floor moved to %d without ownership", floor)
	}
	if e := h.awaitKind(t, connectors.Standby); e.Text != "other-host" {
		t.Errorf("standing by for %q", e.Text)
	}
	if owner := s.Describe().Owner; owner != "other-host" {
		t.Errorf("the facts name %q", owner)
	}
	h.mu.Lock()
	revoked := h.revoked
	h.mu.Unlock()
	if revoked != 1 {
		t.Errorf("%d revocations, want 1", revoked)
	}
	// The other one's mark is removed: we read again, from the floor.
	st.setOwner("")
	readAll(t, s, 1, 100, roomy)
	h.awaitKind(t, connectors.Active)
}

// TestTakeover measures how long a durable is without a reader, at the pace of production.
func TestTakeover(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"close", "kill", "freeze"} {
		t.Run(end, func(t *testing.T) {
			t.Parallel()
			st := newStreamTest(t, nil)
			w := &written{counts: map[int64]int{}}
			p := defaultPace()
			p.dead = time.Hour // an owner that is gone is seen to be gone, not waited for
			if end == "freeze" {
				p.dead = 500 * time.Millisecond
			}
			a := startDaemon(t, st, st.config(), "host-a", p, w)
			a.host.awaitKind(t, connectors.Connected)
			st.publish(1, 50)
			b := startDaemon(t, st, st.config(), "host-b", p, w)
			defer b.end()
			if e := b.host.awaitKind(t, connectors.Standby); e.Text != "host-a" {
				t.Errorf("standing by for %q", e.Text)
			}
			if !b.standsBy() {
				t.Error("the facts name no owner")
			}
			begin := time.Now()
			switch end {
			case "close":
				a.end()
			case "kill":
				a.kill()
			case "freeze":
				a.proxy.freeze()
			}
			st.publish(51, 50)
			b.host.awaitKind(t, connectors.Active)
			took := time.Since(begin)
			t.Logf("taken over after %v", took.Round(time.Millisecond))
			if end == "freeze" {
				a.proxy.thaw()
				if e := a.host.awaitKind(t, connectors.Standby); e.Text != "host-b" {
					t.Errorf("standing by for %q", e.Text)
				}
				a.end()
			}
			deadline := time.Now().Add(time.Minute)
			for st.durable().AckFloor.Stream < 100 && time.Now().Before(deadline) {
				wait(t.Context(), time.Millisecond)
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			if len(w.counts) != 100 {
				t.Errorf("%d of 100 messages are written", len(w.counts))
			}
		})
	}
}

func TestMark(t *testing.T) {
	for text, want := range map[string]mark{
		"host-1 _INBOX.x 3":  {"host-1", "_INBOX.x", 3},
		"":                   {},
		"host-1 _INBOX.x":    {},
		"host-1 _INBOX.> 3":  {},
		"host-1 _INBOX..x 3": {},
		"host-1 _INBOX.x -3": {},
		"a b c d":            {},
	} {
		if got := parseMark(text); got != want {
			t.Errorf("%q is %+v, want %+v", text, got, want)
		}
		if want.inbox != "" && want.String() != text {
			t.Errorf("%+v is written %q", want, want.String())
		}
	}
}
