package nats

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/sluice-bridge/sluice/connectors"
)

// TestMessageMemory compares what batches claim to keep alive with what the heap says. The server is a
// process of its own, so that its heap does not count.
func TestMessageMemory(t *testing.T) {
	p := startProcess(t, 0)
	nc, err := nats.Connect(p.url())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ n, size, headers int }{{20_000, 0, 0}, {20_000, 100, 0}, {10_000, 100, 1}, {10_000, 100, 8}, {8000, 1024, 0}, {1000, 20_000, 3}} {
		n := tc.n
		name := fmt.Sprintf("M%d-%d", tc.size, tc.headers)
		if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{name}, Storage: jetstream.MemoryStorage}); err != nil {
			t.Fatal(err)
		}
		m := &nats.Msg{Subject: name, Header: nats.Header{}, Data: bytes.Repeat([]byte("x"), tc.size)}
		for i := range tc.headers {
			m.Header.Set(fmt.Sprint("name-", i), "value")
		}
		for range n {
			if _, err := js.PublishMsgAsync(m, jetstream.WithStallWait(time.Minute)); err != nil {
				t.Fatal(err)
			}
		}
		<-js.PublishAsyncComplete()
		c := jetStreamSourceDefaults(connectors.About{Route: "r"})
		c.Servers, c.Stream = connectors.List{p.url()}, name
		env := sourceEnv(newSourceHost(), "a")
		env.Window = connectors.Room{Messages: n, Bytes: 1 << 30}
		before := heap() // what arrives ahead of a fetch is part of what is used
		s := newJetStreamSource(c, env, defaultPace())
		var batches []*connectors.Batch
		var claimed int64
		for left := n; left > 0; {
			b := fetchOne(t, s, connectors.Room{Messages: left, Bytes: 1 << 30})
			left -= len(b.Messages)
			claimed += b.Memory
			batches = append(batches, b)
		}
		used := heap() - before
		t.Logf("%5d bytes, %d headers: claimed %d, used %d a message", tc.size, tc.headers, claimed/int64(n), used/int64(n))
		if used > claimed+readBlocks {
			t.Errorf("%s: %d bytes are used, %d claimed", name, used, claimed)
		}
		if claimed > 4*used {
			t.Errorf("%s: %d bytes are claimed, %d used", name, claimed, used)
		}
		runtime.KeepAlive(batches)
		closeSource(t, s)
	}
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

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
	for i := range n {
		frames = append(frames, frame{
			subject: "s.x", data: []byte("value"), head: []byte("NATS/1.0\r\nh: v\r\nSluice-Origin: kafka:c/t/0/7;hops=1\r\n\r\n"),
			reply: fmt.Sprintf("$JS.ACK.S.d.1.%d.%d.9.0", i+1, i+1),
		})
	}
	allocs := testing.AllocsPerRun(20, func() {
		p := s.live
		p.last = sequences{}
		p.slots[0].messages = n
		a := pool.get(0, nil)
		a.frames = append(a.frames, frames...)
		p.came.put(a)
		b, err := s.fetch(t.Context(), p, connectors.Room{Messages: n, Bytes: 1 << 20})
		if err != nil || len(b.Messages) != n || len(b.Messages[n-1].Headers) != 2 {
			t.Fatal(err)
		}
		s.Recycle(b)
		s.flights.remove([]*connectors.Batch{b})
	})
	if allocs > 10 {
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
