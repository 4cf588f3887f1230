package kafka

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
)

// sockets knows the open connections of a Transport, which itself closes only those that are idle: one
// that waits for an answer would outlive us until its deadline. Any goroutine.
type sockets struct {
	dialer net.Dialer
	tls    connectors.TLS

	mu     sync.Mutex
	open   map[*socket]bool
	closed bool
}

func newSockets(c *Connection) *sockets {
	return &sockets{dialer: net.Dialer{Timeout: time.Duration(c.DialTimeout)}, tls: c.TLS}
}

// dial is for Transport.Dial. A secured connection has its handshake here, for the Transport would do it
// with one configuration for ever.
func (s *sockets) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := s.dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if s.tls.On {
		if c, err = s.secure(ctx, c, address); err != nil {
			return nil, err
		}
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

// secure has a connection to an address speak TLS.
func (s *sockets) secure(ctx context.Context, c net.Conn, address string) (*connectors.TLSConn, error) {
	host, _, _ := net.SplitHostPort(address)                          // it was dialled
	limited, cancel := context.WithTimeout(ctx, s.dialer.Timeout*4/5) // before the Transport gives up, which would not say why
	defer cancel()
	return s.tls.Client(limited, c, host)
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
