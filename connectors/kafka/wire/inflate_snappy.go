package wire

import (
	"bytes"
	"encoding/binary"
	"io"

	"github.com/klauspost/compress/s2"
)

// xerial starts what Java's snappy stream writes: this magic and two version numbers, then blocks with
// a length of four bytes each. Others write a single block.
const xerial = "\x82SNAPPY\x00"

const xerialHead = 16

// snappySize returns the decompressed size that src claims.
func snappySize(src []byte) (int64, error) {
	var size int64
	err := snappyBlocks(src, func(block []byte) error {
		n, err := s2.DecodedLen(block)
		// A copy element of three bytes makes at most 64.
		if err == nil && n > 32*len(block) {
			err = s2.ErrCorrupt
		}
		size += int64(n)
		return err
	})
	return size, err
}

func snappy(dst, src []byte) (int, error) {
	n := 0
	err := snappyBlocks(src, func(block []byte) error {
		got, err := s2.Decode(dst[n:], block)
		if err == nil && len(got) > len(dst)-n {
			err = errFull
		}
		n += len(got)
		return err
	})
	return n, err
}

func snappyBlocks(src []byte, each func(block []byte) error) error {
	if !bytes.HasPrefix(src, []byte(xerial)) {
		return each(src)
	}
	if len(src) < xerialHead {
		return io.ErrUnexpectedEOF
	}
	for src = src[xerialHead:]; len(src) > 0; {
		if len(src) < 4 || int64(binary.BigEndian.Uint32(src)) > int64(len(src)-4) {
			return io.ErrUnexpectedEOF
		}
		end := 4 + int(binary.BigEndian.Uint32(src))
		if err := each(src[4:end]); err != nil {
			return err
		}
		src = src[end:]
	}
	return nil
}
