package bridge

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/connectortest"
)

// message is one with secrets in everything that a tap must not show.
func message() connectors.Message {
	return connectors.Message{
		Subject: "orders.eu", Key: []byte("CANARY-key"), Value: []byte("CANARY-value"), Time: day,
		Headers: []connectors.Header{{Key: "authorization", Value: []byte("CANARY-header")}, {Key: "x", Value: []byte{0xff}}},
	}
}

// TestTapStages: what is fetched and what is rejected is shown, without anything that it holds unless that is allowed.
func TestTapStages(t *testing.T) {
	for _, payload := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			source := connectortest.NewTopic("orders", 1)
			rc := between(source, connectortest.NewTopic("out", 0))
			rc.OnReject = Drop
			rc.Sink = connectortest.FaultySink(rc.Sink, refuse("orders/0", 0, on()))
			s := start(t, rc)
			tap, err := s.Tap("orders", payload)
			if err != nil {
				t.Fatal(err)
			}
			source.Put(0, message())
			s.until("committed", func(*Route) bool { return source.CommittedSum() == 1 })
			var got []Tapped
			for range 2 {
				got = append(got, <-tap.Messages())
			}
			want := Tapped{
				Stage: StageFetched, Partition: "orders/0", Subject: "orders.eu", Stored: day, KeyBytes: 10, ValueBytes: 12,
				Headers: []string{"authorization", "x"},
			}
			if payload {
				want.Payload = &TappedPayload{"CANARY-key", "CANARY-value", []string{"authorization: CANARY-header", `x: "\xff"`}}
			}
			rejected := want
			rejected.Stage, rejected.Error = StageRejected, errNo.Error()
			for i := range got {
				got[i].Time = time.Time{}
			}
			if diff := cmp.Diff([]Tapped{want, rejected}, got); diff != "" {
				t.Error(diff)
			}
			if text, err := json.Marshal(got); err != nil || bytes.Contains(text, []byte("CANARY")) != payload {
				t.Errorf("%v %s", err, text)
			}
			tap.Close()
			if s.routes[0].taps.Load() != nil {
				t.Error("nobody looks, and the route thinks so")
			}
			s.end()
		})
	}
}

// TestTapHoldsNothingUp: taps that nobody reads keep no message back: all pass, and what was not shown is known.
func TestTapHoldsNothingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const each = 20_000
		source, sink := filled("orders", 3, each), connectortest.NewTopic("out", 0, connectortest.WithDiscard())
		rc := between(source, sink)
		rc.Paused = true
		rc.Window.Messages = 1000
		rc.Sink = connectortest.FaultySink(rc.Sink, func([]*connectors.Batch) connectortest.Fault {
			return connectortest.Fault{Delay: 50 * time.Millisecond}
		})
		s := start(t, rc)
		var taps []*Tap
		for range maxTaps {
			tap, err := s.Tap("orders", true)
			if err != nil {
				t.Fatal(err)
			}
			taps = append(taps, tap)
		}
		if _, err := s.Tap("orders", true); err == nil || !strings.Contains(err.Error(), "look at it already") {
			t.Errorf("one too many: %v", err)
		}
		if _, err := s.Resume("orders", Resume{}); err != nil {
			t.Fatal(err)
		}
		s.until("committed", func(*Route) bool { return source.CommittedSum() == 3*each })
		for _, tap := range taps {
			if tap.Seen() != 3*each || len(tap.Messages()) == 0 || len(tap.Messages()) > tapBuffer {
				t.Errorf("%d seen, %d wait to be read", tap.Seen(), len(tap.Messages()))
			}
		}
		taps[0].Close()
		s.end()
		for _, tap := range taps[1:] {
			<-tap.Over()
			tap.Close()
		}
		if _, err := s.Tap("orders", true); err == nil {
			t.Error("a route that has ended can be looked at")
		}
	})
}

// TestTapRate: a reader who keeps up is shown a sample that is even over each batch, at most tapRate a second.
func TestTapRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, between(connectortest.NewTopic("orders", 1), connectortest.NewTopic("out", 0)))
		tap, err := s.Tap("orders", false, StageFetched)
		if err != nil {
			t.Fatal(err)
		}
		b := &connectors.Batch{Partition: "orders/0", Messages: make([]connectors.Message, 1000)}
		for i := range b.Messages {
			b.Messages[i].Offset = int64(i)
		}
		s.routes[0].tap(StageRejected, b, b.Messages, errNo) // not looked at
		var shown []int64
		for range 100 {
			s.routes[0].tap(StageFetched, b, b.Messages, nil)
			for len(tap.Messages()) > 0 {
				m := <-tap.Messages()
				shown = append(shown, m.Offset)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if n := len(shown); n != 10*tapRate || tap.Seen() != 100_000 {
			t.Errorf("%d of %d shown in ten seconds", n, tap.Seen())
		}
		if diff := cmp.Diff([]int64{0, 100, 200, 300, 400, 500, 600, 700, 800, 900}, shown[:10]); diff != "" {
			t.Error(diff)
		}
		tap.Close()
		s.end()
	})
}

// TestTapBound: whatever a message holds, a tap keeps little of it.
func TestTapBound(t *testing.T) {
	s := start(t, between(connectortest.NewTopic("orders", 1), connectortest.NewTopic("out", 0)))
	defer s.end()
	tap, err := s.Tap("orders", true)
	if err != nil {
		t.Fatal(err)
	}
	defer tap.Close()
	large := bytes.Repeat([]byte{0xff}, 64<<10)
	m := connectors.Message{Key: large, Value: large, Headers: []connectors.Header{{Key: "first", Value: []byte("of some")}}}
	for range 100 {
		m.Headers = append(m.Headers, connectors.Header{Key: strings.Repeat("x", 1000), Value: large[:1000]})
	}
	b := &connectors.Batch{Partition: "orders/0", Messages: []connectors.Message{m}}
	s.routes[0].tap(StageFetched, b, b.Messages, nil)
	got := <-tap.Messages()
	text, err := json.Marshal(got)
	if n := len(got.Headers); err != nil || len(text) > 100_000 || n < 2 || n > 4 || got.Payload.Headers[0] != "first: of some" {
		t.Errorf("%d bytes, %d headers", len(text), len(got.Headers))
	}
}

// TestTapCost: nobody who looks costs nothing, and nobody who reads costs no memory.
func TestTapCost(t *testing.T) {
	s := start(t, between(connectortest.NewTopic("orders", 1), connectortest.NewTopic("out", 0)))
	defer s.end()
	b := &connectors.Batch{Partition: "orders/0", Messages: []connectors.Message{message()}}
	show := func() { s.routes[0].tap(StageFetched, b, b.Messages, nil) }
	if n := testing.AllocsPerRun(100, show); n != 0 {
		t.Errorf("%v allocations without a tap", n)
	}
	tap, err := s.Tap("orders", true)
	if err != nil {
		t.Fatal(err)
	}
	defer tap.Close()
	for len(tap.messages) < cap(tap.messages) {
		tap.messages <- Tapped{}
	}
	if n := testing.AllocsPerRun(100, show); n != 0 {
		t.Errorf("%v allocations with a tap that nobody reads", n)
	}
}
