package wire

import (
	"testing"

	"pgregory.net/rapid"
)

func TestPoolSizes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 20<<20).Draw(t, "n")
		class, size := classOf(n)
		if size < n || class >= classes {
			t.Fatalf("%d bytes: class %d of %d bytes", n, class, size)
		}
		if slack := size - n; n > 1<<smallest && slack > n/4 {
			t.Fatalf("%d bytes: %d of slack", n, slack)
		}
		if again, same := classOf(size); class >= 0 && (again != class || same != size) {
			t.Fatalf("a buffer of %d bytes would go to class %d, not %d", size, again, class)
		}
	})
}

func TestBufferReturnsWhenTheLastHolderLetsGo(t *testing.T) {
	var pool Pool
	b := pool.Get(1000)
	b.Hold()
	b.Release()
	if c := pool.Get(1000); c == b {
		t.Fatal("handed out while it is held")
	}
	b.Release()
}
