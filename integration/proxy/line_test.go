package proxy

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"
)

// A line delays, carries many bytes at a time, keeps their order, and is no faster than its rate.
func TestLine(t *testing.T) {
	const (
		roundTrip = 60 * time.Millisecond
		rate      = 100 << 20 // bits: 12.5 MiB a second
		size      = 2 << 20   // 160 ms worth
	)
	l, err := NewLine("127.0.0.1:0", echo(t), roundTrip, rate)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	begin := time.Now()
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took < roundTrip {
		t.Errorf("an echo took %v, less than a round trip of %v", took, roundTrip)
	}
	sent := make([]byte, size)
	for i := range sent {
		sent[i] = byte(i % 251)
	}
	begin = time.Now()
	go func() { _, _ = c.Write(sent) }()
	got := make([]byte, size)
	if _, err := io.ReadFull(c, got); err != nil {
		t.Fatal(err)
	}
	// One piece of 32 KiB a round trip would take 64 of them.
	least, most := roundTrip+size*8*time.Second/rate, 50*roundTrip
	if took := time.Since(begin); took < least || took > most {
		t.Errorf("%d bytes there and back took %v, want %v to %v", size, took, least, most)
	}
	if !bytes.Equal(sent, got) {
		t.Error("the bytes that came back differ")
	}
}

// What was said before the end arrives before it.
func TestLineEnds(t *testing.T) {
	target, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	heard := make(chan []byte, 1)
	go func() {
		c, err := target.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		all, _ := io.ReadAll(c)
		heard <- all
	}()
	l, err := NewLine("127.0.0.1:0", target.Addr().String(), 20*time.Millisecond, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(make([]byte, 100_000)); err != nil {
		t.Fatal(err)
	}
	c.Close()
	select {
	case all := <-heard:
		if len(all) != 100_000 {
			t.Errorf("%d bytes arrived of 100000", len(all))
		}
	case <-time.After(time.Minute):
		t.Fatal("the end did not arrive")
	}
}
