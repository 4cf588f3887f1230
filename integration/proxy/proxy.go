// Package proxy is a TCP proxy between the daemon and a broker that can hold, slow and cut what passes,
// and that counts the answers of a Kafka broker by API key.
package proxy

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Proxy forwards connections from Addr to a target. All methods may be called from any goroutine.
type Proxy struct {
	Addr string // host:port it listens on

	target   string
	listener net.Listener
	wg       sync.WaitGroup
	delay    atomic.Int64
	refuse   atomic.Bool
	answers  [maxAPIKey]atomic.Int64
	bytes    atomic.Int64

	mu    sync.Mutex
	gate  chan struct{} // closed: open
	conns map[net.Conn]bool
}

// New starts a proxy on listen (host:port, port 0 for a free one) for target.
func New(listen, target string) (*Proxy, error) {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return nil, err
	}
	p := &Proxy{Addr: l.Addr().String(), target: target, listener: l, gate: make(chan struct{}), conns: map[net.Conn]bool{}}
	close(p.gate)
	p.wg.Go(p.accept)
	return p, nil
}

// Close ends the proxy and all connections and waits for its goroutines.
func (p *Proxy) Close() error {
	p.refuse.Store(true)
	err := p.listener.Close()
	p.Open()
	p.Cut()
	p.wg.Wait()
	return err
}

// Block holds all bytes in both directions until Open; connections stay open and new ones are accepted.
func (p *Proxy) Block() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.gate:
		p.gate = make(chan struct{})
	default:
	}
}

// Open lets bytes pass again.
func (p *Proxy) Open() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.gate:
	default:
		close(p.gate)
	}
}

// Cut closes all connections.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
}

// Refuse closes new connections at once while on is true.
func (p *Proxy) Refuse(on bool) { p.refuse.Store(on) }

// Delay holds each piece of data for d on its way, in each direction.
func (p *Proxy) Delay(d time.Duration) { p.delay.Store(int64(d)) }

// Answers returns how many answers to requests of a Kafka API key have passed so far.
func (p *Proxy) Answers(apiKey int16) int64 { return p.answers[apiKey].Load() }

// Bytes returns how many bytes have passed from the target to clients so far.
func (p *Proxy) Bytes() int64 { return p.bytes.Load() }

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		if p.refuse.Load() {
			client.Close()
			continue
		}
		p.wg.Go(func() { p.serve(client) })
	}
}

func (p *Proxy) serve(client net.Conn) {
	defer client.Close()
	server, err := new(net.Dialer).DialContext(context.Background(), "tcp", p.target)
	if err != nil {
		return
	}
	defer server.Close()
	if !p.track(client, server) {
		return
	}
	defer p.untrack(client, server)
	calls := newCalls()
	var wg sync.WaitGroup
	wg.Go(func() {
		defer server.Close()
		defer client.Close()
		p.copy(server, client, calls.request)
	})
	defer server.Close()
	defer client.Close()
	p.copy(client, server, func(b []byte) {
		p.bytes.Add(int64(len(b)))
		calls.answer(b, func(key int16) { p.answers[key].Add(1) })
	})
	client.Close()
	server.Close()
	wg.Wait()
}

// copy moves what src says to dst and shows it to see.
func (p *Proxy) copy(dst, src net.Conn, see func([]byte)) {
	buf := make([]byte, 64<<10)
	for {
		n, err := src.Read(buf)
		if n > 0 {
			p.mu.Lock()
			gate := p.gate
			p.mu.Unlock()
			<-gate
			if d := p.delay.Load(); d > 0 {
				time.Sleep(time.Duration(d))
			}
			see(buf[:n])
			if _, err := dst.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *Proxy) track(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refuse.Load() {
		return false
	}
	for _, c := range conns {
		p.conns[c] = true
	}
	return true
}

func (p *Proxy) untrack(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		delete(p.conns, c)
	}
}
