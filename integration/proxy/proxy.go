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

// Way is one of the two ways that bytes take.
type Way uint8

// The two ways.
const (
	ToServer Way = iota // what the client says
	ToClient            // what the server answers
)

// Proxy forwards connections from Addr to a target. All methods may be called from any goroutine.
type Proxy struct {
	Addr string // host:port it listens on

	target   string
	listener net.Listener
	wg       sync.WaitGroup
	slow     atomic.Pointer[func() time.Duration]
	late     atomic.Pointer[detour]  // nil: nothing
	held     [maxAPIKey]atomic.Int64 // by API key: how long its answers are held, in nanoseconds
	refuse   atomic.Bool
	answers  [maxAPIKey]atomic.Int64
	bytes    atomic.Int64

	mu    sync.Mutex
	gates [2]chan struct{} // by Way; closed: open
	conns map[net.Conn]bool
	left  int64  // bytes of clients until trip
	trip  func() // nil: nothing is planned
}

// New starts a proxy on listen (host:port, port 0 for a free one) for target.
func New(listen, target string) (*Proxy, error) {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return nil, err
	}
	p := &Proxy{Addr: l.Addr().String(), target: target, listener: l, conns: map[net.Conn]bool{}}
	for way := range p.gates {
		p.gates[way] = make(chan struct{})
		close(p.gates[way])
	}
	p.Delay(0)
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
	p.Hold(ToServer)
	p.Hold(ToClient)
}

// Hold holds all bytes of one way until Open. With a Cut before it, what was held is lost: of ToClient,
// answers to what the server has done.
func (p *Proxy) Hold(way Way) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.gates[way]:
		p.gates[way] = make(chan struct{})
	default:
	}
}

// Open lets bytes pass again, both ways.
func (p *Proxy) Open() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, gate := range p.gates {
		select {
		case <-gate:
		default:
			close(gate)
		}
	}
}

// Cut closes all connections.
func (p *Proxy) Cut() { p.end(func(net.Conn) {}) }

// Reset closes all connections as a crashed host does: the peers are told so (RST), and what they had
// not read yet is lost.
func (p *Proxy) Reset() {
	p.end(func(c net.Conn) {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
	})
}

func (p *Proxy) end(prepare func(net.Conn)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		prepare(c)
	}
	// Only now: with one end closed, its copier closes the other.
	for c := range p.conns {
		c.Close()
	}
}

// CutAfter lets n more bytes of clients pass, whichever connection they come over, and closes the
// connection of the last one. It calls do before that one passes: with a Hold in do, its answer is lost.
func (p *Proxy) CutAfter(n int64, do func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left, p.trip = n, do
}

// allow returns how many of n bytes may pass, and what to call before their connection is closed behind
// them; nil: it stays open.
func (p *Proxy) allow(way Way, n int) (int, func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.trip == nil || way != ToServer {
		return n, nil
	}
	if p.left -= int64(n); p.left > 0 {
		return n, nil
	}
	trip := p.trip
	p.trip = nil
	return n + int(p.left), trip
}

// Refuse closes new connections at once while on is true.
func (p *Proxy) Refuse(on bool) { p.refuse.Store(on) }

// Delay holds each piece of data for d on its way, in each direction.
func (p *Proxy) Delay(d time.Duration) { p.Slow(func() time.Duration { return d }) }

// Slow holds each piece of data for as long as by says, in each direction. With by at random it looks
// like loss, which TCP makes good after a while. by is called by many goroutines.
func (p *Proxy) Slow(by func() time.Duration) { p.slow.Store(&by) }

// DelayAnswers holds each answer to requests of a Kafka API key for d, and what follows it on its connection.
func (p *Proxy) DelayAnswers(apiKey int16, d time.Duration) { p.held[apiKey].Store(int64(d)) }

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
		p.copy(p.send(server), client, ToServer, calls.request)
	})
	defer server.Close()
	defer client.Close()
	write := func(b []byte) error { _, err := client.Write(b); return err }
	p.copy(write, server, ToClient, func(b []byte) {
		p.bytes.Add(int64(len(b)))
		calls.answer(b, func(key int16) {
			p.answers[key].Add(1)
			time.Sleep(time.Duration(p.held[key].Load()))
		})
	})
	client.Close()
	server.Close()
	wg.Wait()
}

// copy moves what src says to where write writes and shows it to see.
func (p *Proxy) copy(write func([]byte) error, src net.Conn, way Way, see func([]byte)) {
	buf := make([]byte, 64<<10)
	for {
		n, err := src.Read(buf)
		if n > 0 {
			p.mu.Lock()
			gate := p.gates[way]
			p.mu.Unlock()
			<-gate
			if d := (*p.slow.Load())(); d > 0 {
				time.Sleep(d)
			}
			n, trip := p.allow(way, n)
			if trip != nil {
				trip()
			}
			see(buf[:n])
			if err := write(buf[:n]); err != nil || trip != nil {
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
