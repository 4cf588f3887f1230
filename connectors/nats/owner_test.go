package nats

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/sluice-bridge/sluice/connectors"
)

func hurriedPace() pace {
	return pace{
		standby: 10 * time.Millisecond, dead: 150 * time.Millisecond, blind: 300 * time.Millisecond, settle: 30 * time.Millisecond,
		poll: 20 * time.Millisecond, pauseMin: 4 * time.Millisecond, pauseMax: 100 * time.Millisecond,
	}
}

// daemon is a bridge as small as it can be: it writes what it fetches into a log, after a while, and
// commits it.
type daemon struct {
	source *jetStreamSource
	host   *sourceHost
	proxy  *proxy
	cancel context.CancelFunc
	wg     sync.WaitGroup
	wrote  atomic.Int64
}

// written counts how often each stream sequence was written.
type written struct {
	mu     sync.Mutex
	counts map[int64]int
	order  int64 // the highest sequence that was written
	behind int   // first writes that came after a later one
}

func (w *written) add(offset int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.counts[offset] == 0 && offset < w.order {
		w.behind++
	}
	w.counts[offset]++
	w.order = max(w.order, offset)
}

func startDaemon(t testing.TB, st *streamTest, c JetStreamSourceConfig, name string, p pace, w *written) *daemon {
	d := &daemon{host: newSourceHost(), proxy: newProxy(t, strings.TrimPrefix(st.server.ClientURL(), "nats://"))}
	c.Servers = connectors.List{d.proxy.addr}
	env := sourceEnv(d.host, name)
	env.Window.Messages = 32
	d.source = newJetStreamSource(c, env, p)
	ctx, cancel := context.WithCancel(context.Background())
	d.cancel = cancel
	lane, settled := make(chan *connectors.Batch, 4), make(chan *connectors.Batch, 64)
	d.wg.Go(func() {
		defer close(lane)
		for ctx.Err() == nil {
			b, err := d.source.Fetch(ctx, connectors.Room{Messages: 8, Bytes: 1 << 20})
			if err != nil {
				continue
			}
			select {
			case lane <- b:
			case <-ctx.Done():
			}
		}
	})
	d.wg.Go(func() {
		defer close(settled)
		for b := range lane {
			for i := range b.Messages {
				if ctx.Err() != nil {
					return
				}
				w.add(b.Messages[i].Offset)
				d.wrote.Add(1)
			}
			wait(ctx, rand.N(time.Millisecond))
			select {
			case settled <- b:
			case <-ctx.Done():
				return
			}
		}
	})
	d.wg.Go(func() {
		for b := range settled {
			done := []*connectors.Batch{b}
			for more := true; more; {
				select {
				case b, ok := <-settled:
					if more = ok; ok {
						done = append(done, b)
					}
				default:
					more = false
				}
			}
			for ctx.Err() == nil && d.source.Commit(ctx, done) != nil {
				wait(ctx, time.Millisecond)
			}
		}
	})
	return d
}

// kill ends the daemon as SIGKILL does: its connection is gone, and it says nothing.
func (d *daemon) kill() {
	d.proxy.close()
	d.cancel()
	d.source.stop()
	d.wg.Wait()
	<-d.source.done
	d.source.conn.stop()
	<-d.source.conn.done
}

// end closes the daemon in order.
func (d *daemon) end() {
	d.cancel()
	d.wg.Wait()
	closeSource(nil, d.source)
	d.proxy.close()
}

// proxy stands between a client and the server and can hold everything back.
type proxy struct {
	addr   string
	listen net.Listener
	target string
	wg     sync.WaitGroup

	mu     sync.Mutex
	frozen chan struct{} // closed while it flows
	conns  map[net.Conn]bool
	closed bool
	away   bool // connections are refused
	left   int  // bytes to the server until all connections end; 0: no end
}

func newProxy(t testing.TB, target string) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{addr: l.Addr().String(), listen: l, target: target, frozen: make(chan struct{}), conns: map[net.Conn]bool{}}
	close(p.frozen)
	p.wg.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

func (p *proxy) accept() {
	for {
		c, err := p.listen.Accept()
		if err != nil {
			return
		}
		s, err := net.Dial("tcp", p.target)
		if err != nil || !p.hold(c, s) {
			c.Close()
			continue
		}
		p.wg.Go(func() { p.copy(c, s, false) })
		p.wg.Go(func() { p.copy(s, c, true) })
	}
}

func (p *proxy) hold(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		p.conns[c] = true
		if p.closed || p.away {
			c.Close()
		}
	}
	return !p.closed && !p.away
}

// refuse ends every connection and refuses new ones, or takes them again.
func (p *proxy) refuse(away bool) {
	p.mu.Lock()
	p.away = away
	p.mu.Unlock()
	if away {
		p.cut()
	}
}

// breakAfter ends every connection when n more bytes have gone to the server, wherever that is in a frame.
func (p *proxy) breakAfter(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left = n
}

// allow returns how many of n bytes go to the server before all connections end.
func (p *proxy) allow(n int) (allowed int, last bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left == 0 {
		return n, false
	}
	last = n >= p.left
	allowed = min(n, p.left)
	p.left -= allowed
	return allowed, last
}

func (p *proxy) copy(to, from net.Conn, up bool) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		p.mu.Lock()
		flows := p.frozen
		p.mu.Unlock()
		<-flows
		last := false
		if up {
			n, last = p.allow(n)
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if last {
			p.cut()
			return
		}
		if errors.Is(err, io.EOF) || err != nil {
			return
		}
	}
}

// freeze holds everything back until thaw.
func (p *proxy) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.frozen = make(chan struct{})
	}
}

func (p *proxy) thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.release()
}

// cut ends every connection.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
	clear(p.conns)
}

func (p *proxy) release() {
	select {
	case <-p.frozen:
	default:
		close(p.frozen)
	}
}

func (p *proxy) close() {
	p.listen.Close()
	p.mu.Lock()
	p.closed = true
	p.release()
	p.mu.Unlock()
	p.cut()
	p.wg.Wait()
}

func (d *daemon) standsBy() bool { return d.source.Describe().Owner != "" }

// TestOwnership lets two daemons overlap on one durable at random, with kills, freezes, lost
// connections, ends in order, and strangers that reset the durable or pull from it: nothing is lost,
// whoever is left goes on, and nobody resets without end.
func TestOwnership(t *testing.T) {
	const overlaps = 10
	worlds := 20
	if testing.Short() { // the race detector's stage: it needs fewer
		worlds = 8
	}
	server := newStreamTest(t, nil)
	var duplicates, messages, sessions, behind atomic.Int64
	var wg sync.WaitGroup
	for world := range worlds {
		// Beside each other, for they wait most of the time; more than t.Parallel allows.
		wg.Go(func() {
			t.Run(fmt.Sprint(world), func(t *testing.T) {
				o := &overlap{t: t, rng: rand.New(rand.NewPCG(uint64(world), 1)), w: &written{counts: map[int64]int{}}}
				o.open(server, world)
				defer o.close()
				for range overlaps {
					o.step()
				}
				o.finish()
				for _, n := range o.w.counts {
					duplicates.Add(int64(n - 1))
				}
				messages.Add(int64(len(o.w.counts)))
				if !o.strangers {
					behind.Add(int64(o.w.behind))
				}
				sessions.Add(o.sessions)
			})
		})
	}
	wg.Wait()
	t.Logf("%d overlaps, %d messages, %d written again, %d behind a later one, %d sessions",
		worlds*overlaps, messages.Load(), duplicates.Load(), behind.Load(), sessions.Load())
	// Seldom some are, and why is not established. Probably the server still serves a pull that an owner left
	// waiting when it was frozen: if that resumes just where its count goes on, it writes what it gets, cannot
	// acknowledge it, and the hole before it is written late. A stranger who resets the durable and takes as
	// many messages as we had read does the same.
	if behind.Load() > messages.Load()/200 {
		t.Errorf("%d of %d messages were first written behind a later one", behind.Load(), messages.Load())
	}
}

type overlap struct {
	t         *testing.T
	rng       *rand.Rand
	st        *streamTest
	c         JetStreamSourceConfig
	w         *written
	name      string
	a, b      *daemon
	n         int // daemons started
	published int
	sessions  int64
	strangers bool // there are some
}

func (o *overlap) open(server *streamTest, world int) {
	o.name = fmt.Sprintf("W%d", world)
	o.st = &streamTest{t: o.t, server: server.server, nc: server.nc, js: server.js}
	if _, err := o.st.js.CreateStream(o.t.Context(), jetstream.StreamConfig{
		Name: o.name, Subjects: []string{o.name + ".>"}, Storage: jetstream.MemoryStorage,
	}); err != nil {
		o.t.Fatal(err)
	}
	o.c = o.st.config()
	o.c.Stream = o.name
	o.strangers = world%4 > 1
	if world%2 == 1 {
		o.c.Subjects = connectors.List{o.name + ".x"}
	}
	o.publish(60)
	o.a = o.start()
}

func (o *overlap) start() *daemon {
	o.n++
	return startDaemon(o.t, o.st, o.c, fmt.Sprintf("%s-%d", o.name, o.n), hurriedPace(), o.w)
}

func (o *overlap) publish(n int) {
	for range n {
		for _, subject := range []string{".x", ".other"} {
			if subject == ".other" && o.rng.IntN(4) > 0 {
				continue
			}
			if err := o.st.nc.Publish(o.name+subject, []byte("v")); err != nil {
				o.t.Fatal(err)
			}
		}
	}
	if err := o.st.nc.Flush(); err != nil {
		o.t.Fatal(err)
	}
	o.published += n
}

// step starts a second daemon beside the first, lets things happen, and leaves one of them.
func (o *overlap) step() {
	o.b = o.start()
	o.publish(10 + o.rng.IntN(40))
	for range 1 + o.rng.IntN(3) {
		o.disturb()
	}
	o.publish(o.rng.IntN(20))
	gone, left := o.a, o.b
	if o.rng.IntN(3) == 0 {
		gone, left = left, gone
	}
	if o.rng.IntN(2) == 0 {
		gone.kill()
	} else {
		gone.end()
	}
	o.count(gone)
	before := left.wrote.Load()
	o.publish(20)
	o.await("the daemon that is left goes on", func() bool { return left.wrote.Load() > before })
	o.a, o.b = left, nil
	o.checkFloor()
}

func (o *overlap) disturb() {
	d := o.a
	if o.rng.IntN(2) == 0 {
		d = o.b
	}
	what := o.rng.IntN(6)
	if !o.strangers {
		what = 3 + what/2
	}
	switch what {
	case 0, 1: // a stranger resets
		_, _ = o.st.nc.Request("$JS.API.CONSUMER.RESET."+o.name+".sluice-r", nil, time.Second)
	case 2: // a stranger takes some messages and never acknowledges them
		inbox := nats.NewInbox()
		sub, err := o.st.nc.SubscribeSync(inbox)
		if err != nil {
			o.t.Fatal(err)
		}
		_ = o.st.nc.PublishRequest("$JS.API.CONSUMER.MSG.NEXT."+o.name+".sluice-r", inbox, fmt.Appendf(nil, `{"batch":%d,"expires":20000000}`, 1+o.rng.IntN(10)))
		_, _ = sub.NextMsg(5 * time.Millisecond)
		_ = sub.Unsubscribe()
	case 3: // frozen, for shorter or longer than it takes to be taken for dead
		d.proxy.freeze()
		wait(o.t.Context(), time.Duration(o.rng.IntN(300))*time.Millisecond)
		d.proxy.thaw()
	case 4:
		d.proxy.cut()
	case 5:
		wait(o.t.Context(), time.Duration(o.rng.IntN(30))*time.Millisecond)
	}
}

func (o *overlap) await(what string, ok func() bool) {
	o.t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); wait(o.t.Context(), time.Millisecond) {
		if time.Now().After(deadline) {
			o.t.Fatalf("not: %s\na: %+v %v\n%s", what, o.a.source.Describe(), o.a.host.all(connectors.Retrying), o.describe())
		}
	}
}

func (o *overlap) describe() string {
	m, err := o.st.nc.Request("$JS.API.CONSUMER.INFO."+o.name+".sluice-r", nil, time.Second)
	if err != nil {
		return err.Error()
	}
	return string(m.Data)
}

func (o *overlap) floor() uint64 {
	c, err := o.st.js.Consumer(context.Background(), o.name, "sluice-r")
	if err != nil {
		o.t.Fatal(err)
	}
	return c.CachedInfo().AckFloor.Stream
}

// checkFloor checks the one thing that must never happen: an acknowledged message nobody wrote.
func (o *overlap) checkFloor() {
	o.t.Helper()
	floor := o.floor()
	s, err := o.st.js.Stream(context.Background(), o.name)
	if err != nil {
		o.t.Fatal(err)
	}
	for seq := uint64(1); seq <= floor; seq++ {
		m, err := s.GetMsg(context.Background(), seq)
		if err != nil {
			o.t.Fatal(err)
		}
		if len(o.c.Subjects) > 0 && m.Subject != o.c.Subjects[0] {
			continue
		}
		o.w.mu.Lock()
		n := o.w.counts[int64(seq)]
		o.w.mu.Unlock()
		if n == 0 {
			o.t.Fatalf("message %d is acknowledged (floor %d) and was never written", seq, floor)
		}
	}
}

func (o *overlap) count(d *daemon) {
	n := int64(d.source.mark.session)
	o.sessions += n
	if n > 150 {
		o.t.Errorf("a daemon made %d sessions: it resets in a loop", n)
	}
}

func (o *overlap) finish() {
	want := o.published
	if len(o.c.Subjects) == 0 {
		info, err := o.st.js.Stream(context.Background(), o.name)
		if err != nil {
			o.t.Fatal(err)
		}
		want = int(info.CachedInfo().State.Msgs)
	}
	o.await("everything is written", func() bool {
		o.w.mu.Lock()
		defer o.w.mu.Unlock()
		return len(o.w.counts) == want
	})
	o.checkFloor()
}

func (o *overlap) close() {
	for _, d := range []*daemon{o.a, o.b} {
		if d != nil {
			d.end()
			o.count(d)
		}
	}
}
