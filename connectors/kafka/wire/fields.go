package wire

import (
	"encoding/binary"
	"errors"
)

// ErrShort says that a message ends before its fields do, or that a count or length in it is negative or
// larger than what is left.
var ErrShort = errors.New("malformed: a length in it does not fit")

// Fields reads the primitive fields of a message. The first field that does not fit sets Err and makes
// all that follow zero, so that a whole message is read before one look at Err. Nothing allocates by
// what a length claims.
type Fields struct {
	B   []byte
	Err error
}

func (f *Fields) take(n int) []byte {
	if f.Err != nil || n < 0 || n > len(f.B) {
		f.B, f.Err = nil, ErrShort
		return nil
	}
	b := f.B[:n:n]
	f.B = f.B[n:]
	return b
}

// Int8 reads one byte.
func (f *Fields) Int8() int8 {
	if b := f.take(1); b != nil {
		return int8(b[0])
	}
	return 0
}

// Int16 reads two bytes.
func (f *Fields) Int16() int16 {
	if b := f.take(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

// Int32 reads four bytes.
func (f *Fields) Int32() int32 {
	if b := f.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

// Int64 reads eight bytes.
func (f *Fields) Int64() int64 {
	if b := f.take(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

// String reads a string with a length of two bytes; a null one is empty.
func (f *Fields) String() string {
	n := f.Int16()
	if n < 0 {
		return ""
	}
	return string(f.take(int(n)))
}

// Bytes reads bytes with a length of four; they stay part of the message. Null ones are nil.
func (f *Fields) Bytes() []byte {
	n := f.Int32()
	if n < 0 {
		return nil
	}
	return f.take(int(n))
}

// Count reads the number of elements of an array, each at least size bytes long; a null array has none.
func (f *Fields) Count(size int) int { return f.fits(int(f.Int32()), size) }

// CompactCount is Count in a flexible version.
func (f *Fields) CompactCount(size int) int { return f.fits(f.compact(), size) }

func (f *Fields) fits(n, size int) int {
	switch {
	case n < 0 || f.Err != nil:
		return 0
	case n > len(f.B)/size:
		f.B, f.Err = nil, ErrShort
		return 0
	}
	return n
}

// CompactString is String in a flexible version.
func (f *Fields) CompactString() string {
	n := f.compact()
	if n < 0 {
		return ""
	}
	return string(f.take(n))
}

// Tags skips the tagged fields at the end of a structure of a flexible version.
func (f *Fields) Tags() {
	for n := f.uvarint(); n > 0 && f.Err == nil; n-- {
		f.uvarint()
		f.take(f.uvarint())
	}
}

// compact reads a length that is written plus one; null is -1.
func (f *Fields) compact() int { return f.uvarint() - 1 }

func (f *Fields) uvarint() int {
	v, n := Uvarint(f.B)
	if n == 0 || v > 1<<31 {
		f.take(-1)
		return 0
	}
	f.take(n)
	return int(v)
}

// AppendString appends s with a length of two bytes.
func AppendString(dst []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(dst, uint16(len(s))), s...)
}

// AppendNullable is AppendString that writes null for an empty string.
func AppendNullable(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, 0xff, 0xff)
	}
	return AppendString(dst, s)
}

// AppendBytes appends b with a length of four bytes.
func AppendBytes(dst, b []byte) []byte {
	return append(AppendInt32(dst, int32(len(b))), b...)
}

// AppendCompactString is AppendString in a flexible version.
func AppendCompactString(dst []byte, s string) []byte {
	return append(AppendUvarint(dst, uint64(len(s))+1), s...)
}

// AppendInt16 appends two bytes.
func AppendInt16(dst []byte, v int16) []byte { return binary.BigEndian.AppendUint16(dst, uint16(v)) }

// AppendInt32 appends four bytes.
func AppendInt32(dst []byte, v int32) []byte { return binary.BigEndian.AppendUint32(dst, uint32(v)) }

// AppendInt64 appends eight bytes.
func AppendInt64(dst []byte, v int64) []byte { return binary.BigEndian.AppendUint64(dst, uint64(v)) }
