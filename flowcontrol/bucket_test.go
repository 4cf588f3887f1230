package flowcontrol

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// However it is taken from, what passes keeps to the rate but for what the bucket holds and one take beyond it.
func TestBucketKeepsTheRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.Float64Range(0.5, 1e7).Draw(t, "rate")
		now := time.Unix(1_000_000, 0)
		begin := now
		b := NewBucket(rate, now)
		var passed, largest int64
		for range rapid.IntRange(1, 50).Draw(t, "takes") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(2*time.Second)).Draw(t, "rest")))
			wait := b.Until(now)
			now = now.Add(wait)
			if again := b.Until(now); again > 0 {
				t.Fatalf("after %v it is %v more", wait, again)
			}
			n := rapid.Int64Range(1, 100_000).Draw(t, "took")
			b.Take(n, now)
			if most := rate*now.Sub(begin).Seconds() + b.depth() + float64(largest) + 1e-3; float64(passed) > most {
				t.Fatalf("%d passed in %v at %v a second, at most %v", passed, now.Sub(begin), rate, most)
			}
			passed, largest = passed+n, max(largest, n)
		}
	})
}

func TestBucketSet(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	b := NewBucket(100, now)
	b.Take(110, now)
	if d := b.Until(now).Round(time.Millisecond); d != 1050*time.Millisecond {
		t.Errorf("waits %v", d)
	}
	b.Set(1000, now)
	if d := b.Until(now).Round(time.Millisecond); d != 150*time.Millisecond || b.Rate() != 1000 {
		t.Errorf("at ten times the rate it waits %v", d)
	}
	b.Set(0, now)
	b.Take(1e9, now)
	if _, limited := b.Left(now); limited || b.Until(now) != 0 {
		t.Error("no rate is a limit")
	}
	b.Set(100, now.Add(time.Hour))
	if d := b.Until(now.Add(time.Hour)).Round(time.Millisecond); d != 40*time.Millisecond {
		t.Errorf("after an hour without a rate it waits %v", d)
	}
}
