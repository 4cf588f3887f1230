package flowcontrol

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestLaneTakesAllThatArrived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLane[int]()
		taken := make(chan []int)
		go func() {
			for {
				items, ok, err := l.Take(t.Context(), nil)
				if !ok || err != nil {
					close(taken)
					return
				}
				taken <- items
			}
		}()
		l.Push(1, 10)
		synctest.Wait()
		for i := 2; i <= 4; i++ { // while the writer is busy with the first
			l.Push(i, 10)
		}
		if got := <-taken; len(got) != 1 || got[0] != 1 {
			t.Errorf("first: %v", got)
		}
		if got := <-taken; len(got) != 3 || got[0] != 2 || got[2] != 4 {
			t.Errorf("what arrived meanwhile: %v", got)
		}
		l.Release(25)
		if l.Held() != 15 {
			t.Errorf("held: %d", l.Held())
		}
		l.Close()
		if _, open := <-taken; open {
			t.Error("a closed and empty lane was taken from")
		}
		if l.Push(5, 1) || l.Held() != 15 {
			t.Error("a closed lane was pushed to")
		}
	})
}

func TestLaneTakeEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLane[int]()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, _, err := l.Take(ctx, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Take: %v", err)
		}
	})
}

// TestLaneStress: nothing is lost, doubled or reordered while the taker is cancelled at random.
func TestLaneStress(t *testing.T) {
	const n = 20_000
	l := NewLane[int]()
	var pusher sync.WaitGroup
	pusher.Go(func() {
		for i := range n {
			l.Push(i, 1)
		}
		l.Close()
	})
	random := rand.New(rand.NewPCG(2, 2))
	next := 0
	var items []int
	for {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.IntN(30))*time.Microsecond)
		var ok bool
		var err error
		items, ok, err = l.Take(ctx, items)
		cancel()
		if err == nil && !ok {
			break
		}
		for _, i := range items {
			if i != next {
				t.Fatalf("%d came, %d was next", i, next)
			}
			next++
			l.Release(1)
		}
	}
	pusher.Wait()
	if next != n || l.Held() != 0 {
		t.Errorf("%d of %d came, %d held", next, n, l.Held())
	}
}
