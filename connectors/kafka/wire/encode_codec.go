package wire

import (
	"fmt"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Codec is how a batch's records are compressed, by Kafka's number for it.
type Codec uint8

// The codecs of Kafka.
const (
	None   Codec = codecNone
	Gzip   Codec = codecGzip
	Snappy Codec = codecSnappy
	LZ4    Codec = codecLZ4
	Zstd   Codec = codecZstd
)

// packer holds what the codecs keep between batches; each is made when it is first needed.
type packer struct {
	gzip *gzip.Writer
	lz4  *lz4.Writer
	zstd *zstd.Encoder
	out  appender
}

// pack appends records to dst, compressed.
func (p *packer) pack(dst, records []byte, codec Codec) ([]byte, error) {
	switch codec {
	case Gzip:
		return p.packGzip(dst, records)
	case Snappy:
		return appendSnappy(dst, records), nil
	case LZ4:
		return p.packLZ4(dst, records)
	case Zstd:
		return p.packZstd(dst, records)
	default:
		return nil, fmt.Errorf("unknown codec %d", codec)
	}
}

func (p *packer) packGzip(dst, records []byte) ([]byte, error) {
	p.out.b = dst
	if p.gzip == nil {
		p.gzip = gzip.NewWriter(&p.out)
	} else {
		p.gzip.Reset(&p.out)
	}
	if _, err := p.gzip.Write(records); err != nil {
		return nil, err
	}
	err := p.gzip.Close()
	return p.out.take(), err
}

// appendSnappy writes one raw block, which every reader accepts beside the framing that only Java writes.
func appendSnappy(dst, records []byte) []byte {
	n := len(dst)
	dst = append(dst, make([]byte, s2.MaxEncodedLen(len(records)))...)
	return dst[:n+len(s2.EncodeSnappy(dst[n:], records))]
}

func (p *packer) packLZ4(dst, records []byte) ([]byte, error) {
	p.out.b = dst
	if p.lz4 == nil {
		p.lz4 = lz4.NewWriter(&p.out)
		// Small blocks that do not depend on each other are what Java's reader expects.
		if err := p.lz4.Apply(lz4.BlockSizeOption(lz4.Block64Kb), lz4.ConcurrencyOption(1)); err != nil {
			return nil, err
		}
	} else {
		p.lz4.Reset(&p.out)
	}
	if _, err := p.lz4.Write(records); err != nil {
		return nil, err
	}
	err := p.lz4.Close()
	return p.out.take(), err
}

func (p *packer) packZstd(dst, records []byte) ([]byte, error) {
	if p.zstd == nil {
		var err error
		p.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(128<<10))
		if err != nil {
			return nil, err
		}
	}
	return p.zstd.EncodeAll(records, dst), nil
}

// appender is an io.Writer onto a slice.
type appender struct{ b []byte }

func (a *appender) Write(p []byte) (int, error) {
	a.b = append(a.b, p...)
	return len(p), nil
}

func (a *appender) take() []byte {
	b := a.b
	a.b = nil
	return b
}
