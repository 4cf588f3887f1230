package nats

import (
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
}

// Dial implements nats.CustomDialer.
func (d *sockets) Dial(network, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: connectTimeout}
	c, err := dialer.Dial(network, address)
	if err != nil {
		return nil, err
	}
	s := &socket{Conn: c}
	d.mu.Lock()
	d.current = s
	d.mu.Unlock()
	return s, nil
}

// newest returns the socket that was dialed last, nil before the first. It may be in its handshake.
func (d *sockets) newest() *socket {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.current
}

// close breaks the newest socket, and with it whatever write or read hangs in it.
func (d *sockets) close() {
	if s := d.newest(); s != nil {
		_ = s.Close() // it may be closed already
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
