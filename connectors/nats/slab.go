package nats

import (
	"math/bits"
	"sync"
)

// slabs are slices that are used again, by their size: so what is in use is never much larger than what it was
// asked for.
type slabs[T any] struct {
	classes [64]sync.Pool // of []T
}

// slabSize is the capacity of a slab for n, and class the number of that size: a power of two, or one and a
// half.
func slabSize(n int) (size, class int) {
	if n <= 2 {
		return n, n
	}
	power := bits.Len(uint(n - 1)) // 1<<power is enough
	if size = 3 << (power - 2); n <= size {
		return size, 2*power - 1
	}
	return 1 << power, 2 * power
}

// get returns an empty slice with room for n; nil for none.
func (s *slabs[T]) get(n int) []T {
	size, class := slabSize(n)
	if size == 0 {
		return nil
	}
	if slab, ok := s.classes[class].Get().([]T); ok {
		return slab
	}
	return make([]T, 0, size)
}

// put takes back what get returned. Nothing points to it any more.
func (s *slabs[T]) put(slab []T) {
	if _, class := slabSize(cap(slab)); class > 0 {
		s.classes[class].Put(slab[:0]) //nolint:staticcheck // it allocates the slice's header, once a batch
	}
}
