package bridge

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff spaces attempts: each wait is a random time up to a bound that doubles, so that many
// routes that lost the same broker do not come back in step ("full jitter").
type backoff struct {
	Retry
	attempts int
}

// next waits before the next attempt or returns ctx's error.
func (b *backoff) next(ctx context.Context) error {
	bound := b.Max
	if shift := min(b.attempts, 30); b.Initial<<shift > 0 {
		bound = min(bound, b.Initial<<shift)
	}
	b.attempts++
	timer := time.NewTimer(rand.N(bound) + 1)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (b *backoff) reset() { b.attempts = 0 }
