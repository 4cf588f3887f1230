package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/s2"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-bridge/sluice/connectors"
)

// made is a record batch to be: what differs from a sound one of n messages is set by change.
type made struct {
	base   int64
	n      int
	codec  Codec
	attrs  int16
	pid    int64
	values func(i int) []byte
	change func(b *kmsg.RecordBatch)
	damage func(raw []byte) // after the checksum was made
}

func (m made) bytes(t testing.TB) []byte {
	t.Helper()
	var records []byte
	for i := range m.n {
		r := kmsg.Record{OffsetDelta: int32(i), TimestampDelta64: int64(i), Key: []byte("key"), Value: fmt.Appendf(nil, "v%d", m.base+int64(i))}
		if m.values != nil {
			r.Value = m.values(i)
		}
		r.Length = int32(len(r.AppendTo(nil)) - 1)
		records = r.AppendTo(records)
	}
	return m.frame(t, records)
}

func (m made) frame(t testing.TB, records []byte) []byte {
	t.Helper()
	if m.codec != None {
		var err error
		if records, err = new(packer).pack(nil, records, m.codec); err != nil {
			t.Fatal(err)
		}
	}
	b := kmsg.RecordBatch{
		FirstOffset: m.base, PartitionLeaderEpoch: 3, Magic: 2, Attributes: m.attrs | int16(m.codec),
		LastOffsetDelta: int32(max(0, m.n-1)), FirstTimestamp: 1000, MaxTimestamp: 5000, ProducerID: m.pid,
		NumRecords: int32(m.n), Records: records,
	}
	if m.change != nil {
		m.change(&b)
	}
	b.Length = int32(49 + len(b.Records))
	raw := b.AppendTo(nil)
	binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[21:], castagnoli))
	if m.damage != nil {
		m.damage(raw)
	}
	return raw
}

// marker is a control batch that ends the transaction of a producer.
func marker(t testing.TB, base, pid int64, commit byte) []byte {
	r := kmsg.Record{Key: []byte{0, 0, 0, commit}, Value: []byte{0, 0, 0, 0, 0, 0}}
	r.Length = int32(len(r.AppendTo(nil)) - 1)
	return made{base: base, n: 1, pid: pid, attrs: transactional | control}.frame(t, r.AppendTo(nil))
}

// readAll reads a section to its end with a generous room; faults are collected.
func readSection(t testing.TB, next int64, aborted []Aborted, batches ...[]byte) (offsets []int64, end int64, faults []error) {
	t.Helper()
	var pool Pool
	section := pool.Get(len(bytes.Join(batches, nil)))
	copy(section.B, bytes.Join(batches, nil))
	r := NewReader("t", section, next, aborted)
	defer r.Close()
	x := Inflater{Pool: &pool, Cap: 1 << 20}
	defer x.Close()
	for range 1000 {
		var out Out
		more, err := r.Read(&out, &x, connectors.Room{Messages: 3, Bytes: 1 << 20})
		for _, m := range out.Messages {
			offsets = append(offsets, m.Offset)
		}
		if err != nil {
			faults = append(faults, err)
		}
		out.Release()
		if !more {
			return offsets, r.Next(), faults
		}
	}
	t.Fatal("reading does not end")
	return nil, 0, nil
}

func TestReaderStepsOver(t *testing.T) {
	batch := func(base int64, n int) []byte { return made{base: base, n: n}.bytes(t) }
	emptied := made{base: 10, change: func(b *kmsg.RecordBatch) { b.LastOffsetDelta = 9 }}.bytes(t)
	txn := func(base, pid int64) []byte {
		return made{base: base, n: 2, pid: pid, attrs: transactional}.bytes(t)
	}
	for _, test := range []struct {
		name    string
		next    int64
		aborted []Aborted
		batches [][]byte
		want    []int64
		end     int64
	}{
		{name: "nothing", next: 5, end: 5},
		{name: "one batch", batches: [][]byte{batch(0, 4)}, want: []int64{0, 1, 2, 3}, end: 4},
		{name: "starts inside a batch", next: 2, batches: [][]byte{batch(0, 4), batch(4, 1)}, want: []int64{2, 3, 4}, end: 5},
		{name: "starts behind a batch", next: 4, batches: [][]byte{batch(0, 4), batch(4, 1)}, want: []int64{4}, end: 5},
		{name: "emptied by compaction", next: 10, batches: [][]byte{emptied}, end: 20},
		{name: "emptied, twice, then data", next: 3, batches: [][]byte{batch(3, 1), emptied, emptied, batch(20, 1)}, want: []int64{3, 20}, end: 21},
		{name: "tail of a compacted batch", batches: [][]byte{made{n: 2, change: func(b *kmsg.RecordBatch) { b.LastOffsetDelta = 7 }}.bytes(t)}, want: []int64{0, 1}, end: 8},
		{name: "cut in the header", batches: [][]byte{batch(0, 1), batch(1, 1)[:30]}, want: []int64{0}, end: 1},
		{name: "cut in the length", batches: [][]byte{batch(0, 1), batch(1, 1)[:9]}, want: []int64{0}, end: 1},
		{name: "cut in the records", batches: [][]byte{batch(0, 1), batch(1, 9)[:80]}, want: []int64{0}, end: 1},
		{name: "only a cut batch", next: 7, batches: [][]byte{batch(7, 9)[:80]}, end: 7},
		{name: "committed", batches: [][]byte{txn(0, 1), marker(t, 2, 1, 1), batch(3, 1)}, want: []int64{0, 1, 3}, end: 4},
		{name: "marker last", batches: [][]byte{txn(0, 1), marker(t, 2, 1, 1)}, want: []int64{0, 1}, end: 3},
		{
			name: "aborted between others", aborted: []Aborted{{Producer: 1, First: 2}},
			batches: [][]byte{txn(0, 2), txn(2, 1), txn(4, 2), marker(t, 6, 1, 0), txn(7, 1), marker(t, 9, 2, 1), marker(t, 10, 1, 1)},
			want:    []int64{0, 1, 4, 5, 7, 8}, end: 11,
		},
		{
			name: "aborted twice, listed out of order", aborted: []Aborted{{1, 3}, {1, 0}},
			batches: [][]byte{txn(0, 1), marker(t, 2, 1, 0), txn(3, 1), marker(t, 5, 1, 0), txn(6, 1)},
			want:    []int64{6, 7}, end: 8,
		},
		{
			name: "starts inside an aborted transaction", next: 4, aborted: []Aborted{{1, 0}},
			batches: [][]byte{txn(4, 1), marker(t, 6, 1, 0), txn(7, 1)}, want: []int64{7, 8}, end: 9,
		},
		{
			name: "not transactional beside an aborted producer", aborted: []Aborted{{1, 0}},
			batches: [][]byte{made{n: 1, pid: 1}.bytes(t)}, want: []int64{0}, end: 1,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, end, faults := readSection(t, test.next, test.aborted, test.batches...)
			if diff := cmp.Diff(test.want, got); diff != "" || end != test.end || faults != nil {
				t.Errorf("end %d, want %d; faults %v; offsets %s", end, test.end, faults, diff)
			}
		})
	}
}

func TestReaderRefuses(t *testing.T) {
	good := made{base: 9, n: 1}.bytes(t)
	set := func(at int, b ...byte) func([]byte) { return func(raw []byte) { copy(raw[at:], b) } }
	minus := bytes.Repeat([]byte{0xff}, 8)
	for _, test := range []struct {
		name, want string
		bad        []byte
	}{
		{"a changed byte", "checksum", made{base: 5, n: 4, damage: set(70, 'X')}.bytes(t)},
		{"an old format", "message format v1", made{base: 5, n: 4, damage: set(16, 1)}.bytes(t)},
		{"an older one", "message format v0", made{base: 5, n: 4, damage: set(16, 0)}.bytes(t)},
		{"a format to come", "message format v3", made{base: 5, n: 4, damage: set(16, 3)}.bytes(t)},
		{"a negative count", "claims -1 messages", made{base: 5, n: 4, change: func(b *kmsg.RecordBatch) { b.NumRecords = -1 }}.bytes(t)},
		{"more messages than offsets", "claims 4 messages", made{base: 5, n: 4, change: func(b *kmsg.RecordBatch) { b.LastOffsetDelta = 1 }}.bytes(t)},
		{"a negative last offset", "claims", made{base: 5, n: 4, change: func(b *kmsg.RecordBatch) { b.LastOffsetDelta = -5 }}.bytes(t)},
		{"more messages than bytes", "malformed", made{base: 5, n: 4, change: func(b *kmsg.RecordBatch) { b.NumRecords = 1 << 30; b.LastOffsetDelta = 1<<31 - 1 }}.bytes(t)},
		{"fewer bytes than messages", "malformed", made{base: 5, n: 4, change: func(b *kmsg.RecordBatch) { b.Records = b.Records[:20] }}.bytes(t)},
		{"negative lengths", "malformed", made{base: 5, n: 1, change: func(b *kmsg.RecordBatch) { b.Records = minus }}.bytes(t)},
		{"an unknown codec", "codec 5 is unknown", made{base: 5, n: 4, attrs: 5}.bytes(t)},
		{"no gzip", "decompressed", made{base: 5, n: 4, attrs: codecGzip}.bytes(t)},
		{"no snappy", "decompressed", made{base: 5, n: 4, attrs: codecSnappy}.bytes(t)},
		{"no lz4", "decompressed", made{base: 5, n: 4, attrs: codecLZ4}.bytes(t)},
		{"no zstd", "decompressed", made{base: 5, n: 4, attrs: codecZstd}.bytes(t)},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, end, faults := readSection(t, 5, nil, test.bad, good)
			if len(faults) != 1 || !strings.Contains(faults[0].Error(), test.want) {
				t.Fatalf("faults %v, want one with %q", faults, test.want)
			}
			c, ok := errors.AsType[*CorruptError](faults[0])
			if !ok || c.Offset < 5 || c.Next < max(6, c.Offset) || c.Next > 9 || !bytes.Equal(c.Raw, test.bad) {
				t.Errorf("fault %+v", c)
			}
			// What comes before the fault and what follows is not lost.
			if len(got) == 0 || got[len(got)-1] != 9 || end != 10 || int64(len(got)) != c.Offset-5+1 {
				t.Errorf("end %d, offsets %v", end, got)
			}
		})
	}
}

func TestReaderWithoutALength(t *testing.T) {
	raw := made{base: 5, n: 4, damage: func(raw []byte) { copy(raw[8:], []byte{0xff, 0xff, 0xff, 0xf0}) }}.bytes(t)
	_, end, faults := readSection(t, 5, nil, raw)
	if len(faults) != 1 || end != 6 {
		t.Errorf("end %d, faults %v", end, faults)
	}
}

// A fault behind good messages of the same batch is told after they were read.
func TestReaderFaultInTheMiddle(t *testing.T) {
	raw := made{base: 5, n: 4, values: func(i int) []byte { return []byte("0123456789") }, change: func(b *kmsg.RecordBatch) {
		b.Records[len(b.Records)/2] = 0x7f // the third record's length
	}}.bytes(t)
	got, end, faults := readSection(t, 5, nil, raw)
	if len(faults) != 1 || len(got) != 2 || end != 9 {
		t.Errorf("offsets %v, end %d, faults %v", got, end, faults)
	}
}

var bomb = func(int) []byte { return make([]byte, 4<<20) }

func TestReaderBombs(t *testing.T) {
	for _, codec := range allCodecs[1:] {
		raw := made{base: 5, n: 1, codec: codec, values: bomb}.bytes(t)
		if codec == Gzip { // its trailer may lie
			b := raw[len(raw)-4:]
			copy(b, []byte{1, 0, 0, 0})
			binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[21:], castagnoli))
		}
		read := func(limit int64, room connectors.Room) error {
			var pool Pool
			section := pool.Get(len(raw))
			copy(section.B, raw)
			r := NewReader("t", section, 5, nil)
			defer r.Close()
			x := Inflater{Pool: &pool, Cap: limit}
			defer x.Close()
			_, err := r.Read(new(Out), &x, room)
			return err
		}
		err := read(64<<20, connectors.Room{Messages: 10, Bytes: 100 << 10})
		if need, ok := errors.AsType[*connectors.NoRoomError](err); !ok || need.Need <= 100<<10 || need.Need > 8<<20 {
			t.Errorf("%d: without room: %v", codec, err)
		}
		err = read(1<<20, connectors.Room{Messages: 10, Bytes: 1 << 20, Alone: true})
		if c, ok := errors.AsType[*CorruptError](err); !ok || !strings.Contains(c.Error(), "more than the 1048576 bytes") {
			t.Errorf("%d: above the cap: %v", codec, err)
		}
	}
}

// Room that suffices for what NoRoomError asked for is enough, under every codec and for every size.
func TestReaderRoomConverges(t *testing.T) {
	for _, codec := range allCodecs {
		raw := made{base: 0, n: 40, codec: codec, values: func(i int) []byte { return bytes.Repeat([]byte{byte(i)}, 3000) }}.bytes(t)
		var pool Pool
		section := pool.Get(len(raw))
		copy(section.B, raw)
		r := NewReader("t", section, 0, nil)
		x := Inflater{Pool: &pool, Cap: 1 << 20}
		room := connectors.Room{Messages: 7, Bytes: 64}
		total, more := 0, true
		for tries := 0; more; tries++ {
			if tries > 100 {
				t.Fatalf("%d: no end", codec)
			}
			var out Out
			var err error
			more, err = r.Read(&out, &x, room)
			if need, ok := errors.AsType[*connectors.NoRoomError](err); ok {
				if need.Need <= room.Bytes || len(out.Messages) > 0 {
					t.Fatalf("%d: needs %d of %d", codec, need.Need, room.Bytes)
				}
				room.Bytes = need.Need
			} else if err != nil {
				t.Fatal(err)
			}
			if out.Memory > room.Bytes || len(out.Messages) > room.Messages {
				t.Fatalf("%d: %d bytes, %d messages in %v", codec, out.Memory, len(out.Messages), room)
			}
			total += len(out.Messages)
			out.Release()
		}
		if total != 40 {
			t.Errorf("%d: %d messages", codec, total)
		}
		r.Close()
		x.Close()
	}
}

func TestReaderTellsTheSizeOfWhatWasCut(t *testing.T) {
	batch := made{n: 9}.bytes(t)
	for _, test := range []struct{ section, cut int }{{11, 0}, {12, len(batch)}, {len(batch) - 1, len(batch)}, {len(batch), 0}, {len(batch) + 40, len(batch)}} {
		var pool Pool
		section := pool.Get(test.section)
		copy(section.B, append(bytes.Clone(batch), batch...))
		if got := NewReader("t", section, 0, nil).Cut(); got != test.cut {
			t.Errorf("%d of %d bytes: cut %d, want %d", test.section, len(batch), got, test.cut)
		}
	}
}

func TestReaderLogAppendTime(t *testing.T) {
	raw := made{n: 2, attrs: logAppendTime}.bytes(t)
	for _, m := range decodeAll(t, raw) {
		if !m.Time.Equal(time.UnixMilli(5000)) {
			t.Errorf("time %v", m.Time)
		}
	}
}

// Java's snappy stream: a magic, two versions, blocks with their lengths.
func TestReaderXerialSnappy(t *testing.T) {
	raw := made{n: 3, attrs: codecSnappy, change: func(b *kmsg.RecordBatch) {
		framed := append([]byte(xerial), 0, 0, 0, 1, 0, 0, 0, 1)
		for _, part := range [][]byte{b.Records[:10], b.Records[10:]} {
			block := s2.EncodeSnappy(nil, part)
			framed = append(binary.BigEndian.AppendUint32(framed, uint32(len(block))), block...)
		}
		b.Records = framed
	}}.bytes(t)
	if got := decodeAll(t, raw); len(got) != 3 || string(got[2].Value) != "v2" {
		t.Errorf("%v", got)
	}
}

// FuzzReader feeds hostile sections, with checksums made right, and compares what is read with
// franz-go's decoder where both find no fault.
func FuzzReader(f *testing.F) {
	for _, codec := range allCodecs {
		f.Add(made{n: 3, codec: codec}.bytes(f), int64(1))
	}
	f.Add(marker(f, 0, 1, 0), int64(0))
	f.Add(append(made{base: 1 << 40, n: 2}.bytes(f), made{n: 1}.bytes(f)[:50]...), int64(0))
	f.Add(made{change: func(b *kmsg.RecordBatch) { b.LastOffsetDelta = 4 }}.bytes(f), int64(0))
	f.Fuzz(func(t *testing.T, section []byte, next int64) {
		section = bytes.Clone(section)
		for b := section; len(b) >= headerSize; {
			size := frameSize + int(int32(binary.BigEndian.Uint32(b[8:])))
			if size < headerSize || size > len(b) {
				break
			}
			binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:size], castagnoli))
			b = b[size:]
		}
		var pool Pool
		held := pool.Get(len(section))
		copy(held.B, section)
		r := NewReader("t", held, next, []Aborted{{1, 0}})
		defer r.Close()
		x := Inflater{Pool: &pool, Cap: 1 << 20}
		defer x.Close()
		var got []connectors.Message
		sound := true
		for last := next - 1; ; {
			var out Out
			more, err := r.Read(&out, &x, connectors.Room{Messages: 100, Bytes: 1 << 20, Alone: true})
			for _, m := range out.Messages {
				if m.Offset <= last {
					t.Fatalf("offset %d behind %d", m.Offset, last)
				}
				last = m.Offset
			}
			got = append(got, out.Messages...)
			if err != nil {
				sound = false
				if _, ok := errors.AsType[*CorruptError](err); !ok {
					t.Fatalf("with all the room: %v", err)
				}
			}
			if !more {
				break
			}
		}
		if sound {
			compareWithFranz(t, section, next, got)
		}
	})
}

func compareWithFranz(t *testing.T, section []byte, next int64, got []connectors.Message) {
	res := kmsg.NewFetchResponseTopicPartition()
	res.RecordBatches = section
	res.AbortedTransactions = []kmsg.FetchResponseTopicPartitionAbortedTransaction{{ProducerID: 1}}
	want, _ := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		Offset: next, IsolationLevel: kgo.ReadCommitted(), Topic: "t",
	}, &res, kgo.DefaultDecompressor(), nil)
	if want.Err != nil || len(want.Records) != len(got) {
		return // it also stops silently at faults of its own making
	}
	for i, r := range want.Records {
		m := got[i]
		if r.Offset != m.Offset || !bytes.Equal(r.Key, m.Key) || !bytes.Equal(r.Value, m.Value) || len(r.Headers) != len(m.Headers) {
			t.Fatalf("message %d: %+v, franz-go has %+v", i, m, r)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, size := range []int{100, 1024} {
		for _, codec := range allCodecs {
			section := benchSection(b, size, codec)
			name := fmt.Sprintf("%dB/%s", size, []string{"none", "gzip", "snappy", "lz4", "zstd"}[codec])
			var ours float64
			b.Run(name+"/sluice", func(b *testing.B) { ours = benchOurs(b, section) })
			b.Run(name+"/franz-go", func(b *testing.B) {
				theirs := benchFranz(b, section)
				if ours > 0 {
					b.ReportMetric(theirs/ours, "ratio")
				}
			})
		}
	}
}

const benchMessages = 4096

func benchSection(b *testing.B, size int, codec Codec) []byte {
	var section []byte
	noise := make([]byte, size)
	for base := 0; base < benchMessages; base += 512 {
		section = append(section, made{base: int64(base), n: 512, codec: codec, values: func(i int) []byte {
			for j := range noise {
				noise[j] = "abcdefghijklmnop"[(i*7+j*j+base)%16]
			}
			return bytes.Clone(noise)
		}}.bytes(b)...)
	}
	return section
}

func benchOurs(b *testing.B, section []byte) float64 {
	var pool Pool
	var out Out
	x := Inflater{Pool: &pool, Cap: 64 << 20}
	defer x.Close()
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		held := pool.Get(len(section))
		copy(held.B, section)
		r := NewReader("t", held, 0, nil)
		if _, err := r.Read(&out, &x, connectors.Room{Messages: 1 << 20, Bytes: 1 << 30}); err != nil || len(out.Messages) != benchMessages {
			b.Fatalf("%d messages, %v", len(out.Messages), err)
		}
		out.Release()
		r.Close()
	}
	ns := float64(b.Elapsed().Nanoseconds()) / float64(b.N) / benchMessages
	b.ReportMetric(ns, "ns/msg")
	return ns
}

func benchFranz(b *testing.B, section []byte) float64 {
	decompressor := kgo.DefaultDecompressor()
	b.ReportAllocs()
	for range b.N {
		res := kmsg.NewFetchResponseTopicPartition()
		res.RecordBatches = bytes.Clone(section)
		p, _ := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{Topic: "t"}, &res, decompressor, nil)
		if p.Err != nil || len(p.Records) != benchMessages {
			b.Fatalf("%d messages, %v", len(p.Records), p.Err)
		}
	}
	ns := float64(b.Elapsed().Nanoseconds()) / float64(b.N) / benchMessages
	b.ReportMetric(ns, "ns/msg")
	return ns
}

// Nothing is allocated per message.
func TestReaderAllocations(t *testing.T) {
	for _, codec := range []Codec{None, Snappy, Zstd} {
		section := made{n: 1000, codec: codec}.bytes(t)
		var pool Pool
		var out Out
		x := Inflater{Pool: &pool, Cap: 64 << 20}
		perSection := testing.AllocsPerRun(100, func() {
			held := pool.Get(len(section))
			copy(held.B, section)
			r := NewReader("t", held, 0, nil)
			if _, err := r.Read(&out, &x, connectors.Room{Messages: 1 << 20, Bytes: 1 << 30}); err != nil {
				t.Fatal(err)
			}
			out.Release()
			r.Close()
		})
		x.Close()
		if perSection > 10 {
			t.Errorf("codec %d: %v allocations for 1000 messages", codec, perSection)
		}
	}
}
