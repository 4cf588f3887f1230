package wire

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"time"
)

// Fetch asks one broker for data of several partitions (Fetch version 11, of Kafka 2.3, that brokers up
// to 4.x accept). The broker answers in the order of Parts and spends MaxBytes in that order, so
// callers rotate it. The first batch of the first partition that has data comes whole, whatever its size.
type Fetch struct {
	MaxWait       time.Duration // how long the broker waits for the first byte
	MaxBytes      int
	ReadCommitted bool // leave out what open or aborted transactions wrote
	Parts         []FetchPart
}

// FetchPart is one partition of a Fetch. Parts of one topic are adjacent.
type FetchPart struct {
	Topic     string
	Partition int32
	Epoch     int32 // leader epoch, -1: do not check
	Offset    int64
	MaxBytes  int
}

// The API keys and versions of what this package sends.
const (
	FetchKey     = 1
	FetchVersion = 11
)

// AppendFetch appends the request's body.
func AppendFetch(dst []byte, f *Fetch) []byte {
	dst = AppendInt32(dst, -1) // no replica
	dst = AppendInt32(dst, int32(f.MaxWait.Milliseconds()))
	dst = AppendInt32(dst, 1) // the first byte ends the wait
	dst = AppendInt32(dst, clampInt32(f.MaxBytes))
	isolation := byte(0)
	if f.ReadCommitted {
		isolation = 1
	}
	dst = append(dst, isolation)
	dst = AppendInt32(dst, 0)  // session id, and
	dst = AppendInt32(dst, -1) // epoch: no incremental session (KIP-227)
	topics := len(dst)
	dst = AppendInt32(dst, 0)
	count, parts := 0, 0
	for i, p := range f.Parts {
		if i == 0 || p.Topic != f.Parts[i-1].Topic {
			count++
			dst = AppendString(dst, p.Topic)
			parts = len(dst)
			dst = AppendInt32(dst, 0)
		}
		binary.BigEndian.PutUint32(dst[parts:], binary.BigEndian.Uint32(dst[parts:])+1)
		dst = AppendInt32(dst, p.Partition)
		dst = AppendInt32(dst, p.Epoch)
		dst = AppendInt64(dst, p.Offset)
		dst = AppendInt64(dst, -1) // log start: for replicas
		dst = AppendInt32(dst, clampInt32(p.MaxBytes))
	}
	binary.BigEndian.PutUint32(dst[topics:], uint32(count))
	dst = AppendInt32(dst, 0)    // forgotten topics: for sessions
	return AppendString(dst, "") // rack
}

func clampInt32(n int) int32 { return int32(max(0, min(n, 1<<31-1))) }

// Fetched is the answer to a Fetch.
type Fetched struct {
	Throttle time.Duration // how long the broker delayed the answer for a quota
	Code     int16         // an error of the whole request
	Sections []Section
}

// Section is one partition's part of an answer.
type Section struct {
	Topic     string
	Partition int32
	Code      int16
	// End is the offset behind the last message, Stable that behind the last one that no open
	// transaction holds back, Start the first that exists; all are -1 with an error.
	End, Stable, Start int64
	Aborted            []Aborted
	Records            *Buffer // nil where nothing came; one holder: the caller
}

// Aborted says that the producer's transaction from offset First on was aborted.
type Aborted struct {
	Producer int64
	First    int64
}

// ReadFetched reads an answer's body of size bytes into buffers of pool, one a partition, so that a slow
// partition keeps no other's data alive. On an error the buffers are left to the garbage collector.
func ReadFetched(r io.Reader, size int, pool *Pool) (*Fetched, error) {
	s := &stream{r: r, left: size}
	f := &Fetched{Throttle: time.Duration(s.int32()) * time.Millisecond, Code: s.int16()}
	s.int32() // session id
	for topics := s.count(6); topics > 0 && s.err == nil; topics-- {
		topic := s.string()
		for parts := s.count(42); parts > 0 && s.err == nil; parts-- {
			f.Sections = append(f.Sections, s.section(topic, pool))
		}
	}
	if s.err == nil && s.left != 0 {
		s.err = ErrShort
	}
	if s.err != nil {
		return nil, fmt.Errorf("fetch answer: %w", s.err)
	}
	return f, nil
}

// section reads one partition's part. Sections are only kept if the whole answer is sound.
func (s *stream) section(topic string, pool *Pool) Section {
	p := Section{Topic: topic, Partition: s.int32(), Code: s.int16(), End: s.int64(), Stable: s.int64(), Start: s.int64()}
	for n := s.count(16); n > 0 && s.err == nil; n-- {
		p.Aborted = append(p.Aborted, Aborted{Producer: s.int64(), First: s.int64()})
	}
	s.int32() // preferred replica: for consumers with a rack
	n := s.int32()
	if n <= 0 || s.err != nil {
		return p
	}
	if int(n) > s.left {
		s.err = ErrShort
		return p
	}
	p.Records = pool.Get(int(n))
	s.read(p.Records.B)
	return p
}

// stream reads fields as they arrive, so that payload goes straight to its buffer. It is Fields for a
// reader: the first fault makes all that follow zero.
type stream struct {
	r    io.Reader
	left int
	err  error
	buf  [8]byte
}

func (s *stream) read(b []byte) {
	if s.err == nil && len(b) > s.left {
		s.err = ErrShort
	}
	if s.err == nil {
		_, s.err = io.ReadFull(s.r, b)
		s.left -= len(b)
	}
	if s.err != nil {
		clear(b)
	}
}

func (s *stream) int16() int16 {
	s.read(s.buf[:2])
	return int16(binary.BigEndian.Uint16(s.buf[:]))
}

func (s *stream) int32() int32 {
	s.read(s.buf[:4])
	return int32(binary.BigEndian.Uint32(s.buf[:]))
}

func (s *stream) int64() int64 {
	s.read(s.buf[:8])
	return int64(binary.BigEndian.Uint64(s.buf[:]))
}

// count reads the number of elements of at least size bytes each; a null array has none.
func (s *stream) count(size int) int {
	n := int(s.int32())
	if n > s.left/size {
		s.err = ErrShort
	}
	if s.err != nil || n < 0 {
		return 0
	}
	return n
}

func (s *stream) string() string {
	n := int(s.int16())
	if n < 0 || n > s.left {
		s.err = cmp.Or(s.err, ErrShort)
	}
	if s.err != nil {
		return ""
	}
	b := make([]byte, n)
	s.read(b)
	return string(b)
}
