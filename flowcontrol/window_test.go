package flowcontrol

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func newWindow(t testing.TB, limit Cost) *Window {
	t.Helper()
	w, err := NewWindow(limit)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestWindowLimits(t *testing.T) {
	for _, c := range []Cost{{0, 1}, {1, 0}, {-1, 1}, {MaxMessages + 1, 1}, {1, MaxBytes + 1}} {
		if _, err := NewWindow(c); err == nil {
			t.Errorf("NewWindow(%+v) was accepted", c)
		}
	}
	w := newWindow(t, Cost{MaxMessages, MaxBytes})
	w.Add(Cost{MaxMessages, MaxBytes})
	w.Add(Cost{1, MaxBytes}) // one oversize message above the limit does not spill into the other field
	if got, want := w.Used(), (Cost{MaxMessages + 1, 2 * MaxBytes}); got != want {
		t.Errorf("Used: %+v, want %+v", got, want)
	}
	w.Release(Cost{MaxMessages, MaxBytes})
	w.Release(Cost{1, 0})
	w.Release(Cost{0, MaxBytes})
	if w.Used() != (Cost{}) {
		t.Errorf("Used at the end: %+v", w.Used())
	}
}

func TestWindowCauses(t *testing.T) {
	for _, c := range []struct {
		used Cost
		need int64
		want Cause
	}{
		{Cost{0, 0}, 1 << 30, CauseNone}, // alone
		{Cost{60, 100}, 0, CauseNone},
		{Cost{61, 100}, 0, CauseMessages}, // less than a sixteenth is free
		{Cost{10, 6001}, 0, CauseBytes},
		{Cost{10, 3000}, 3400, CauseNone},
		{Cost{10, 3000}, 3401, CauseOversize},
		{Cost{0, 1}, 6401, CauseOversize},
	} {
		w := newWindow(t, Cost{64, 6400})
		w.Add(c.used)
		if _, got := w.Free(c.need); got != c.want {
			t.Errorf("used %+v, need %d: %q, want %q", c.used, c.need, got, c.want)
		}
	}
}

// TestResize: what is in flight stays, the hard bound is never passed, and a waiter is woken.
func TestResize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWindow(t, Cost{64, 6400})
		w.Add(Cost{40, 40})
		w.Resize(Cost{10, 6400})
		if free, cause := w.Free(0); cause != CauseMessages || free.Messages != -30 || w.Used().Messages != 40 {
			t.Errorf("free %+v, cause %q, used %+v", free, cause, w.Used())
		}
		woken := make(chan error, 1)
		go func() { woken <- w.Wait(t.Context(), 0) }()
		synctest.Wait()
		w.Release(Cost{20, 20})
		synctest.Wait()
		select {
		case err := <-woken:
			t.Fatalf("woken with 20 of 10 in flight: %v", err)
		default:
		}
		w.Resize(Cost{1000, 1 << 30})
		if err := <-woken; err != nil {
			t.Error(err)
		}
		if w.Limit() != w.Hard() || w.Hard() != (Cost{64, 6400}) {
			t.Errorf("limit %+v, hard %+v", w.Limit(), w.Hard())
		}
		w.Resize(Cost{})
		if w.Limit() != (Cost{1, 1}) {
			t.Errorf("limit %+v", w.Limit())
		}
	})
}

func TestWaitEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWindow(t, Cost{1, 1})
		w.Add(Cost{1, 1})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := w.Wait(ctx, 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Wait: %v", err)
		}
		w.Release(Cost{1, 1})
		if w.used.Load() != 0 {
			t.Errorf("still parked: %#x", w.used.Load())
		}
	})
}

// batch is one step of a script: it becomes ready after think, is held for hold, then released in two
// parts.
type batch struct {
	cost  Cost
	think time.Duration
	hold  time.Duration
}

type script struct {
	limit   Cost
	batches []batch
	resizes []resize // in order
}

// resize changes the limit at a moment.
type resize struct {
	at    time.Duration
	limit Cost
}

// drawScript draws batches that fit the window, or are one oversize message, and resizes, of which the
// last gives the whole window back. Each has nanoseconds of its own, so that no two things happen at once.
func drawScript(t *rapid.T) script {
	s := script{limit: Cost{
		Messages: rapid.Int64Range(1, 70).Draw(t, "messages"),
		Bytes:    rapid.Int64Range(1, 2000).Draw(t, "bytes"),
	}}
	n := rapid.IntRange(1, 30).Draw(t, "batches")
	for i := range n {
		b := batch{
			cost: Cost{
				rapid.Int64Range(1, s.limit.Messages).Draw(t, "m"),
				rapid.Int64Range(0, s.limit.Bytes+s.limit.Bytes/2).Draw(t, "b"),
			},
			think: time.Duration(rapid.IntRange(0, 3).Draw(t, "think"))*time.Millisecond + time.Duration(3*i+1),
			hold:  time.Duration(rapid.IntRange(1, 40).Draw(t, "hold"))*time.Millisecond + time.Duration(1000*(3*i+2)),
		}
		if b.cost.Bytes > s.limit.Bytes {
			b.cost.Messages = 1
		}
		s.batches = append(s.batches, b)
	}
	at := time.Duration(0)
	for i := range rapid.IntRange(0, 8).Draw(t, "resizes") {
		at += time.Duration(rapid.IntRange(1, 60).Draw(t, "after")) * time.Millisecond
		limit := Cost{
			rapid.Int64Range(1, s.limit.Messages).Draw(t, "to messages"),
			rapid.Int64Range(1, s.limit.Bytes).Draw(t, "to bytes"),
		}
		s.resizes = append(s.resizes, resize{at + time.Duration(1e6/2+i), limit})
	}
	if len(s.resizes) > 0 {
		s.resizes = append(s.resizes, resize{at + time.Millisecond + 1e6/2 + 100, s.limit})
	}
	return s
}

// admitted is when a batch was let in, and why it waited the first time.
type admitted struct {
	At    time.Duration
	Cause Cause
}

// replay runs a script on a Window in virtual time, as the bridge's fetcher would.
func replay(s script, w *Window) (log []admitted) {
	begin := time.Now()
	var releases sync.WaitGroup
	for _, r := range s.resizes {
		releases.Add(1)
		time.AfterFunc(r.at, func() { defer releases.Done(); w.Resize(r.limit) })
	}
	for _, b := range s.batches {
		time.Sleep(b.think)
		var first Cause
		for {
			free, cause := w.Free(b.cost.Bytes)
			if cause == CauseNone && (w.Used() == Cost{} || free.Messages >= b.cost.Messages && free.Bytes >= b.cost.Bytes) {
				break
			}
			if cause == CauseNone {
				// What the bridge does with a batch of fewer messages; here it waits for all of them.
				cause = CauseMessages
				time.Sleep(time.Millisecond + 7)
			} else if err := w.Wait(context.Background(), b.cost.Bytes); err != nil {
				panic(err)
			}
			if first == CauseNone {
				first = cause
			}
		}
		w.Add(b.cost)
		log = append(log, admitted{time.Since(begin), first})
		releases.Add(2)
		time.AfterFunc(b.hold/2, func() { defer releases.Done(); w.Release(Cost{b.cost.Messages, 0}) })
		time.AfterFunc(b.hold, func() { defer releases.Done(); w.Release(Cost{0, b.cost.Bytes}) })
	}
	releases.Wait()
	return log
}

// reference answers the same with plain numbers and a list of releases.
func reference(s script) (log []admitted) {
	type release struct {
		at   time.Duration
		cost Cost
	}
	var now time.Duration
	var used Cost
	var releases []release
	limit, resizes := s.limit, s.resizes
	advance := func(to time.Duration) {
		kept := releases[:0]
		for _, r := range releases {
			if r.at <= to {
				used.Messages -= r.cost.Messages
				used.Bytes -= r.cost.Bytes
			} else {
				kept = append(kept, r)
			}
		}
		releases, now = kept, to
		for len(resizes) > 0 && resizes[0].at <= to {
			limit, resizes = resizes[0].limit, resizes[1:]
		}
	}
	full := func(need, parts int64) Cause {
		freeMessages, freeBytes := limit.Messages-used.Messages, limit.Bytes-used.Bytes
		switch {
		case used == Cost{}:
			return CauseNone
		case freeMessages < 1 || freeMessages < limit.Messages/parts:
			return CauseMessages
		case freeBytes < 1 || freeBytes < limit.Bytes/parts:
			return CauseBytes
		case freeBytes < need:
			return CauseOversize
		}
		return CauseNone
	}
	for _, b := range s.batches {
		advance(now + b.think)
		var first Cause
		for {
			cause := full(b.cost.Bytes, 16)
			fits := used == Cost{} || used.Messages+b.cost.Messages <= limit.Messages && used.Bytes+b.cost.Bytes <= limit.Bytes
			if cause == CauseNone && fits {
				break
			}
			if cause == CauseNone {
				cause = CauseMessages
				advance(now + time.Millisecond + 7)
			} else {
				for full(b.cost.Bytes, 4) != CauseNone {
					next := time.Duration(math.MaxInt64)
					for _, r := range releases {
						next = min(next, r.at)
					}
					if len(resizes) > 0 {
						next = min(next, resizes[0].at)
					}
					advance(next)
				}
			}
			if first == CauseNone {
				first = cause
			}
		}
		used.Messages += b.cost.Messages
		used.Bytes += b.cost.Bytes
		log = append(log, admitted{now, first})
		releases = append(releases, release{now + b.hold/2, Cost{b.cost.Messages, 0}}, release{now + b.hold, Cost{0, b.cost.Bytes}})
	}
	return log
}

// TestWindowAgainstReference compares, to the nanosecond, when each batch is admitted and why not
// before.
func TestWindowAgainstReference(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := drawScript(rt)
		var got []admitted
		var w *Window
		// A failure of rapid must not unwind the bubble, so the comparison is outside.
		synctest.Test(t, func(t *testing.T) {
			w = newWindow(t, s.limit)
			got = replay(s, w)
		})
		if d := cmp.Diff(reference(s), got); d != "" {
			rt.Fatalf("limit %+v: (-reference +window)\n%s", s.limit, d)
		}
		if w.used.Load() != 0 {
			rt.Fatalf("not zero at the end: %#x", w.used.Load())
		}
	})
}

// FuzzWindow compares the packed word with two plain numbers.
func FuzzWindow(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 5, 6})
	f.Add([]byte{255, 255, 0, 128, 255, 1, 7})
	f.Fuzz(func(t *testing.T, ops []byte) {
		w := newWindow(t, Cost{1000, 1 << 30})
		var used Cost
		var out []Cost
		for i := 0; i+2 < len(ops); i += 3 {
			if c := (Cost{int64(ops[i+1]), int64(ops[i+2]) << 20}); ops[i]%2 == 0 && used.Messages+c.Messages < MaxMessages && used.Bytes+c.Bytes < MaxBytes {
				w.Add(c)
				out = append(out, c)
				used = Cost{used.Messages + c.Messages, used.Bytes + c.Bytes}
			} else if len(out) > 0 {
				k := int(ops[i+1]) % len(out)
				c := out[k]
				out = append(out[:k], out[k+1:]...)
				w.Release(Cost{c.Messages, 0})
				w.Release(Cost{0, c.Bytes})
				used = Cost{used.Messages - c.Messages, used.Bytes - c.Bytes}
			}
			if w.Used() != used {
				t.Fatalf("Used %+v, want %+v", w.Used(), used)
			}
		}
	})
}

// TestWindowStress lets many release and one resize while the one that admits is cancelled at random.
func TestWindowStress(t *testing.T) {
	const releasers, batches = 4, 3000
	limit := Cost{64, 6400}
	w := newWindow(t, limit)
	work := make(chan Cost, batches)
	var all sync.WaitGroup
	for range releasers {
		all.Go(func() {
			for c := range work {
				for range c.Messages {
					w.Release(Cost{1, 0})
				}
				w.Release(Cost{0, c.Bytes})
			}
		})
	}
	resized := make(chan struct{})
	var resizer sync.WaitGroup
	resizer.Go(func() {
		random := rand.New(rand.NewPCG(2, 2))
		for {
			select {
			case <-resized:
				return
			default:
				w.Resize(Cost{16 + random.Int64N(49), 1500 + random.Int64N(4901)})
			}
		}
	})
	random := rand.New(rand.NewPCG(1, 1))
	cancelled := 0
	for range batches {
		c := Cost{1 + random.Int64N(16), random.Int64N(1500)}
		for {
			free, cause := w.Free(c.Bytes)
			if cause == CauseNone && free.Messages >= c.Messages && free.Bytes >= c.Bytes {
				break
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.IntN(50))*time.Microsecond)
			if w.Wait(ctx, c.Bytes) != nil {
				cancelled++
			}
			cancel()
		}
		w.Add(c)
		if u := w.Used(); u.Messages > limit.Messages || u.Bytes > limit.Bytes {
			t.Fatalf("bound: %+v", u)
		}
		work <- c
	}
	close(work)
	all.Wait()
	close(resized)
	resizer.Wait()
	if w.used.Load() != 0 {
		t.Errorf("not zero at the end: %#x", w.used.Load())
	}
	t.Logf("%d waits were cancelled", cancelled)
}

func ExampleWindow() {
	w, _ := NewWindow(Cost{Messages: 100, Bytes: 1 << 20})
	w.Add(Cost{Messages: 98, Bytes: 4096})
	_, cause := w.Free(0)
	fmt.Println("full:", cause)
	w.Release(Cost{Messages: 50})
	free, _ := w.Free(0)
	fmt.Println("free:", free.Messages)
	// Output:
	// full: window.messages
	// free: 52
}
