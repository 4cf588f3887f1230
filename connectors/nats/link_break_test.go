package nats

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/sluice-bridge/sluice/connectors"
)

// brokenConn takes part of what is written once room is used up.
type brokenConn struct {
	net.Conn
	mu      sync.Mutex
	room    int
	written []byte
	closed  bool
}

var errBroken = errors.New("broken")

func (c *brokenConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, net.ErrClosed
	}
	n := min(len(p), c.room)
	c.written = append(c.written, p[:n]...)
	c.room -= n
	if n < len(p) {
		c.room = 1 << 20 // a deadline that has passed, and was set anew
		return n, errBroken
	}
	return n, nil
}

func (c *brokenConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	return nil
}

// Behind part of a frame nothing is sent any more, whoever writes.
func TestSocketEndsAtPartOfFrame(t *testing.T) {
	frame := appendFrame(nil, []byte("a.b"), nil, nil, []byte("value"))
	for room := range 3 * len(frame) {
		c := &brokenConn{room: room}
		s := newSocket(c, &blocks{}, &arrivalPool{})
		var failed atomic.Int32
		var both sync.WaitGroup
		for i := range 4 {
			both.Go(func() {
				err := s.send(frame)
				if i%2 > 0 {
					_, err = s.Write(frame) // as nats.go does
				}
				if err != nil {
					failed.Add(1)
				}
			})
		}
		both.Wait()
		if want := strings.Repeat(string(frame), 3)[:room]; string(c.written) != want {
			t.Fatalf("after %d bytes the server got %q, want %q", room, c.written, want)
		}
		if failed.Load() == 0 || !c.closed {
			t.Errorf("after %d bytes %d writers have failed; closed %v", room, failed.Load(), c.closed)
		}
	}
}

// The connection ends in the middle of a frame, again and again. What the server got of it counts for
// nothing: each message is stored whole, once and in order.
func TestSinkOutlivesPartOfFrame(t *testing.T) {
	t.Parallel()
	breaks := 3
	if testing.Short() {
		breaks = 1
	}
	for _, plain := range []bool{false, true} {
		t.Run(fmt.Sprintf("plain %v", plain), func(t *testing.T) {
			forms(t, func(t *testing.T, change func(*jetstream.StreamConfig)) {
				srv := startServer(t, nil)
				p := newProxy(t, srv.Addr().String())
				st := newSinkTest(t, srv.ClientURL(), change)
				c := st.config()
				c.Servers, c.Plain = connectors.List{p.addr}, plain
				l := startLoad(t, st.open(c, st.env()), 500, 300)
				rng := rand.New(rand.NewPCG(1, 2))
				for range breaks {
					l.awaitMore(2000)
					p.breakAfter(1 + rng.IntN(300_000))
				}
				l.awaitMore(4000)
				l.finish()
				l.check(st)
				if told := st.host.all(connectors.Disconnected); len(told) < breaks {
					t.Errorf("the connection was lost %d times, want %d", len(told), breaks)
				}
			})
		})
	}
}
