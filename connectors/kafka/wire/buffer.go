package wire

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// Buffer is memory that several holders share; the last one gives it back to its pool. B may be cut
// shorter, never grown.
type Buffer struct {
	B    []byte
	pool *Pool
	refs atomic.Int32
}

// Hold adds a holder.
func (b *Buffer) Hold() { b.refs.Add(1) }

// Release drops a holder. A buffer whose holders never release it is collected like any memory: that is
// what happens to one that a cancelled request may still write to.
func (b *Buffer) Release() {
	if b.refs.Add(-1) == 0 {
		b.pool.put(b)
	}
}

// Pool recycles buffers by size. The zero value is ready; any goroutine.
type Pool struct{ classes [classes]sync.Pool }

// Sizes go up in quarters of a power of two, so that at most a quarter of a buffer is slack: what a
// batch is charged for is its buffer's capacity.
const (
	smallest = 8  // log2 of the smallest size
	largest  = 23 // log2; larger buffers are rare and are not kept
	classes  = (largest-smallest)*4 + 1
)

// Get returns a buffer of n bytes with one holder. Its content is arbitrary.
func (p *Pool) Get(n int) *Buffer {
	class, size := classOf(n)
	if class < 0 {
		b := &Buffer{B: make([]byte, n), pool: p}
		b.refs.Store(1)
		return b
	}
	b, _ := p.classes[class].Get().(*Buffer)
	if b == nil {
		b = &Buffer{B: make([]byte, size), pool: p}
	}
	b.B = b.B[:n]
	b.refs.Store(1)
	return b
}

func (p *Pool) put(b *Buffer) {
	if class, size := classOf(cap(b.B)); class >= 0 && size == cap(b.B) {
		p.classes[class].Put(b)
	}
}

// classOf returns the smallest class whose buffers hold n bytes, and their size; -1 for none.
func classOf(n int) (class, size int) {
	if n <= 1<<smallest {
		return 0, 1 << smallest
	}
	k := bits.Len(uint(n-1)) - 1 // 2^k < n <= 2^(k+1)
	if k >= largest {
		return -1, n
	}
	step := 1 << (k - 2)
	quarters := (n - 1<<k + step - 1) / step // 1 to 4
	return (k-smallest)*4 + quarters, 1<<k + quarters*step
}
