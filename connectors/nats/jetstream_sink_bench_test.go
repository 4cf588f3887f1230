package nats

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/sluice-bridge/sluice/connectors"
)

// BenchmarkJetStreamSink writes 1 KiB messages with a key over four lanes, in Writes of 1000, into a
// file-backed stream of a server in a process of its own. The forms alternate in one run, so that
// their ratio means something, beside nats.go's PublishAsync.
func BenchmarkJetStreamSink(b *testing.B) {
	const lanes, perWrite, size = 4, 1000, 1024
	p := startProcess(b, 0)
	var streams atomic.Int64
	sinkForm := func(fast bool) func(b *testing.B) {
		return func(b *testing.B) {
			st := newSinkTest(b, p.url(), func(c *jetstream.StreamConfig) {
				c.Name = fmt.Sprintf("S%d", streams.Add(1))
				c.Subjects = []string{c.Name + ".>"}
				c.AllowBatchPublish = fast
			})
			c := st.config()
			c.Subject = st.stream.Name + ".x"
			s := st.open(c, st.env())
			write(b, s, lane(0, 0, 1, 0))
			batch := lane(0, 0, perWrite, size)
			b.SetBytes(size)
			b.ReportAllocs()
			b.ResetTimer()
			var done sync.WaitGroup
			for range lanes {
				done.Go(func() {
					for n := 0; n < b.N; n += lanes * perWrite {
						if err := s.Write(b.Context(), []*connectors.Batch{batch}); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			done.Wait()
			b.StopTimer()
			if err := st.js.DeleteStream(b.Context(), st.stream.Name); err != nil {
				b.Fatal(err)
			}
		}
	}
	async := func(b *testing.B) {
		st := newSinkTest(b, p.url(), func(c *jetstream.StreamConfig) {
			c.Name = fmt.Sprintf("S%d", streams.Add(1))
			c.Subjects = []string{c.Name + ".>"}
		})
		js, err := jetstream.New(client(b, p.url()), jetstream.WithPublishAsyncMaxPending(4000))
		if err != nil {
			b.Fatal(err)
		}
		value := make([]byte, size)
		b.SetBytes(size)
		b.ReportAllocs()
		b.ResetTimer()
		for range b.N {
			m := &nats.Msg{Subject: st.stream.Name + ".x", Data: value, Header: nats.Header{headerKey: {"k"}, headerOrigin: {"kafka:c/orders/0/1;hops=1"}, headerTime: {"1970-01-01T00:00:00Z"}}}
			if _, err := js.PublishMsgAsync(m, jetstream.WithStallWait(10*time.Second)); err != nil {
				b.Fatal(err)
			}
		}
		<-js.PublishAsyncComplete()
		b.StopTimer()
		if err := st.js.DeleteStream(b.Context(), st.stream.Name); err != nil {
			b.Fatal(err)
		}
	}
	for range 2 {
		b.Run("fast", sinkForm(true))
		b.Run("pipelined", sinkForm(false))
		b.Run("PublishAsync", async)
	}
}

// BenchmarkEncode is the part of a Write that costs this process, per message.
func BenchmarkEncode(b *testing.B) {
	batch := lane(0, 0, 1, 1024)
	s, err := newSubjects(nil)
	if err != nil {
		b.Fatal(err)
	}
	f := &framer{}
	f.headers.add = true
	reply := []byte("_INBOX.aaaaaaaaaaaaaaaaaaaaaa.bbbbbbbbbbbbbbbbbbbbbb.500.fail.1234.1.$FI")
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		if err := f.encode(s, 1<<20, batch, &batch.Messages[0]); err != nil {
			b.Fatal(err)
		}
		buf = appendFrame(buf[:0], f.subject, reply, f.block, batch.Messages[0].Value)
	}
}
