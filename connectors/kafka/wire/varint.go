package wire

import "math/bits"

// AppendVarint appends v in Kafka's zig-zag form: 1 to 10 bytes.
func AppendVarint(dst []byte, v int64) []byte { return AppendUvarint(dst, zigzag(v)) }

// AppendUvarint appends v in groups of seven bits, the lowest first.
func AppendUvarint(dst []byte, v uint64) []byte {
	for v >= 0x80 {
		dst = append(dst, byte(v)|0x80)
		v >>= 7
	}
	return append(dst, byte(v))
}

// VarintSize returns how many bytes AppendVarint appends for v.
func VarintSize(v int64) int { return (bits.Len64(zigzag(v)|1) + 6) / 7 }

// Varint reads a zig-zag number from the start of b. n is how many bytes it took, or 0 where b ends too
// early or the number has more than 64 bits.
func Varint(b []byte) (v int64, n int) {
	u, n := Uvarint(b)
	return int64(u>>1) ^ -int64(u&1), n
}

// Uvarint reads what AppendUvarint wrote; n is as Varint says.
func Uvarint(b []byte) (v uint64, n int) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), 1
	}
	for i, c := range b {
		if i == 9 && c > 1 {
			return 0, 0
		}
		v |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			return v, i + 1
		}
	}
	return 0, 0
}

func zigzag(v int64) uint64 { return uint64(v)<<1 ^ uint64(v>>63) }
