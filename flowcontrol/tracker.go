package flowcontrol

import "sync"

// Tracker lets the items of one partition finish in any order and settles them in the order they were
// tracked. Safe for any goroutine. The zero value is ready.
type Tracker[T any] struct {
	mu      sync.Mutex
	items   []tracked[T] // a queue; items[0] is the oldest that has not been drained
	base    uint64       // the ticket of items[0]
	settled int          // how many at the front have finished
	revoked bool
	open    int64 // messages tracked and not yet committed
}

type tracked[T any] struct {
	item     T
	finished bool
}

// Ticket names a tracked item until it is drained.
type Ticket uint64

// Track appends an item of so many messages. ok is false after Revoke: it was not appended.
func (t *Tracker[T]) Track(item T, messages int64) (k Ticket, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.revoked {
		return 0, false
	}
	t.items = append(t.items, tracked[T]{item: item})
	t.open += messages
	return Ticket(t.base + uint64(len(t.items)) - 1), true
}

// Finish marks an item as done and reports whether the settled prefix grew. Finishing twice, or after
// Revoke, does nothing.
func (t *Tracker[T]) Finish(k Ticket) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := int(uint64(k) - t.base)
	if t.revoked || uint64(k) < t.base || i >= len(t.items) || t.items[i].finished {
		return false
	}
	t.items[i].finished = true
	before := t.settled
	for t.settled < len(t.items) && t.items[t.settled].finished {
		t.settled++
	}
	return t.settled > before
}

// Drain appends the settled items to dst in order and forgets them. Invariant I1: an item is drained
// only after it and all before it have finished.
func (t *Tracker[T]) Drain(dst []T) []T {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.revoked {
		return dst
	}
	for i := range t.items[:t.settled] {
		dst = append(dst, t.items[i].item)
	}
	t.forget(t.settled)
	return dst
}

// Committed says that so many messages that were drained are committed. It returns by how many that
// lowered Open: none after Revoke.
func (t *Tracker[T]) Committed(messages int64) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.revoked {
		return 0
	}
	t.open -= messages
	return messages
}

// Open returns how many messages are tracked and not yet committed.
func (t *Tracker[T]) Open() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.open
}

// Revoke ends the tracker: nothing is tracked or drained from now on (invariant I9). It returns how
// many messages were open.
func (t *Tracker[T]) Revoke() (open int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.revoked = true
	open = t.open
	t.items, t.settled, t.open = nil, 0, 0
	return open
}

// forget drops n items from the front. The rest moves to the front of the same array, so that a
// tracker in steady use does not allocate.
func (t *Tracker[T]) forget(n int) {
	rest := copy(t.items, t.items[n:])
	clear(t.items[rest:])
	t.items = t.items[:rest]
	t.base += uint64(n)
	t.settled = 0
}
