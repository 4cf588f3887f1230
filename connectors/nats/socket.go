package nats

import (
	"context"
	"net"
	"sync"

	"github.com/sluice-bridge/sluice/connectors"
)

// sockets dials for nats.go and keeps the newest socket, which is a link: frames of ours go between those
// of nats.go, and what comes for our subscriptions never gets to it. Handshake, pings and reconnects stay
// with it.
type sockets struct {
	blocks   blocks
	arrivals arrivalPool

	tls     connectors.TLS
	first   bool     // TLS comes before the server's first words
	servers []string // URLs as configured, for the names of certificates

	mu      sync.Mutex
	current *socket
	dialing context.CancelFunc
	closed  bool
}

func newSockets() *sockets { return &sockets{arrivals: arrivalPool{room: maxArrival}} }

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
	if err == nil && d.tls.On {
		c, err = d.secure(ctx, c, address)
	}
	if err != nil {
		return nil, err
	}
	s := newSocket(c, &d.blocks, &d.arrivals)
	s.secured = d.tls.On
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
