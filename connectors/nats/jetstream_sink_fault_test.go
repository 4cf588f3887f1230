package nats

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/sluice-bridge/sluice/connectors"
)

// load writes lanes into a sink until it is told to stop, as the bridge does: what a Write says is
// not delivered is written again.
type load struct {
	t      *testing.T
	sink   connectors.Sink
	cancel context.CancelFunc
	done   sync.WaitGroup
	mu     sync.Mutex
	sum    int
	moved  chan struct{}
	upTo   []int // by lane: messages acknowledged
}

const loadLanes = 4

func startLoad(t *testing.T, s connectors.Sink, perWrite, size int) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{t: t, sink: s, cancel: cancel, moved: make(chan struct{}), upTo: make([]int, loadLanes)}
	for p := range loadLanes {
		l.done.Go(func() {
			for next := 0; ctx.Err() == nil; next += perWrite {
				b := lane(p, next, perWrite, size)
				for !l.write(b) {
					if wait(ctx, 50*time.Millisecond); ctx.Err() != nil {
						return
					}
				}
				l.acknowledged(p, next+perWrite)
			}
		})
	}
	t.Cleanup(func() { cancel(); l.done.Wait() })
	return l
}

// write reports whether all of b is acknowledged; it takes what is out of b. It is never cut short,
// so that what it leaves behind is definite.
func (l *load) write(b *connectors.Batch) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	err := l.sink.Write(ctx, []*connectors.Batch{b})
	var partial *connectors.BatchError
	if errors.As(err, &partial) {
		b.Messages = b.Messages[partial.Failed[0].Index:]
	}
	return err == nil
}

func (l *load) acknowledged(p, upTo int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sum += upTo - l.upTo[p]
	l.upTo[p] = upTo
	close(l.moved)
	l.moved = make(chan struct{})
}

func (l *load) total() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sum
}

// awaitMore waits until n more messages are acknowledged.
func (l *load) awaitMore(n int) {
	l.t.Helper()
	deadline := time.After(time.Minute)
	l.mu.Lock()
	want := l.sum + n
	l.mu.Unlock()
	for {
		l.mu.Lock()
		sum, moved := l.sum, l.moved
		l.mu.Unlock()
		if sum >= want {
			return
		}
		select {
		case <-moved:
		case <-deadline:
			l.t.Fatalf("stuck at %d messages, want %d", sum, want)
		}
	}
}

func (l *load) finish() {
	l.cancel()
	l.done.Wait()
}

// check compares the stream with what was acknowledged: every message once, in order.
func (l *load) check(st *sinkTest) {
	l.t.Helper()
	got := st.stored()
	for p, n := range l.upTo {
		st.wantRun(got[string(rune('0'+p))], p, n)
	}
	if told := st.host.all(connectors.Dropped); len(told) > 0 {
		l.t.Errorf("reported as dropped: %+v", told)
	}
	l.t.Logf("%d messages", l.total())
}

func TestSinkOutlivesKilledServer(t *testing.T) {
	t.Parallel()
	forms(t, func(t *testing.T, change func(*jetstream.StreamConfig)) {
		p := startProcess(t, 0)
		st := newSinkTest(t, p.url(), change)
		l := startLoad(t, st.open(st.config(), st.env()), 500, 100)
		for range kills() {
			l.awaitMore(20_000)
			p.kill()
			p.start()
		}
		l.awaitMore(20_000)
		l.finish()
		l.check(st)
	})
}

func kills() int {
	if os.Getenv(longEnv) != "" {
		return 10
	}
	return 1
}

// longEnv asks for more kills, and for freezes of the duration that it holds.
const longEnv = "SLUICE_LONG"

// haltingLink forwards connections to target and pauses for a while after each so many bytes that a
// client sends, wherever that is in the protocol.
func haltingLink(t *testing.T, target string, every int64, pause time.Duration) (addr string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var done sync.WaitGroup
	done.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", target)
			if err != nil {
				client.Close()
				continue
			}
			done.Go(func() {
				defer server.Close()
				for {
					if _, err := io.CopyN(server, client, every); err != nil {
						return
					}
					time.Sleep(pause)
				}
			})
			done.Go(func() {
				defer client.Close()
				_, _ = io.Copy(client, server)
			})
		}
	})
	t.Cleanup(func() { l.Close(); done.Wait() })
	return l.Addr().String()
}

// The network is slow for longer than the server keeps a batch open: it then knows no such batch.
func TestSinkOutlivesClosedBatch(t *testing.T) {
	t.Parallel()
	srv := startServer(t, func(o *server.Options) { o.JetStreamLimits.MaxBatchTimeout = 100 * time.Millisecond })
	st := newSinkTest(t, srv.ClientURL(), batched)
	c := st.config()
	c.Servers = connectors.List{haltingLink(t, srv.Addr().String(), 3<<20, 300*time.Millisecond)}
	s := st.open(c, st.env())
	l := startLoad(t, s, 1000, 1000)
	l.awaitMore(6_000)
	l.finish()
	l.check(st)
	if s.tail.reads == 0 {
		t.Error("no batch was closed by the server: the test shows nothing")
	}
	if lost := st.host.all(connectors.Disconnected); len(lost) > 0 {
		t.Errorf("the connection was given up: %v", lost)
	}
}

// The connection breaks and the server lives.
func TestSinkOutlivesCutConnection(t *testing.T) {
	t.Parallel()
	forms(t, func(t *testing.T, change func(*jetstream.StreamConfig)) {
		srv := startServer(t, nil)
		p := newProxy(t, srv.Addr().String())
		st := newSinkTest(t, srv.ClientURL(), change)
		c := st.config()
		c.Servers = connectors.List{p.addr}
		l := startLoad(t, st.open(c, st.env()), 2000, 100)
		for range kills() {
			l.awaitMore(20_000)
			p.cut()
		}
		l.awaitMore(20_000)
		l.finish()
		l.check(st)
	})
}

// The stream is deleted under load, and another one of that name made later.
func TestSinkGoesOnWithNewStream(t *testing.T) {
	t.Parallel()
	forms(t, func(t *testing.T, change func(*jetstream.StreamConfig)) {
		st := newSinkTest(t, startServer(t, nil).ClientURL(), change)
		l := startLoad(t, st.open(st.config(), st.env()), 500, 100)
		l.awaitMore(5_000)
		if err := st.js.DeleteStream(t.Context(), "T"); err != nil {
			t.Fatal(err)
		}
		e, _ := st.host.await(t, 0, "missing stream", func(e connectors.Event) bool { return e.Kind == connectors.Disconnected })
		if !strings.Contains(e.Err.Error(), "stream T does not exist") {
			t.Errorf("reported %v", e.Err)
		}
		if _, err := st.js.CreateStream(t.Context(), st.stream); err != nil {
			t.Fatal(err)
		}
		l.awaitMore(5_000)
		l.finish()
		// What was under way at the deletion may have reached both streams, and come twice.
		for p, got := range st.stored() {
			have := map[int]bool{}
			for _, i := range got {
				have[i] = true
			}
			first, upTo := slices.Min(got), l.upTo[p[0]-'0']
			if len(have) != upTo-first {
				t.Errorf("partition %s: %d messages from %d on, %d acknowledged", p, len(have), first, upTo)
			}
		}
	})
}

// A server that is frozen answers when it thaws; nothing is sent twice.
func TestSinkOutlivesFrozenServer(t *testing.T) {
	t.Parallel()
	frozen, timeout := 1500*time.Millisecond, 500*time.Millisecond
	if os.Getenv(longEnv) != "" {
		var err error
		if frozen, err = time.ParseDuration(os.Getenv(longEnv)); err != nil {
			t.Fatal(err)
		}
		timeout = 0
	}
	forms(t, func(t *testing.T, change func(*jetstream.StreamConfig)) {
		p := startProcess(t, timeout)
		st := newSinkTest(t, p.url(), change)
		l := startLoad(t, st.open(st.config(), st.env()), 2000, 1000)
		l.awaitMore(40_000)
		p.freeze()
		before := l.total()
		time.Sleep(frozen)
		if more := l.total() - before; more > loadLanes*2000 {
			t.Errorf("%d messages acknowledged by a frozen server", more)
		}
		p.thaw()
		l.awaitMore(40_000)
		l.finish()
		l.check(st)
		if lost := st.host.all(connectors.Disconnected); len(lost) > 0 && frozen < pingEvery*maxPings {
			t.Errorf("the connection was given up: %v", lost)
		}
	})
}

// What a Write leaves behind when it is given up while the server takes nothing.
func TestSinkWriteIsGivenUpAtOnce(t *testing.T) {
	t.Parallel()
	forms(t, func(t *testing.T, change func(*jetstream.StreamConfig)) {
		p := startProcess(t, 0)
		st := newSinkTest(t, p.url(), change)
		s := st.open(st.config(), st.env())
		write(t, s, lane(0, 0, 10, 0))
		p.freeze()
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		var done sync.WaitGroup
		for i := range 4 {
			done.Go(func() {
				if err := s.Write(ctx, []*connectors.Batch{lane(i, 10, 8, 1<<20-1000)}); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("err = %v", err)
				}
			})
		}
		begin := time.Now()
		done.Wait()
		cctx, stop := context.WithTimeout(context.Background(), 500*time.Millisecond)
		defer stop()
		if err := s.Close(cctx); err != nil {
			t.Error(err)
		}
		// Only the death of the connection would end a Write, or a Close, that does not give up.
		if took := time.Since(begin); took > pingEvery*maxPings/2 {
			t.Errorf("it took %v", took)
		}
	})
}
