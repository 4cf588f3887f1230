package wire

import (
	"encoding/binary"
	"testing"

	"pgregory.net/rapid"
)

func TestVarintMatchesStandardLibrary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.Int64().Draw(t, "v")
		b := AppendVarint(nil, v)
		want, n := binary.Varint(b)
		if want != v || n != len(b) || VarintSize(v) != n {
			t.Fatalf("%d: % x, size %d", v, b, VarintSize(v))
		}
		if got, m := Varint(append(b, 0xff)); got != v || m != n {
			t.Fatalf("%d: read %d (%d bytes)", v, got, m)
		}
		if _, m := Varint(b[:n-1]); m != 0 {
			t.Fatalf("%d: cut short and yet read", v)
		}
	})
}

func FuzzUvarint(f *testing.F) {
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02})
	f.Fuzz(func(t *testing.T, b []byte) {
		want, n := binary.Uvarint(b)
		if got, m := Uvarint(b); m != max(0, n) || m > 0 && got != want {
			t.Fatalf("% x: %d, %d; want %d, %d", b, got, m, want, n)
		}
	})
}
