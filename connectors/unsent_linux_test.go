package connectors

import (
	"net"
	"testing"
	"time"
)

// What the other host has no room for stays with us and is counted.
func TestUnsent(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	other, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if n := Unsent(c); n != 0 {
		t.Errorf("%d bytes before anything is written", n)
	}
	_ = c.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
	written, _ := c.Write(make([]byte, 32<<20)) // the reader does not read
	if n := Unsent(c); n <= 0 || n > written {
		t.Errorf("%d bytes wait of %d written", n, written)
	}
	if n := Unsent(nil); n != 0 {
		t.Errorf("%d bytes of no connection", n)
	}
}
