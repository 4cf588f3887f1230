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
		size = largeFrame*(1+i/97%8) + i // up to all of a block
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

// spoil overwrites what a batch holds, so that whoever still reads it is found out.
func spoil(b *connectors.Batch) {
	for i := range b.Messages {
		m := &b.Messages[i]
		fill(m.Value)
		fill(m.Key)
		for j := range m.Headers {
			fill(m.Headers[j].Value)
		}
		*m = connectors.Message{Subject: "recycled"}
	}
}

func fill(b []byte) {
	for i := range b {
		b[i] = 0xdb
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
			spoil(held[at])
			s.Recycle(held[at])
			held[at].Messages = nil
			held = slices.Delete(held, at, at+1)
		}
		commit(t, s, round...)
	}
}

// wired writes a frame into a block at an offset, as a server sends it, and returns it and where it ends.
func wired(b *block, at, i int, sound bool) (frame, int) {
	m := numbered(i)
	if len(m.Data) > 4000 {
		m.Data = m.Data[:4000]
	}
	put := func(text []byte) []byte {
		start := at
		at += copy(b.bytes[at:], text)
		return b.bytes[start:at:at]
	}
	f := frame{subject: textOf(put([]byte(m.Subject))), reply: textOf(put(fmt.Appendf(nil, "$JS.ACK.S.d.1.%d.%d.9.0", i, i)))}
	var head []byte
	switch {
	case !sound:
		head = []byte("NATS/1.0\r\nno colon\r\n\r\n")
	case len(m.Header) > 0:
		head = appendBlock(nil, m.Header)
	}
	f.body, f.headed = put(append(head, m.Data...)), int32(len(head))
	return f, at
}

// A batch is of its own memory: the blocks that its messages came in are used again as soon as they were
// fetched, and whatever is put back is still there.
func TestBatchesOwnTheirMemory(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 1))
		s := newTestSession()
		s.live.slots[0].messages = 1 << 20
		var pool arrivalPool
		var memory blocks
		sent, seen := 0, 0
		var held []*connectors.Batch
		for seen < 60 {
			for range rng.IntN(4) {
				b := memory.get(blockSize)
				for at := 0; at < 20_000; {
					a := pool.get(b)
					for range 1 + rng.IntN(5) {
						sent++
						var f frame
						f, at = wired(b, at, sent, sent%7 > 0)
						a.frames = append(a.frames, f)
					}
					s.live.came.put(a)
				}
				b.release()
			}
			if sent > seen {
				b, err := s.fetch(t.Context(), s.live, connectors.Room{Messages: 1 + rng.IntN(9), Bytes: 2000 + rng.Int64N(20_000), Alone: true})
				if err != nil {
					t.Fatal(err)
				}
				for i := range b.Messages {
					if seen++; b.Messages[i].Offset != int64(seen) {
						t.Fatalf("seed %d: message %d follows %d", seed, b.Messages[i].Offset, seen-1)
					}
				}
				held = append(held, b)
			}
			var free []*block
			for range 3 {
				b := memory.get(blockSize) // one that nobody holds
				fill(b.bytes[:32<<10])
				free = append(free, b)
			}
			for _, b := range free {
				b.release()
			}
			if len(held) > 3 {
				at := rng.IntN(len(held))
				checkBatch(t, held[at])
				spoil(held[at])
				s.Recycle(held[at])
				held = slices.Delete(held, at, at+1)
			}
		}
		for _, b := range held {
			checkBatch(t, b)
		}
	}
}

// checkBatch checks messages that wired has made.
func checkBatch(t *testing.T, b *connectors.Batch) {
	t.Helper()
	for i := range b.Messages {
		m := &b.Messages[i]
		want := numbered(int(m.Offset))
		want.Data = want.Data[:min(len(want.Data), 4000)]
		if m.Subject != want.Subject || !bytes.Equal(m.Value, want.Data) {
			t.Fatalf("message %d is %.50q of %q", m.Offset, m.Value, m.Subject)
		}
		if (b.Reject != nil) != (m.Offset%7 == 0) {
			t.Fatalf("message %d: rejected because of %v", m.Offset, b.Reject)
		}
		if b.Reject == nil && len(want.Header) > 0 && (string(m.Key) != want.Header.Get(headerKey) || string(m.Headers[0].Value) != want.Header.Get("h")) {
			t.Fatalf("message %d has key %q and headers %q", m.Offset, m.Key, m.Headers)
		}
	}
}
