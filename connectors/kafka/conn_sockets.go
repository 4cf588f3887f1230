package kafka

import (
	"context"
	"net"
	"sync"

	"github.com/sluice-bridge/sluice/connectors"
)

// sockets knows the open connections of a Transport, which itself closes only those that are idle: one
// that waits for an answer would outlive us until its deadline. Any goroutine.
type sockets struct {
	dialer net.Dialer

	mu     sync.Mutex
	open   map[*socket]bool
	closed bool
}

// dial is for Transport.Dial.
func (s *sockets) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := s.dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = c.Close()
		return nil, net.ErrClosed
	}
	if s.open == nil {
		s.open = map[*socket]bool{}
	}
	k := &socket{Conn: c, of: s}
	s.open[k] = true
	return k, nil
}

// close closes all connections, now and to come.
func (s *sockets) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.hangUp()
}

// hangUp closes all connections there are.
func (s *sockets) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := range s.open {
		_ = k.Conn.Close()
	}
	clear(s.open)
}

// unsent is how much was written that the brokers' hosts have not acknowledged.
func (s *sockets) unsent() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := range s.open {
		n += connectors.Unsent(k.Conn)
	}
	return n
}

type socket struct {
	net.Conn
	of *sockets
}

// Close implements net.Conn.
func (k *socket) Close() error {
	k.of.mu.Lock()
	delete(k.of.open, k)
	k.of.mu.Unlock()
	return k.Conn.Close()
}
