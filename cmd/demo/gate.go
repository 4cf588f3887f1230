package demo

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
)

// gate holds back whoever passes it while it is shut.
type gate struct {
	mu   sync.Mutex
	open chan struct{} // closed while the gate is open
}

func newGate() *gate {
	g := &gate{open: make(chan struct{})}
	close(g.open)
	return g
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.open:
		g.open = make(chan struct{})
	default:
	}
}

func (g *gate) release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.open:
	default:
		close(g.open)
	}
}

// wait returns when the gate is open or done is closed.
func (g *gate) wait(done <-chan struct{}) {
	g.mu.Lock()
	open := g.open
	g.mu.Unlock()
	select {
	case <-open:
	case <-done:
	}
}

// proxy forwards connections to one address and stops doing so, both ways, while its gate is shut: to
// a client the server is then alive and silent, as if it were frozen.
type proxy struct {
	gate     *gate
	listener net.Listener
	target   string
	done     chan struct{}
	wg       sync.WaitGroup
}

func newProxy(ctx context.Context, target string) (*proxy, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{gate: newGate(), listener: l, target: target, done: make(chan struct{})}
	p.wg.Go(p.accept)
	return p, nil
}

func (p *proxy) address() string { return p.listener.Addr().String() }

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.wg.Go(func() { p.forward(client, server) })
	}
}

func (p *proxy) forward(client, server net.Conn) {
	var both sync.WaitGroup
	ended := make(chan struct{}, 2)
	both.Go(func() { p.copy(server, client); ended <- struct{}{} })
	both.Go(func() { p.copy(client, server); ended <- struct{}{} })
	select {
	case <-ended:
	case <-p.done:
	}
	_, _ = client.Close(), server.Close()
	both.Wait()
}

func (p *proxy) copy(to io.Writer, from io.Reader) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		p.gate.wait(p.done)
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *proxy) close() {
	close(p.done)
	_ = p.listener.Close()
	p.wg.Wait()
}

// produceGate wraps the listener of a Kafka broker and holds back produce requests while its gate is
// shut; every other request passes, so that the group and the other direction go on. Requests of the
// demo's own load pass too.
type produceGate struct {
	net.Listener
	gate *gate
	done <-chan struct{}
}

func (l produceGate) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &produceConn{Conn: c, in: bufio.NewReader(c), gate: l.gate, done: l.done}, nil
}

// produceConn looks at the header of each request before the broker gets it.
type produceConn struct {
	net.Conn
	in   *bufio.Reader
	left int // bytes of the current request that are still to pass
	gate *gate
	done <-chan struct{}
}

// loadClient is the client id of the demo's own load.
const loadClient = "demo-load"

func (c *produceConn) Read(p []byte) (int, error) {
	if c.left == 0 {
		if err := c.header(); err != nil {
			return 0, err
		}
	}
	n, err := c.in.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

// header reads on to the next request: size, API key (0 is Produce), version, correlation id and client
// id, as every request begins.
func (c *produceConn) header() error {
	const fixed = 4 + 2 + 2 + 4 + 2
	head, err := c.in.Peek(fixed)
	if err != nil {
		if errors.Is(err, io.EOF) && len(head) > 0 {
			return io.ErrUnexpectedEOF
		}
		return err
	}
	size, produce := int(int32(binary.BigEndian.Uint32(head))), binary.BigEndian.Uint16(head[4:]) == 0
	if size < fixed-4 {
		return errors.New("not a Kafka request")
	}
	c.left = 4 + size
	if name := int(int16(binary.BigEndian.Uint16(head[12:]))); produce && name >= 0 {
		head, err := c.in.Peek(min(fixed+name, c.left, c.in.Size()))
		if err != nil {
			return err
		}
		produce = string(head[fixed:]) != loadClient
	}
	if produce {
		c.gate.wait(c.done)
	}
	return nil
}
