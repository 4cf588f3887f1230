package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo returns the address of a server that says back what it hears.
func echo(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); c.Close() }()
		}
	}()
	return l.Addr().String()
}

func TestBlockCutRefuse(t *testing.T) {
	p, err := New("127.0.0.1:0", echo(t))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	c, err := net.Dial("tcp", p.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	say := func(patience time.Duration) error {
		if _, err := c.Write([]byte("x")); err != nil {
			return err
		}
		_ = c.SetReadDeadline(time.Now().Add(patience))
		_, err := io.ReadFull(c, make([]byte, 1))
		return err
	}
	if err := say(time.Minute); err != nil {
		t.Fatal(err)
	}
	p.Block()
	var timeout net.Error
	if err := say(50 * time.Millisecond); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Fatalf("a blocked proxy let a byte pass: %v", err)
	}
	p.Open()
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatalf("what was held did not come after Open: %v", err)
	}
	p.Delay(60 * time.Millisecond)
	begin := time.Now()
	if err := say(time.Minute); err != nil || time.Since(begin) < 120*time.Millisecond {
		t.Fatalf("%v after %v, want two delays", err, time.Since(begin))
	}
	p.Delay(0)
	p.Refuse(true)
	p.Cut()
	if err := say(time.Minute); err == nil {
		t.Fatal("a cut connection works")
	}
	again, err := net.Dial("tcp", p.Addr)
	if err == nil {
		defer again.Close()
		if _, err := again.Read(make([]byte, 1)); err == nil {
			t.Fatal("a refused connection works")
		}
	}
}

// What the server answered while its way was held is lost with the connection, although it did what it
// was asked for.
func TestAnswerLost(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	heard := make(chan byte, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		b := make([]byte, 1)
		for {
			if _, err := io.ReadFull(c, b); err != nil {
				return
			}
			heard <- b[0]
			_, _ = c.Write(b)
		}
	}()
	p, err := New("127.0.0.1:0", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	c, err := net.Dial("tcp", p.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p.Hold(ToClient)
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if b := <-heard; b != 'x' {
		t.Fatalf("the server heard %q", b)
	}
	p.Reset()
	p.Open()
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("read %d bytes, %v; want a reset", n, err)
	}
}

// The answers of a broker are told apart by API key.
func TestCountsFetchAnswers(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "t"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	// The fake advertises itself, so the proxy is put in by the client's dialer.
	p, err := New("127.0.0.1:0", cluster.ListenAddrs()[0])
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(p.Addr), kgo.ConsumeTopics("t"), kgo.DefaultProduceTopic("t"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(50*time.Millisecond),
		kgo.Dialer(func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, p.Addr)
		}))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.ProduceSync(ctx, &kgo.Record{Value: make([]byte, 200_000)}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if got := p.Answers(Produce); got != 1 {
		t.Errorf("%d produce answers, want 1", got)
	}
	if f := client.PollFetches(ctx); f.Err() != nil || f.NumRecords() != 1 {
		t.Fatalf("%d records, %v", f.NumRecords(), f.Err())
	}
	first := p.Answers(Fetch)
	if first < 1 {
		t.Error("no fetch answer was counted")
	}
	for p.Answers(Fetch) < first+3 { // empty answers count too
		select {
		case <-ctx.Done():
			t.Fatal("empty fetch answers are not counted")
		case <-time.After(5 * time.Millisecond):
		}
	}
	if got := p.Answers(JoinGroup); got != 0 {
		t.Errorf("%d join answers, want 0", got)
	}
}

// After so many bytes of the client the connection ends, and the server has got exactly those.
func TestCutAfter(t *testing.T) {
	p, err := New("127.0.0.1:0", echo(t))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	tripped := make(chan struct{})
	p.CutAfter(5, func() { close(tripped) })
	c, err := net.Dial("tcp", p.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("1234567")); err != nil {
		t.Fatal(err)
	}
	<-tripped
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	if text, _ := io.ReadAll(c); !strings.HasPrefix("12345", string(text)) {
		t.Errorf("the server got %q", text)
	}
}
