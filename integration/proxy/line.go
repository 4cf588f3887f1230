package proxy

import (
	"context"
	"net"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// Line is a TCP proxy that is a distance away: what passes arrives half a round trip later, as much at a
// time as a line of that rate holds. It loses nothing, and its ends see windows of TCP that are always
// open: what it shows is delay and rate alone.
type Line struct {
	Addr string // host:port it listens on

	target   string
	oneWay   time.Duration
	listener net.Listener
	ways     [2]way
	ctx      context.Context //nolint:containedctx // ends with Close, as the goroutines do
	stop     context.CancelFunc
	wg       sync.WaitGroup
}

// way is one direction of a line, which all its connections share.
type way struct {
	perSecond int64
	mu        sync.Mutex
	free      time.Time // when the bytes that were taken so far have left
}

// piece is what one read brought, and when it is to arrive.
type piece struct {
	bytes []byte
	due   time.Time
}

const pieceSize = 32 << 10

// NewLine starts a proxy on listen (host:port, port 0 for a free one) for target.
func NewLine(listen, target string, roundTrip time.Duration, bitsPerSecond int64) (*Line, error) {
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return nil, err
	}
	l := &Line{Addr: listener.Addr().String(), target: target, oneWay: roundTrip / 2, listener: listener}
	for i := range l.ways {
		l.ways[i].perSecond = bitsPerSecond / 8
	}
	l.ctx, l.stop = context.WithCancel(context.Background())
	l.wg.Go(l.accept)
	return l, nil
}

// Close ends the line and its connections and waits for its goroutines.
func (l *Line) Close() error {
	l.stop()
	err := l.listener.Close()
	l.wg.Wait()
	return err
}

func (l *Line) accept() {
	for {
		client, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.wg.Go(func() {
			defer client.Close()
			server, err := new(net.Dialer).DialContext(l.ctx, "tcp", l.target)
			if err != nil {
				return
			}
			defer server.Close()
			defer context.AfterFunc(l.ctx, func() { client.Close(); server.Close() })()
			var both sync.WaitGroup
			both.Go(func() { l.carry(server, client, &l.ways[ToServer]) })
			both.Go(func() { l.carry(client, server, &l.ways[ToClient]) })
			both.Wait()
		})
	}
}

// carry moves what src says to dst until src ends; then it ends dst, behind what is on its way.
func (l *Line) carry(dst, src net.Conn, w *way) {
	// What a real line holds, both in it and before it.
	holds := max(4*pieceSize, 2*w.perSecond*int64(l.oneWay)/int64(time.Second))
	room := semaphore.NewWeighted(holds)
	under := make(chan piece, holds/256)
	var arriving sync.WaitGroup
	arriving.Go(func() {
		defer dst.(*net.TCPConn).CloseWrite()
		for p := range under {
			if !l.until(p.due) {
				continue
			}
			_, err := dst.Write(p.bytes)
			if err != nil {
				src.Close()
			}
			room.Release(int64(len(p.bytes)))
		}
	})
	defer arriving.Wait()
	defer close(under)
	for {
		bytes := make([]byte, pieceSize)
		n, err := src.Read(bytes)
		if n > 0 {
			if room.Acquire(l.ctx, int64(n)) != nil {
				return
			}
			under <- piece{bytes[:n:n], w.take(n).Add(l.oneWay)}
		}
		if err != nil {
			return
		}
	}
}

// take puts n bytes on the way and returns when they have left.
func (w *way) take(n int) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	if now := time.Now(); w.free.Before(now) {
		w.free = now
	}
	w.free = w.free.Add(time.Duration(int64(n) * int64(time.Second) / w.perSecond))
	return w.free
}

// until waits for t; false: the line is closed.
func (l *Line) until(t time.Time) bool {
	d := time.Until(t)
	if d <= 0 {
		return l.ctx.Err() == nil
	}
	select {
	case <-time.After(d):
		return true
	case <-l.ctx.Done():
		return false
	}
}
