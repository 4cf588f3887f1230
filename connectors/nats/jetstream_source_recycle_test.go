package nats

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/sluice-bridge/sluice/connectors"
)

// numbered makes message i: whatever it holds says which it is.
func numbered(i int) *nats.Msg {
	size := (i * 37) % 2000
	if i%97 == 0 {
		size = largeFrame + i
	}
	m := nats.NewMsg("s.x")
	if i%3 > 0 {
		m.Header.Set(headerKey, fmt.Sprint("key-", i))
		m.Header.Set("h", strings.Repeat(fmt.Sprint("h", i), 1+i%5))
	}
	m.Data = bytes.Repeat(fmt.Appendf(nil, "%d ", i), 1+size/6)
	return m
}

func checkNumbered(t *testing.T, m *connectors.Message) {
	t.Helper()
	want := numbered(int(m.Offset))
	key, h := "", ""
	for i := range m.Headers {
		if m.Headers[i].Key == "h" {
			h = string(m.Headers[i].Value)
		}
	}
	if m.Key != nil {
		key = string(m.Key)
	}
	if m.Subject != want.Subject || !bytes.Equal(m.Value, want.Data) || key != want.Header.Get(headerKey) || h != want.Header.Get("h") {
		t.Fatalf("message %d is %.50q with key %q, header %q and subject %q", m.Offset, m.Value, key, h, m.Subject)
	}
}

// Messages are what they were until their batch is recycled, in whatever order that happens, while the memory
// of others is used again.
func TestSourceRecycles(t *testing.T) {
	t.Parallel()
	st := newStreamTest(t, nil)
	const n = 4000
	for i := range n {
		if _, err := st.js.PublishMsgAsync(numbered(i+1), jetstream.WithStallWait(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	<-st.js.PublishAsyncComplete()
	env := sourceEnv(newSourceHost(), "a")
	env.Window = connectors.Room{Messages: 2000, Bytes: 16 << 20}
	s := newJetStreamSource(st.config(), env, defaultPace())
	t.Cleanup(func() { closeSource(t, s) })
	rng := rand.New(rand.NewPCG(7, 8))
	for seen := 0; seen < n; {
		var round, held []*connectors.Batch
		for begin := seen; seen < n && seen-begin < s.window || len(held) > 0; {
			if seen < n && seen-begin < s.window && len(held) < 60 {
				b := fetchOne(t, s, connectors.Room{Messages: 1 + rng.IntN(50), Bytes: 1<<16 + rng.Int64N(1<<18), Alone: true})
				round, held = append(round, b), append(held, b)
				if seen += len(b.Messages); rng.IntN(3) > 0 {
					continue
				}
			}
			at := rng.IntN(len(held))
			for i := range held[at].Messages {
				checkNumbered(t, &held[at].Messages[i])
			}
			s.Recycle(held[at])
			held[at].Messages = nil
			held = slices.Delete(held, at, at+1)
		}
		commit(t, s, round...)
	}
}
