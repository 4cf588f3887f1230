package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/sluice-bridge/sluice/connectors"
)

// The codecs, as the attributes of a batch number them.
const (
	codecNone = iota
	codecGzip
	codecSnappy
	codecLZ4
	codecZstd
	codecs
)

// Inflater decompresses record batches into buffers of Pool. What a batch claims to hold is never
// allocated before it was compared with the limit. One user at a time; Close it.
type Inflater struct {
	Pool *Pool
	// Cap bounds a batch's decompressed size for good; a larger one is corrupt. Below it, room decides.
	Cap int64

	ratio [codecs]int // decompressed bytes per compressed byte, of the last batch
	src   bytes.Reader
	gzip  gzip.Reader
	lz4   *lz4.Reader
	zstd  *zstd.Decoder
}

// messageSlack is what a message of a decompressed batch is charged for beside its share of the buffer:
// itself and a hundred headers.
const messageSlack = 4 << 10

// errFull says that the decompressed data does not fit the buffer.
var errFull = errors.New("decompressed data does not fit")

// Close releases what the codecs hold.
func (x *Inflater) Close() {
	if x.zstd != nil {
		x.zstd.Close()
	}
}

// inflate makes the current batch's records readable.
func (r *Reader) inflate(out *Out, x *Inflater, room connectors.Room) error {
	src, codec := r.batch.raw[headerSize:], int(r.batch.attributes&codecMask)
	if codec == codecNone {
		r.data, r.records = r.section, src
		return nil
	}
	limit := room.Bytes - out.Memory
	if room.Alone && len(out.Messages) == 0 {
		limit = max(limit, x.Cap)
	}
	data, need, err := x.inflate(src, codec, limit)
	switch {
	case errors.Is(err, errFull) && need <= x.Cap && limit < x.Cap:
		_, size := classOf(int(need))
		return &connectors.NoRoomError{Need: int64(size) + messageSlack}
	case errors.Is(err, errFull):
		err = fmt.Errorf("it holds more than the %d bytes that are accepted", x.Cap)
		fallthrough
	case err != nil:
		return corrupt(r.batch.raw, r.next, r.behind(&r.batch, r.rest), "it cannot be decompressed: %w", err)
	}
	r.data, r.records = data, data.B
	return nil
}

// inflate decompresses src into at most limit bytes. With errFull, need is a size to try next.
func (x *Inflater) inflate(src []byte, codec int, limit int64) (_ *Buffer, need int64, err error) {
	if codec >= codecs {
		return nil, 0, fmt.Errorf("its codec %d is unknown", codec)
	}
	size, exact, err := x.guess(src, codec)
	if err != nil {
		return nil, 0, err
	}
	if exact && size > limit {
		return nil, size, errFull
	}
	for {
		size = min(max(size, 512), limit)
		if size <= 0 {
			return nil, 512, errFull
		}
		buf := x.Pool.Get(int(size))
		buf.B = buf.B[:min(int64(cap(buf.B)), limit)]
		n, err := x.into(buf.B, src, codec)
		if err == nil {
			x.ratio[codec] = n/max(1, len(src)) + 1
			return x.fit(buf, n), 0, nil
		}
		buf.Release()
		if !errors.Is(err, errFull) {
			return nil, 0, err
		}
		if size >= limit {
			if size > 1<<largest {
				// The next attempt, or the next bomb, must not be unpacked beside what is left of this one.
				runtime.GC()
			}
			return nil, min(2*limit, max(limit+1, x.Cap)), errFull
		}
		// Doubling on, beyond what the pool keeps, would leave as much garbage as the limit allows data.
		if size *= 2; size > 1<<largest {
			size = limit
		}
	}
}

// fit returns the first n bytes of buf, in a smaller buffer if most of it is empty and would be kept so.
func (x *Inflater) fit(buf *Buffer, n int) *Buffer {
	buf.B = buf.B[:n]
	if cap(buf.B) <= 1<<largest || n > cap(buf.B)/2 {
		return buf
	}
	defer buf.Release()
	small := x.Pool.Get(n)
	copy(small.B, buf.B)
	return small
}

// guess returns the decompressed size of src, as it says itself or as the last batch was.
func (x *Inflater) guess(src []byte, codec int) (size int64, exact bool, err error) {
	size = int64(len(src)) * int64(max(4, x.ratio[codec]))
	switch codec {
	case codecGzip:
		if len(src) > 4 { // its trailer, which may lie
			size = min(int64(binary.LittleEndian.Uint32(src[len(src)-4:]))+1, 1100*int64(len(src)))
		}
	case codecSnappy:
		size, err = snappySize(src)
		return size, true, err
	case codecZstd:
		var h zstd.Header
		if h.Decode(src) == nil && h.HasFCS && h.FrameContentSize < 1<<40 {
			size = int64(h.FrameContentSize)
		}
	}
	return size, false, nil
}

// into decompresses src into dst and returns how many bytes that gave.
func (x *Inflater) into(dst, src []byte, codec int) (int, error) {
	x.src.Reset(src)
	switch codec {
	case codecGzip:
		if err := x.gzip.Reset(&x.src); err != nil {
			return 0, err
		}
		return readAll(dst, &x.gzip)
	case codecSnappy:
		return snappy(dst, src)
	case codecLZ4:
		if x.lz4 == nil {
			x.lz4 = lz4.NewReader(nil)
		}
		x.lz4.Reset(&x.src)
		return readAll(dst, x.lz4)
	case codecZstd:
		return x.zstdInto(dst, src)
	}
	return 0, fmt.Errorf("codec %d", codec)
}

func (x *Inflater) zstdInto(dst, src []byte) (int, error) {
	if x.zstd == nil {
		var err error
		x.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return 0, err
		}
	}
	got, err := x.zstd.DecodeAll(src, dst[:0:len(dst)])
	if errors.Is(err, zstd.ErrDecoderSizeExceeded) {
		return 0, errFull
	}
	return len(got), err
}

// maxWindow is the largest zstd window that is accepted; the highest level of the reference encoder
// without long-distance matching uses this much.
const maxWindow = 128 << 20

// readAll reads all of r into dst.
func readAll(dst []byte, r io.Reader) (int, error) {
	n := 0
	for n < len(dst) {
		got, err := r.Read(dst[n:])
		n += got
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
	var more [1]byte
	got, err := io.ReadFull(r, more[:])
	switch {
	case got > 0:
		return n, errFull
	case err == io.EOF:
		return n, nil
	}
	return n, err
}
