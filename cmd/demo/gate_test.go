package demo

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestProxy: bytes do not pass, either way, while the gate is shut, and none is lost.
func TestProxy(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	p, err := newProxy(t.Context(), server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	client, err := net.Dial("tcp", p.address())
	if err != nil {
		t.Fatal(err)
	}
	far, err := server.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	pass := func(from, to net.Conn) {
		t.Helper()
		if _, err := from.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 5)
		if _, err := io.ReadFull(to, got); err != nil || string(got) != "hello" {
			t.Fatal(string(got), err)
		}
	}
	pass(client, far)
	pass(far, client)
	p.gate.shut()
	p.gate.shut()
	if _, err := client.Write([]byte("late")); err != nil {
		t.Fatal(err)
	}
	if err := far.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := far.Read(make([]byte, 1)); n > 0 || err == nil {
		t.Fatalf("%d bytes passed a shut gate", n)
	}
	if err := far.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	p.gate.release()
	p.gate.release()
	got := make([]byte, 4)
	if _, err := io.ReadFull(far, got); err != nil || string(got) != "late" {
		t.Fatal(string(got), err)
	}
	p.gate.shut()
	p.close() // a shut gate does not keep it
	if _, err := io.ReadAll(client); err != nil {
		t.Fatal(err)
	}
	_ = client.Close()
}

// TestProduceConn: of all requests, only the produce requests of others wait.
func TestProduceConn(t *testing.T) {
	request := func(r kmsg.Request, client string) []byte {
		return kmsg.NewRequestFormatter(kmsg.FormatterClientID(client)).AppendRequest(nil, r, 7)
	}
	metadata, produce := kmsg.NewPtrMetadataRequest(), kmsg.NewPtrProduceRequest()
	metadata.SetVersion(4)
	produce.SetVersion(7)
	free := append(request(metadata, "sluice"), request(produce, loadClient)...)
	all := append(bytes.Clone(free), request(produce, "sluice")...)

	g := newGate()
	g.shut()
	near, far := net.Pipe()
	defer near.Close()
	go func() {
		_, _ = near.Write(all)
		_ = near.Close()
	}()
	c := &produceConn{Conn: far, in: bufio.NewReader(far), gate: g, done: t.Context().Done()}
	got := make([]byte, len(free))
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, free) {
		t.Fatal(err)
	}
	rest := make(chan []byte)
	go func() {
		text, _ := io.ReadAll(c)
		rest <- text
	}()
	select {
	case <-rest:
		t.Fatal("a produce request passed a shut gate")
	case <-time.After(50 * time.Millisecond):
	}
	g.release()
	if text := <-rest; !bytes.Equal(text, all[len(free):]) {
		t.Errorf("%d bytes, want %d", len(text), len(all)-len(free))
	}
}
