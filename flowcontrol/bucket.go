package flowcontrol

import (
	"sync"
	"time"
)

// bucketDepth is how much of a rate may pass at once after a rest, as a part of what passes in a second.
const bucketDepth = 0.1

// Bucket counts what passes against a rate. What is taken is what there was, not what there should have been: then
// the bucket is in debt, and who asks waits until it is not. Any goroutine; nothing blocks.
type Bucket struct {
	mu    sync.Mutex
	rate  float64 // a second; 0: any
	level float64 // what may pass now; less than 0: a debt
	at    time.Time
}

// NewBucket returns a bucket that is full, for a rate a second; 0: any.
func NewBucket(rate float64, now time.Time) *Bucket {
	return &Bucket{rate: rate, level: max(1, rate*bucketDepth), at: now}
}

// Set changes the rate. A debt stays, but where there was no rate there is none.
func (b *Bucket) Set(rate float64, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fill(now)
	b.rate = rate
}

// Rate returns the rate.
func (b *Bucket) Rate() float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.rate
}

// Take takes n.
func (b *Bucket) Take(n int64, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fill(now)
	if b.rate > 0 {
		b.level -= float64(n)
	}
}

// Left returns how much may pass now: at least 1 if any rate may.
func (b *Bucket) Left(now time.Time) (n int64, limited bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fill(now)
	return int64(b.level), b.rate > 0
}

// Until returns how long it takes until the bucket is half full, or holds 1 if that is more: less at a time makes many
// small ones. 0: it is.
func (b *Bucket) Until(now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fill(now)
	lacks := max(1, b.depth()/2) - b.level
	if b.rate == 0 || lacks <= 0 {
		return 0
	}
	return time.Duration(lacks/b.rate*float64(time.Second)) + time.Microsecond // for what is rounded
}

func (b *Bucket) depth() float64 { return max(1, b.rate*bucketDepth) }

func (b *Bucket) fill(now time.Time) {
	if b.rate == 0 {
		b.level = b.depth()
	}
	if d := now.Sub(b.at); d > 0 {
		b.level, b.at = min(b.level+d.Seconds()*b.rate, b.depth()), now
	}
}
