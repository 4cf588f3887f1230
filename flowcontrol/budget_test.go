package flowcontrol

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// TestBudgetIsABound: whatever is asked for, brought and given back, all windows together hold no more than
// the budget, and who holds nothing gets its floor.
func TestBudgetIsABound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 6).Draw(t, "windows")
		bytes := rapid.Int64Range(int64(8*n), 10_000).Draw(t, "bytes")
		b := NewBudget(bytes, n)
		parts := make([]*Part, n)
		for i := range parts {
			parts[i] = b.Join()
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			p := parts[rapid.IntRange(0, n-1).Draw(t, "part")]
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0, 1:
				want, before := rapid.Int64Range(1, 2*bytes).Draw(t, "want"), p.asked
				need := rapid.Int64Range(0, want).Draw(t, "need")
				got := p.Ask(want, need)
				switch {
				case p.held == 0 && got < min(want, b.floor):
					t.Fatalf("%d of %d, holding nothing with a floor of %d", got, want, b.floor)
				case got > 0 && p.held > 0 && got < need || p.asked < before:
					t.Fatalf("%d granted of %d, %d needed; %d was kept, now %d", got, want, need, before, p.asked)
				}
				if p.asked > 0 {
					p.Add(rapid.Int64Range(0, p.asked).Draw(t, "brought"))
				}
			case 2:
				p.Release(rapid.Int64Range(0, p.held).Draw(t, "released"))
			default:
				p.Leave()
			}
			var held int64
			for _, p := range parts {
				held += p.held + p.asked
			}
			if held > bytes || b.taken > b.shared {
				t.Fatalf("%d held of %d, %d shared of %d", held, bytes, b.taken, b.shared)
			}
		}
		for _, p := range parts {
			p.Leave()
		}
		if b.taken != 0 {
			t.Errorf("%d taken by nobody", b.taken)
		}
	})
}

// TestBudgetLeavesRoom: a window whose sink is dead takes what it can get; those that come after it have
// their floors and a share of the rest, and one alone has everything.
func TestBudgetLeavesRoom(t *testing.T) {
	fill := func(p *Part) (held int64) {
		for {
			n := p.Ask(1<<40, 0)
			if n == 0 {
				return held
			}
			p.Add(n)
			held += n
		}
	}
	const bytes, windows = 64 << 20, 8
	b := NewBudget(bytes, windows)
	var got []int64
	for range windows {
		got = append(got, fill(b.Join())>>10)
	}
	t.Logf("KiB held, in the order that they came: %v", got)
	if most := b.Most() >> 10; got[0] > most || got[0] < most*9/10 {
		t.Errorf("the first holds %d KiB of %d", got[0], most)
	}
	for i, held := range got {
		if held < bytes>>10/floorShare/windows {
			t.Errorf("window %d holds %d KiB", i, held)
		}
	}
	if held := fill(NewBudget(bytes, 1).Join()); held != bytes {
		t.Errorf("one that is alone holds %d of %d", held, bytes)
	}
	var none *Budget
	if p := none.Join(); p.Ask(7, 0) != 7 {
		t.Error("a bound without a budget")
	} else {
		p.Add(7)
		p.Release(7)
		p.Leave()
	}
}

// TestBudgetOversize: a message that is larger than what is left has to wait until its window is empty, and
// then is alone.
func TestBudgetOversize(t *testing.T) {
	b := NewBudget(4000, 2)
	dead, live := b.Join(), b.Join()
	for n := dead.Ask(9999, 0); n > 0; n = dead.Ask(9999, 0) {
		dead.Add(n)
	}
	live.Add(live.Ask(100, 0))
	if n := live.Ask(9999, 3000); n != 0 {
		t.Errorf("%d bytes for 3000, and all can have 4000", n)
	}
	live.Release(100)
	if n := live.Ask(9999, 3000); n < b.floor {
		t.Errorf("%d bytes for the one that holds nothing, floor %d", n, b.floor)
	}
	live.Add(3000)
	if n := live.Ask(10, 0); n != 0 {
		t.Errorf("%d bytes beside an oversize message", n)
	}
	live.Release(3000)
}

// TestBudgetWakes: windows whose sinks answer go on at their sinks' pace beside one whose sink is dead, and
// a wait ends with its context.
func TestBudgetWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const windows, bytes, perSecond = 8, 1 << 20, 256 << 10
		b := NewBudget(bytes, windows)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var moved [windows]int64
		var wg sync.WaitGroup
		for i := range windows {
			p, random := b.Join(), rand.New(rand.NewPCG(1, uint64(i)))
			acknowledge := make(chan int64, 1<<16)
			wg.Go(func() {
				defer close(acknowledge)
				for ctx.Err() == nil {
					n := p.Ask(64<<20, 0)
					if n == 0 {
						if err := p.Wait(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
							t.Error(err)
						}
						continue
					}
					n = 1 + random.Int64N(n)
					p.Add(n)
					acknowledge <- n
				}
			})
			wg.Go(func() {
				if i == 0 {
					<-ctx.Done()
					return
				}
				for n := range acknowledge {
					time.Sleep(time.Duration(n) * time.Second / perSecond)
					p.Release(n)
					moved[i] += n
				}
			})
		}
		wg.Wait()
		for i, n := range moved[1:] {
			if want := int64(perSecond * 60); n < want*9/10 {
				t.Errorf("window %d moved %d bytes, its sink takes %d", i+1, n, want)
			}
		}
	})
}

// TestBudgetDividesAnew: what a window holds stays, who waits is let in when there is more, and nobody is given what
// there is no more.
func TestBudgetDividesAnew(t *testing.T) {
	b := NewBudget(1000, 2)
	x, y := b.Join(), b.Join()
	x.Ask(600, 0)
	x.Add(600)
	if got := y.Ask(600, 0); got == 0 {
		t.Fatal("nothing for the second")
	}
	y.Add(300)
	y.Ask(0, 0)
	b.Divide(900, 3)
	if got := x.Ask(1000, 200); got != 0 {
		t.Errorf("%d of 900 for one that holds 600 beside 300", got)
	}
	woken := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	go func() { woken <- x.Wait(ctx) }()
	b.Divide(4000, 2)
	if err := <-woken; err != nil {
		t.Fatal(err)
	}
	if got := x.Ask(1000, 200); got < 200 {
		t.Errorf("%d of 4000", got)
	}
	y.Leave()
	b.Divide(1000, 1)
	if b.Most() != 1000 {
		t.Errorf("one that is alone may have %d of 1000", b.Most())
	}
}
