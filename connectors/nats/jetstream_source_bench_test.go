package nats

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/connectortest"
)

// benchStream is a server process with a file-backed stream that holds n messages.
func benchStream(b *testing.B, n, size int) JetStreamSourceConfig {
	b.Helper()
	return benchStreamAt(b, startProcess(b, 0), n, size)
}

func benchStreamAt(b *testing.B, p *process, n, size int) JetStreamSourceConfig {
	b.Helper()
	nc, err := nats.Connect(p.url())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(4096))
	if err != nil {
		b.Fatal(err)
	}
	for {
		if _, err = js.CreateStream(b.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}}); err == nil {
			break
		}
		wait(b.Context(), 10*time.Millisecond)
	}
	value := bytes.Repeat([]byte("x"), size)
	for range n {
		if _, err := js.PublishAsync("s.x", value, jetstream.WithStallWait(time.Minute)); err != nil {
			b.Fatal(err)
		}
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-time.After(time.Minute):
		b.Fatal("published messages are not stored")
	}
	c := jetStreamSourceDefaults(connectors.About{Route: "r"})
	c.Servers, c.Stream, c.Plain = connectors.List{p.url()}, "S", os.Getenv(plainEnv) != ""
	return c
}

// BenchmarkSource reads and acknowledges messages from a server process. The sink takes no time. CPU is that of
// this process.
func BenchmarkSource(b *testing.B) {
	for _, size := range []int{100, 1024, 16384} {
		b.Run(fmt.Sprint(size), func(b *testing.B) { benchSource(b, min(300_000, 300<<20/size), size) })
	}
}

// BenchmarkSourceSecured is the same over TLS.
func BenchmarkSourceSecured(b *testing.B) {
	for _, size := range []int{100, 1024, 16384} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			a := connectortest.NewAuthority(b)
			p := a.Issue(b, "server", time.Hour, "127.0.0.1")
			backlog := min(300_000, 300<<20/size)
			c := benchStreamAt(b, startProcessAs(b, serverProcess{CertFile: p.CertFile, KeyFile: p.KeyFile}), backlog, size)
			c.TLS = connectors.TLS{On: true, CAFile: a.CAFile}
			benchSourceOf(b, &c, backlog)
		})
	}
}

func benchSource(b *testing.B, backlog, size int) {
	c := benchStream(b, backlog, size)
	benchSourceOf(b, &c, backlog)
}

func benchSourceOf(b *testing.B, c *JetStreamSourceConfig, backlog int) {
	env := sourceEnv(newSourceHost(), "a")
	env.Window = connectors.Room{Messages: 8192, Bytes: 64 << 20}
	b.ReportAllocs()
	var messages int
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	begin, busy := time.Now(), cpu(b)
	for b.Loop() {
		c.Durable += "x"
		s := newJetStreamSource(*c, env, defaultPace())
		readBacklog(b, s, backlog, env.Window)
		messages += backlog
		closeSource(nil, s)
	}
	busy = cpu(b) - busy
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(messages)/time.Since(begin).Seconds(), "msg/s")
	b.ReportMetric(float64(busy.Nanoseconds())/float64(messages), "cpu-ns/msg")
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/float64(messages), "allocs/msg")
}

// cpu is what this process has used.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkByHand is what a bridge by hand does with the library: fetch, acknowledge the last.
func BenchmarkByHand(b *testing.B) {
	const backlog = 300_000
	c := benchStream(b, backlog, 1024)
	nc, err := nats.Connect(c.Servers[0])
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		b.Fatal(err)
	}
	var messages int
	begin := time.Now()
	for b.Loop() {
		c.Durable += "x"
		consumer, err := js.CreateConsumer(b.Context(), "S", jetstream.ConsumerConfig{Durable: c.Durable, AckPolicy: jetstream.AckAllPolicy, MaxAckPending: 6 * 8192})
		if err != nil {
			b.Fatal(err)
		}
		for n := 0; n < backlog; {
			batch, err := consumer.Fetch(5000)
			if err != nil {
				b.Fatal(err)
			}
			var last jetstream.Msg
			for m := range batch.Messages() {
				last = m
				n++
			}
			if err := last.Ack(); err != nil {
				b.Fatal(err)
			}
		}
		messages += backlog
	}
	b.ReportMetric(float64(messages)/time.Since(begin).Seconds(), "msg/s")
}

// readBacklog reads n messages beside a committer, as the bridge does.
func readBacklog(b *testing.B, s *jetStreamSource, n int, room connectors.Room) {
	settled := make(chan *connectors.Batch, 4096)
	done := make(chan error, 1)
	go func() {
		for first := range settled {
			batches := []*connectors.Batch{first}
			for len(settled) > 0 {
				batches = append(batches, <-settled)
			}
			for _, b := range batches {
				s.Recycle(b)
			}
			if err := s.Commit(b.Context(), batches); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for n > 0 {
		batch, err := s.Fetch(b.Context(), room)
		if err != nil {
			b.Fatal(err)
		}
		n -= len(batch.Messages)
		settled <- batch
	}
	close(settled)
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}

// BenchmarkOwnershipCheck measures what the look at the durable before each acknowledgement costs,
// beside the acknowledgement itself.
func BenchmarkOwnershipCheck(b *testing.B) {
	c := benchStream(b, 10, 10)
	s := newJetStreamSource(c, sourceEnv(newSourceHost(), "a"), defaultPace())
	batch, err := s.Fetch(b.Context(), roomy)
	if err != nil {
		b.Fatal(err)
	}
	sp, p := batch.Handle.(*span), s.live
	s.acking <- struct{}{} // or the source notices that somebody acknowledges behind its back
	defer func() {
		<-s.acking
		closeSource(nil, s)
	}()
	b.Run("check", func(b *testing.B) {
		for b.Loop() {
			info, err := s.durable.info(context.Background())
			if err != nil {
				b.Fatal(err)
			}
			if err := p.owns(info, s.mark); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("acknowledge", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.conn.request(context.Background(), p.ack.subject(sp.at), []byte("+ACK")); err != nil {
				b.Fatal(err)
			}
		}
	})
}
