package flowcontrol

import (
	"context"
	"sync"
)

// Lane is the queue between the fetching goroutine and the writer of one lane. What is pushed while
// the writer is busy is taken as one, so that batches grow under load and nothing lingers without.
type Lane[T any] struct {
	mu     sync.Mutex
	queue  []T
	held   int64 // messages pushed and not yet released
	closed bool
	wake   chan struct{} // capacity 1
}

// NewLane returns an empty lane.
func NewLane[T any]() *Lane[T] { return &Lane[T]{wake: make(chan struct{}, 1)} }

// Push appends an item of so many messages and reports whether the lane was open. It never blocks: the
// window bounds what is pushed.
func (l *Lane[T]) Push(item T, messages int64) bool {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return false
	}
	l.queue = append(l.queue, item)
	l.held += messages
	l.mu.Unlock()
	l.signal()
	return true
}

// Take waits for at least one item and moves all of them into dst, which it returns from its start.
// ok is false when the lane is closed and empty; err is ctx's.
func (l *Lane[T]) Take(ctx context.Context, dst []T) (items []T, ok bool, err error) {
	for {
		l.mu.Lock()
		if len(l.queue) > 0 {
			dst = append(dst[:0], l.queue...)
			clear(l.queue)
			l.queue = l.queue[:0]
			l.mu.Unlock()
			return dst, true, nil
		}
		closed := l.closed
		l.mu.Unlock()
		if closed {
			return dst[:0], false, nil
		}
		select {
		case <-l.wake:
		case <-ctx.Done():
			return dst[:0], false, ctx.Err()
		}
	}
}

// Release says that messages of the lane are acknowledged.
func (l *Lane[T]) Release(messages int64) {
	l.mu.Lock()
	l.held -= messages
	l.mu.Unlock()
}

// Held returns the messages that were pushed and not yet released.
func (l *Lane[T]) Held() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held
}

// Close lets Take return what is queued and then ok == false.
func (l *Lane[T]) Close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.signal()
}

func (l *Lane[T]) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}
