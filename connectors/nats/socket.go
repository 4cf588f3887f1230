package nats

import (
	"context"
	"net"
	"sync"
)

// sockets dials for nats.go and keeps the newest socket, so that a sink can send whole frames of its
// own between those of nats.go, which has no way to publish headers that are already encoded: its
// map of headers costs several allocations a message. nats.go flushes whole frames only, so the lock
// around Write is all that is needed. Handshake, pings, subscriptions and reconnects stay with it.
//
// Over TLS, nats.go encrypts above this socket; a sink refuses to send there.
type sockets struct {
	mu      sync.Mutex
	current *socket
	dialing context.CancelFunc
	closed  bool
}

// Dial implements nats.CustomDialer.
func (d *sockets) Dial(network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	d.mu.Lock()
	d.dialing = cancel
	closed := d.closed
	d.mu.Unlock()
	if closed {
		return nil, net.ErrClosed
	}
	var dialer net.Dialer
	c, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	s := &socket{Conn: c}
	d.mu.Lock()
	d.current = s
	closed = d.closed
	d.mu.Unlock()
	if closed {
		_ = s.Close()
	}
	return s, nil
}

// newest returns the socket that was dialed last, nil before the first. It may be in its handshake.
func (d *sockets) newest() *socket {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.current
}

// close breaks the newest socket, and with it whatever write, read or handshake hangs in it, and has
// every later Dial fail. nats.go holds its lock meanwhile, so its own Close would wait.
func (d *sockets) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	if d.dialing != nil {
		d.dialing()
	}
	if d.current != nil {
		_ = d.current.Close() // it may be closed already
	}
}

// socket is a net.Conn with two writers.
type socket struct {
	net.Conn
	mu sync.Mutex
}

// Write writes whole frames. It blocks while the peer takes nothing. A write that fails breaks the
// socket, for part of a frame may be out.
func (s *socket) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.Conn.Write(p)
	if err != nil {
		_ = s.Close()
	}
	return n, err
}
