package nats

import (
	"fmt"
	"testing"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
)

func TestParseReply(t *testing.T) {
	want := delivery{sequences: sequences{Stream: 7, Consumer: 5}, time: 9, pending: 3}
	for reply, form := range map[string]ackForm{
		"$JS.ACK.S.d.1.7.5.9.3":              {"$JS.ACK.S.d.", ""},
		"$JS.ACK.dom.acc.S.d.1.7.5.9.3":      {"$JS.ACK.dom.acc.S.d.", ""},
		"$JS.ACK.dom.acc.S.d.1.7.5.9.3.rand": {"$JS.ACK.dom.acc.S.d.", ".rand"},
	} {
		got, ok := parseReply(reply)
		if !ok || got != want {
			t.Errorf("%s is %+v, %v", reply, got, ok)
		}
		if got := ackFormOf(reply); got != form {
			t.Errorf("%s has the form %+v", reply, got)
		}
		again, ok := parseReply(form.subject(want.sequences))
		if !ok || again.sequences != want.sequences {
			t.Errorf("%s is acknowledged at %s", reply, form.subject(want.sequences))
		}
	}
}

func FuzzParseReply(f *testing.F) {
	f.Add("$JS.ACK.S.d.1.7.5.9.3")
	f.Add("$JS.ACK.dom.acc.S.d.1.7.5.9.3.rand")
	f.Add("$JS.ACK.......")
	f.Fuzz(func(t *testing.T, reply string) {
		d, ok := parseReply(reply)
		if !ok {
			return
		}
		again, ok := parseReply(ackFormOf(reply).subject(d.sequences))
		if !ok || again.sequences != d.sequences {
			t.Errorf("%q is acknowledged at %q", reply, ackFormOf(reply).subject(d.sequences))
		}
	})
}

// TestSourceAllocations: nothing is allocated per message.
func TestSourceAllocations(t *testing.T) {
	s := newTestSession()
	const n = 500
	var pool arrivalPool
	var frames []frame
	const head = "NATS/1.0\r\nh: v\r\nSluice-Origin: kafka:c/t/0/7;hops=1\r\n\r\n"
	for i := range n {
		frames = append(frames, frame{
			subject: "s.x", body: []byte(head + "value"), headed: int32(len(head)),
			reply: fmt.Sprintf("$JS.ACK.S.d.1.%d.%d.9.0", i+1, i+1),
		})
	}
	allocs := testing.AllocsPerRun(20, func() {
		p := s.live
		p.last = sequences{}
		p.slots[0].messages = n
		a := pool.get(nil)
		a.frames = append(a.frames, frames...)
		p.came.put(a)
		b, err := s.fetch(t.Context(), p, connectors.Room{Messages: n, Bytes: 1 << 20})
		if err != nil || len(b.Messages) != n || len(b.Messages[n-1].Headers) != 2 {
			t.Fatal(err)
		}
		s.Recycle(b)
		s.flights.remove([]*connectors.Batch{b})
	})
	if allocs > 50 { // few; under the race detector pools forget some
		t.Errorf("a batch of %d messages takes %v allocations", n, allocs)
	}
}

// newTestSession is a source with a live session and no server.
func newTestSession() *jetStreamSource {
	s := &jetStreamSource{window: 1000, timer: time.NewTimer(time.Hour)}
	s.cfg.Stream = "S"
	s.live = &pullSession{came: newArrivals(), over: make(chan struct{}), window: 1000, ordered: true}
	for i := range s.live.slots {
		s.live.slots[i].free = true
	}
	return s
}
