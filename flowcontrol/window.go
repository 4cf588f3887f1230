package flowcontrol

import (
	"context"
	"fmt"
	"sync/atomic"
)

// Cost is what something takes of a window.
type Cost struct {
	Messages int64
	Bytes    int64
}

// The packed word: bit 63 says that the admitting goroutine is parked, then 23 bits of messages and
// 40 bits of bytes.
const (
	byteBits    = 40
	messageBits = 23
	byteMask    = 1<<byteBits - 1
	messageMask = 1<<messageBits - 1
	parked      = 1 << 63

	// MaxMessages and MaxBytes are the largest limits a window can have. They leave room for one
	// oversize message above the limit.
	MaxMessages = messageMask / 2
	MaxBytes    = byteMask / 2
)

// Window bounds what is in flight: fetched and not yet acknowledged. One goroutine calls Free, Wait
// and Add; any goroutine calls Release, Resize and Used. Nothing allocates and nothing locks; Release
// does one atomic add, and one channel send when it opens a full window.
type Window struct {
	used  atomic.Uint64
	limit atomic.Uint64 // packed as used; never above hard
	hard  Cost
	wake  chan struct{} // capacity 1: a token means "look again"
}

// NewWindow returns an empty window.
func NewWindow(limit Cost) (*Window, error) {
	if limit.Messages < 1 || limit.Messages > MaxMessages {
		return nil, fmt.Errorf("window of %d messages: want 1 to %d", limit.Messages, MaxMessages)
	}
	if limit.Bytes < 1 || limit.Bytes > MaxBytes {
		return nil, fmt.Errorf("window of %d bytes: want 1 to %d", limit.Bytes, int64(MaxBytes))
	}
	w := &Window{hard: limit, wake: make(chan struct{}, 1)}
	w.limit.Store(pack(limit))
	return w, nil
}

// Hard returns the bound that the window was made with.
func (w *Window) Hard() Cost { return w.hard }

// Limit returns the bound that holds now: the hard one, or less after Resize.
func (w *Window) Limit() Cost { return unpack(w.limit.Load()) }

// Resize changes the bound, within 1 and the hard one. Shrinking takes nothing back: what is in flight
// stays, and nothing is admitted until it is less than the new bound.
func (w *Window) Resize(limit Cost) {
	limit.Messages = max(1, min(limit.Messages, w.hard.Messages))
	limit.Bytes = max(1, min(limit.Bytes, w.hard.Bytes))
	w.limit.Store(pack(limit))
	// As in Release: either Wait reads the new bound, or we read the bit that it set before.
	if w.used.Load()&parked != 0 {
		w.Nudge()
	}
}

// Used returns what is in flight.
func (w *Window) Used() Cost { return unpack(w.used.Load()) }

// Free returns what may be fetched now. While the window is full it returns the bound that is full as
// cause, and the caller has to Wait. need is the size of a message that did not fit the last time, or
// 0: it must fit too, or have the window for itself.
func (w *Window) Free(need int64) (free Cost, cause Cause) {
	return room(w.used.Load(), w.limit.Load(), need, 16)
}

// Wait blocks until a full window has opened again or ctx ends, whose error it returns. It does not
// admit anything: Add does.
func (w *Window) Wait(ctx context.Context, need int64) error {
	// The parked bit is set before the words are read again, and Release reads the bit in the word its
	// own subtraction produced: so either we see the room or Release sees the bit and leaves a token.
	w.used.Or(parked)
	defer w.used.And(^uint64(parked))
	for {
		if _, cause := room(w.used.Load(), w.limit.Load(), need, 4); cause == CauseNone {
			return nil
		}
		select {
		case <-w.wake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Add takes c of the window. It never blocks: the caller asked Free first. What it adds beyond the
// limit is one oversize message alone, or what a source held beyond what it was given.
func (w *Window) Add(c Cost) { w.used.Add(pack(c)) }

// Release gives c back. Messages and bytes may be released apart.
func (w *Window) Release(c Cost) {
	if left := w.used.Add(-pack(c)); left&parked != 0 {
		w.Nudge()
	}
}

// Nudge makes a parked Wait look again; for callers that wait for more than room.
func (w *Window) Nudge() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// room is Free of a window with these two words, with the share (one part in parts) that must be free
// in each bound.
func room(usedWord, limitWord uint64, need, parts int64) (Cost, Cause) {
	used, limit := unpack(usedWord), unpack(limitWord)
	free := Cost{limit.Messages - used.Messages, limit.Bytes - used.Bytes}
	if used.Messages == 0 && used.Bytes == 0 {
		return free, CauseNone
	}
	switch {
	case free.Messages < max(1, limit.Messages/parts):
		return free, CauseMessages
	case free.Bytes < max(1, limit.Bytes/parts):
		return free, CauseBytes
	case free.Bytes < need:
		return free, CauseOversize
	}
	return free, CauseNone
}

func pack(c Cost) uint64 { return uint64(c.Messages)<<byteBits + uint64(c.Bytes) }

func unpack(word uint64) Cost {
	return Cost{int64(word >> byteBits & messageMask), int64(word & byteMask)}
}
