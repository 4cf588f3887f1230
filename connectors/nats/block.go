package nats

import (
	"sync"
	"sync/atomic"
)

// blockSize is how much is read from a socket at most at a time. A message that does not fit in what is
// left of a block is moved to the next, or, above largeFrame, to a block of its own: at most an eighth of a
// block is slack, which is what grown claims.
//
// While little comes, quietBlock is read at most: a connection at rest holds no more than that.
const (
	blockSize  = 256 << 10
	largeFrame = blockSize / 8
	quietBlock = 4 << 10
)

// block is memory that is read into, and that frames point to until they are copied into a batch. Who keeps any
// of it holds it; the last who lets go gives it back. One that is never let go of is collected like any memory.
type block struct {
	bytes   []byte
	holders atomic.Int32
	pool    *sync.Pool // nil: of one message, or of a line longer than any other
}

// blocks is the pool of blocks that all sockets of a connection share.
type blocks struct{ whole, quiet sync.Pool }

// get returns a block of blockSize or quietBlock with one holder.
func (p *blocks) get(size int) *block {
	pool := &p.whole
	if size == quietBlock {
		pool = &p.quiet
	}
	b, _ := pool.Get().(*block)
	if b == nil {
		b = &block{bytes: make([]byte, size), pool: pool}
	}
	b.holders.Store(1)
	return b
}

// ofOne returns a block of n bytes that is not used again.
func ofOne(n int) *block {
	b := &block{bytes: make([]byte, n)}
	b.holders.Store(1)
	return b
}

func (b *block) hold() { b.holders.Add(1) }

func (b *block) release() {
	if b.holders.Add(-1) == 0 && b.pool != nil {
		b.pool.Put(b)
	}
}
