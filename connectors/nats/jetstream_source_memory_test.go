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

// memoryStream is a stream of n messages in a server that is a process of its own, so that its heap does not
// count.
func memoryStream(t *testing.T, js jetstream.JetStream, url string, n, size, headers int) (JetStreamSourceConfig, connectors.Env) {
	name := fmt.Sprintf("M%d-%d-%d", n, size, headers)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{name}, Storage: jetstream.MemoryStorage}); err != nil {
		t.Fatal(err)
	}
	m := &nats.Msg{Subject: name, Header: nats.Header{}, Data: bytes.Repeat([]byte("x"), size)}
	for i := range headers {
		m.Header.Set(fmt.Sprint("name-", i), "value")
	}
	for range n {
		if _, err := js.PublishMsgAsync(m, jetstream.WithStallWait(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
	c := jetStreamSourceDefaults(connectors.About{Route: "r"})
	c.Servers, c.Stream = connectors.List{url}, name
	env := sourceEnv(newSourceHost(), "a")
	env.Window = connectors.Room{Messages: n, Bytes: 1 << 30}
	return c, env
}

// TestMessageMemory compares what batches claim to keep alive with what the heap says: all at once, in batches
// of any size, and those few that are left of many.
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
	for _, tc := range []struct {
		n, size, headers int
		room             int // messages a Fetch may bring
		held             int // one batch of so many is kept
	}{
		{10_000, 0, 0, 1 << 20, 1}, {10_000, 100, 0, 1 << 20, 1}, {5000, 100, 1, 1 << 20, 1}, {5000, 100, 8, 1 << 20, 1},
		{8000, 1024, 0, 1 << 20, 1}, {1000, 20_000, 3, 1 << 20, 1}, {300, 100_000, 1, 1 << 20, 1},
		{3000, 100, 1, 1, 1}, {8001, 2000, 2, 1, 100}, {8002, 2000, 2, 7, 10}, {1001, 20_000, 1, 1, 20},
	} {
		t.Run(fmt.Sprintf("%+v", tc), func(t *testing.T) {
			c, env := memoryStream(t, js, p.url(), tc.n, tc.size, tc.headers)
			before := heap() // what arrives ahead of a fetch is part of what is used
			s := newJetStreamSource(c, env, defaultPace())
			defer closeSource(t, s)
			var batches []*connectors.Batch
			var claimed, messages, uncommitted int64
			for i, left := 0, tc.n; left > 0; i++ {
				b := fetchOne(t, s, connectors.Room{Messages: min(left, tc.room), Bytes: 1 << 30})
				left -= len(b.Messages)
				if i%tc.held > 0 {
					s.Recycle(b)
					uncommitted++
					continue
				}
				claimed += b.Memory
				messages += int64(len(b.Messages))
				batches = append(batches, b)
			}
			used := heap() - before
			t.Logf("claimed %d, used %d a message", claimed/messages, used/messages)
			if used > claimed+readBlocks+200*uncommitted {
				t.Errorf("%d bytes are used, %d claimed", used, claimed)
			}
			if claimed > 4*used {
				t.Errorf("%d bytes are claimed, %d used", claimed, used)
			}
			runtime.KeepAlive(batches)
		})
	}
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
