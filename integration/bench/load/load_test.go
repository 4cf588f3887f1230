package load

import (
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

func TestIDs(t *testing.T) {
	for _, n := range []int64{0, 1, 255, 1 << 20, 1<<32 - 1} {
		if id := ID(nil, n); len(id) != 8 || ParseID(string(id)) != n {
			t.Errorf("%d: %q, read as %d", n, id, ParseID(string(id)))
		}
	}
	for _, id := range []string{"", "0", "0000000g", "000000000", "-0000001"} {
		if n := ParseID(id); n != -1 {
			t.Errorf("%q is read as %d", id, n)
		}
	}
	if key := Key(nil, 1); len(key) != 16 {
		t.Errorf("key %q has %d bytes, want 16", key, len(key))
	}
}

// A codec that looks for repetitions finds none, so that a comparison does not depend on who compresses.
func TestValuesDoNotCompress(t *testing.T) {
	for _, size := range []int{100, 1 << 10, 16 << 10} {
		l := New(size)
		var batch []byte
		for n := int64(0); len(batch) < 1<<20; n++ {
			v := l.Value(n)
			if len(v) != size {
				t.Fatalf("value %d: %d bytes", n, len(v))
			}
			batch = append(batch, v...)
		}
		if got := len(s2.EncodeSnappy(nil, batch)); got < len(batch)*98/100 {
			t.Errorf("%d B: snappy makes %d of %d bytes", size, got, len(batch))
		}
		e, err := zstd.NewWriter(nil)
		if err != nil {
			t.Fatal(err)
		}
		// Six bits in eight are information.
		if got := len(e.EncodeAll(batch, nil)); got < len(batch)*74/100 {
			t.Errorf("%d B: zstd makes %d of %d bytes", size, got, len(batch))
		}
	}
}
