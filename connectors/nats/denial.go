package nats

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
)

// maxRefused bounds how many refused subjects are remembered at a time.
const maxRefused = 4096

// denial is a permission violation and which one it was.
type denial struct {
	count uint64
	err   *DeniedError
}

// deniedSince returns the violation of subject that came after the first mark ones, if there is one.
func (c *conn) deniedSince(mark uint64, subject string) *DeniedError {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d, ok := c.refused[subject]; ok && d.count > mark {
		return d.err
	}
	return nil
}

// barrier returns when the server has parsed everything that was sent before, and all violations it
// found in that are known. nats.go holds its lock while a frozen server takes nothing, so the call is
// left behind when ctx ends or life is over.
func (c *conn) barrier(ctx context.Context, nc *nats.Conn, life <-chan struct{}) error {
	done := make(chan error, 1)
	bctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { done <- c.flush(bctx, nc) }()
	select {
	case err := <-done:
		return err
	case <-life:
		return errLost
	case <-ctx.Done():
		return ctx.Err()
	}
}

// flush waits for the server's PONG and for asyncError to have been told what came before it.
func (c *conn) flush(ctx context.Context, nc *nats.Conn) error {
	if _, ok := ctx.Deadline(); !ok {
		// nats.go wants a deadline; a connection that is silent for so long is given up anyway.
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 2*pingEvery*maxPings)
		defer cancel()
	}
	if err := nc.FlushWithContext(ctx); err != nil {
		return err
	}
	c.heard(ctx, nc)
	return nil
}

// heard returns when asyncError has been told of the violation that nats.go has read last: the goroutine that
// reads notes it before it reads on, and another one calls back.
func (c *conn) heard(ctx context.Context, nc *nats.Conn) {
	done := make(chan struct{})
	go func() { // as in barrier
		defer close(done)
		last := nc.LastError()
		if !errors.Is(last, nats.ErrPermissionViolation) {
			return
		}
		for range 1000 {
			c.mu.Lock()
			seen := c.seen
			c.mu.Unlock()
			if errors.Is(seen, last) || ctx.Err() != nil {
				return
			}
			wait(ctx, time.Millisecond)
		}
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}
