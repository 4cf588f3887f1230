package wire

import "encoding/binary"

// The API keys and versions about offsets; of Kafka 2.1 to 2.3, spoken up to 4.x.
const (
	ListOffsetsKey      = 2
	ListOffsetsVersion  = 5
	OffsetCommitKey     = 8
	OffsetCommitVersion = 7
	OffsetFetchKey      = 9
	OffsetFetchVersion  = 5
)

// The timestamps that ask ListOffsets for an end of the log instead of a time.
const (
	Latest   int64 = -1
	Earliest int64 = -2
)

// Offset is a position in a partition, or the answer about one.
type Offset struct {
	Topic     string
	Partition int32
	Offset    int64  // -1: there is none
	Epoch     int32  // the leader epoch of the message before it, -1: unknown
	Metadata  string // kept by the group beside the offset
	Code      int16  // of an answer
}

// AppendListOffsets asks a leader for the first offset at or behind a time in milliseconds, or for
// Earliest or Latest. Partitions of one topic are adjacent. Only Topic and Partition are looked at.
func AppendListOffsets(dst []byte, readCommitted bool, timestamp int64, parts []Offset) []byte {
	dst = AppendInt32(dst, -1) // no replica
	isolation := byte(0)
	if readCommitted {
		isolation = 1
	}
	return appendOffsets(append(dst, isolation), parts, func(dst []byte, p *Offset) []byte {
		dst = AppendInt32(dst, -1) // leader epoch: do not check
		return AppendInt64(dst, timestamp)
	})
}

// ReadListed reads the answer to ListOffsets.
func ReadListed(body []byte) ([]Offset, error) {
	f := Fields{B: body}
	f.Int32() // throttle
	all := readOffsets(&f, 26, func(o *Offset) {
		o.Code = f.Int16()
		f.Int64() // timestamp
		o.Offset, o.Epoch = f.Int64(), f.Int32()
	})
	return all, f.Err
}

// AppendOffsetCommit stores positions in a group.
func AppendOffsetCommit(dst []byte, m *Member, parts []Offset) []byte {
	return appendOffsets(appendMember(dst, m), parts, func(dst []byte, p *Offset) []byte {
		dst = AppendInt64(dst, p.Offset)
		dst = AppendInt32(dst, p.Epoch)
		return AppendString(dst, p.Metadata)
	})
}

// ReadCommitted reads the answer to OffsetCommit.
func ReadCommitted(body []byte) ([]Offset, error) {
	f := Fields{B: body}
	f.Int32() // throttle
	all := readOffsets(&f, 6, func(o *Offset) { o.Code = f.Int16() })
	return all, f.Err
}

// AppendOffsetFetch asks a group for its positions.
func AppendOffsetFetch(dst []byte, group string, parts []Offset) []byte {
	return appendOffsets(AppendString(dst, group), parts, func(dst []byte, _ *Offset) []byte { return dst })
}

// ReadOffsets reads the answer to OffsetFetch; code is that of the whole group.
func ReadOffsets(body []byte) (all []Offset, code int16, err error) {
	f := Fields{B: body}
	f.Int32() // throttle
	all = readOffsets(&f, 20, func(o *Offset) {
		o.Offset, o.Epoch, o.Metadata, o.Code = f.Int64(), f.Int32(), f.String(), f.Int16()
	})
	return all, f.Int16(), f.Err
}

// appendOffsets appends partitions by topic; each appends what follows a partition's number.
func appendOffsets(dst []byte, parts []Offset, each func([]byte, *Offset) []byte) []byte {
	topics, count, inTopic := len(dst), uint32(0), 0
	dst = AppendInt32(dst, 0)
	for i := range parts {
		p := &parts[i]
		if i == 0 || p.Topic != parts[i-1].Topic {
			count++
			dst = AppendString(dst, p.Topic)
			inTopic = len(dst)
			dst = AppendInt32(dst, 0)
		}
		binary.BigEndian.PutUint32(dst[inTopic:], binary.BigEndian.Uint32(dst[inTopic:])+1)
		dst = each(AppendInt32(dst, p.Partition), p)
	}
	binary.BigEndian.PutUint32(dst[topics:], count)
	return dst
}

// readOffsets reads partitions, each of at least size bytes, by topic.
func readOffsets(f *Fields, size int, each func(*Offset)) []Offset {
	var all []Offset
	for range f.Count(6) {
		topic := f.String()
		for range f.Count(size) {
			o := Offset{Topic: topic, Partition: f.Int32(), Offset: -1, Epoch: -1}
			each(&o)
			all = append(all, o)
		}
	}
	return all
}
