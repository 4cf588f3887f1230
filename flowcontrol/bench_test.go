package flowcontrol

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/semaphore"
)

// The same work on both: 64 messages of 1 KiB are acquired at once and released one by one.
const (
	stride = 64
	size   = 1 << 10
)

func windowRound(w *Window) {
	if _, cause := w.Free(0); cause != CauseNone {
		panic(cause)
	}
	w.Add(Cost{stride, stride * size})
	for range stride {
		w.Release(Cost{1, size})
	}
}

func semaphoreRound(ctx context.Context, messages, bytes *semaphore.Weighted) {
	if messages.Acquire(ctx, stride) != nil || bytes.Acquire(ctx, stride*size) != nil {
		panic("acquire")
	}
	for range stride {
		messages.Release(1)
		bytes.Release(size)
	}
}

func BenchmarkWindow(b *testing.B) {
	w := newWindow(b, Cost{8192, 64 << 20})
	b.ReportAllocs()
	for i := 0; i < b.N; i += stride {
		windowRound(w)
	}
}

// fixedWindow is a Window whose bound never changes, to see what Resize costs.
type fixedWindow struct {
	used  atomic.Uint64
	limit Cost
	wake  chan struct{}
}

func (w *fixedWindow) Free(need int64) (Cost, Cause) {
	used := unpack(w.used.Load())
	free := Cost{w.limit.Messages - used.Messages, w.limit.Bytes - used.Bytes}
	if used == (Cost{}) {
		return free, CauseNone
	}
	switch {
	case free.Messages < max(1, w.limit.Messages/16):
		return free, CauseMessages
	case free.Bytes < max(1, w.limit.Bytes/16):
		return free, CauseBytes
	case free.Bytes < need:
		return free, CauseOversize
	}
	return free, CauseNone
}

func (w *fixedWindow) Add(c Cost) { w.used.Add(pack(c)) }

func (w *fixedWindow) Release(c Cost) {
	if w.used.Add(-pack(c))&parked != 0 {
		w.wake <- struct{}{}
	}
}

func fixedRound(w *fixedWindow) {
	if _, cause := w.Free(0); cause != CauseNone {
		panic(cause)
	}
	w.Add(Cost{stride, stride * size})
	for range stride {
		w.Release(Cost{1, size})
	}
}

// BenchmarkResize compares a window that can be resized with one that cannot, in turns.
func BenchmarkResize(b *testing.B) {
	w := newWindow(b, Cost{8192, 64 << 20})
	fixed := &fixedWindow{limit: Cost{8192, 64 << 20}}
	var resizableTime, fixedTime time.Duration
	for b.Loop() {
		begin := time.Now()
		for range 1000 {
			windowRound(w)
		}
		middle := time.Now()
		for range 1000 {
			fixedRound(fixed)
		}
		resizableTime, fixedTime = resizableTime+middle.Sub(begin), fixedTime+time.Since(middle)
	}
	b.ReportMetric(float64(resizableTime)/float64(fixedTime), "resizable/fixed")
}

func BenchmarkTwoSemaphores(b *testing.B) {
	messages, bytes := semaphore.NewWeighted(8192), semaphore.NewWeighted(64<<20)
	b.ReportAllocs()
	for i := 0; i < b.N; i += stride {
		semaphoreRound(b.Context(), messages, bytes)
	}
}

// TestWindowIsFast compares both in one run, in turns, by the best of several: a neighbour on the
// machine slows both.
func TestWindowIsFast(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector costs more than what is measured")
	}
	w := newWindow(t, Cost{8192, 64 << 20})
	messages, bytes := semaphore.NewWeighted(8192), semaphore.NewWeighted(64<<20)
	best := func(sofar time.Duration, round func()) time.Duration {
		begin := time.Now()
		for range 1000 {
			round()
		}
		if d := time.Since(begin); sofar == 0 || d < sofar {
			return d
		}
		return sofar
	}
	var window, semaphores time.Duration
	for range 30 {
		window = best(window, func() { windowRound(w) })
		semaphores = best(semaphores, func() { semaphoreRound(t.Context(), messages, bytes) })
	}
	ratio := float64(semaphores) / float64(window)
	t.Logf("a message costs %.1f ns in the window and %.1f ns in two semaphores: %.1f times less",
		float64(window)/1000/stride, float64(semaphores)/1000/stride, ratio)
	if ratio < 3 {
		t.Errorf("the window is %.1f times as fast as two semaphores, want 3", ratio)
	}
	if n := testing.AllocsPerRun(100, func() { windowRound(w) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkTracker(b *testing.B) {
	var tr Tracker[int]
	var drained []int
	b.ReportAllocs()
	for i := range b.N {
		k, _ := tr.Track(i, 512)
		tr.Finish(k)
		drained = tr.Drain(drained[:0])
		tr.Committed(512)
	}
}

func BenchmarkLane(b *testing.B) {
	l := NewLane[int]()
	var items []int
	b.ReportAllocs()
	for i := range b.N {
		l.Push(i, 512)
		items, _, _ = l.Take(b.Context(), items)
		l.Release(512)
	}
}

func BenchmarkClock(b *testing.B) {
	c := NewClock(Flowing, time.Now())
	b.ReportAllocs()
	for range b.N {
		now := time.Now()
		c.Wait(CauseMessages, now)
		c.Ack(now)
		c.Resume(now)
	}
}
