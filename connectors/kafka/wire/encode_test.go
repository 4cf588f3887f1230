package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"github.com/sluice-bridge/sluice/connectors"
)

var allCodecs = []Codec{None, Gzip, Snappy, LZ4, Zstd}

func encodeAll(t testing.TB, e *Encoder, records []Record, p Producer, sequence int32) []byte {
	e.Begin(nil)
	for i := range records {
		e.Append(&records[i])
	}
	b, err := e.End(p, sequence)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// franz is the same batch by the generated encoder of franz-go.
func franz(records []Record, p Producer, sequence int32) []byte {
	var body []byte
	first, most := records[0].Time, records[0].Time
	for i, r := range records {
		most = max(most, r.Time)
		k := kmsg.Record{
			TimestampDelta64: r.Time - first, TimestampDelta: int32(r.Time - first), OffsetDelta: int32(i), Key: r.Key, Value: r.Value,
		}
		for _, h := range r.Headers {
			k.Headers = append(k.Headers, kmsg.Header{Key: h.Key, Value: h.Value})
		}
		// The length is that of what follows it, and takes one byte while it is 0.
		k.Length = int32(len(k.AppendTo(nil)) - 1)
		body = k.AppendTo(body)
	}
	batch := kmsg.RecordBatch{
		PartitionLeaderEpoch: -1, Magic: 2, LastOffsetDelta: int32(len(records) - 1), FirstTimestamp: first, MaxTimestamp: most,
		ProducerID: p.ID, ProducerEpoch: p.Epoch, FirstSequence: sequence, NumRecords: int32(len(records)), Records: body,
	}
	batch.Length = int32(49 + len(body))
	b := batch.AppendTo(nil)
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

func TestEncodeGolden(t *testing.T) {
	at := time.Date(2026, 11, 24, 1, 2, 3, 4e6, time.UTC).UnixMilli()
	long := bytes.Repeat([]byte("x"), 70_000)
	for name, records := range map[string][]Record{
		"one":         {{Key: []byte("k"), Value: []byte("v"), Time: at}},
		"null":        {{Time: at}},
		"empty":       {{Key: []byte{}, Value: []byte{}, Time: at}},
		"null value":  {{Key: []byte("k"), Time: at}},
		"long":        {{Key: long, Value: long, Time: at}, {Value: long[:127], Time: at}, {Value: long[:128], Time: at}},
		"times":       {{Time: at}, {Time: at - 1}, {Time: at + 1e9}, {Time: 0}},
		"no time":     {{Time: -1}, {Time: at}},
		"many":        make([]Record, 300),
		"headers":     {{Headers: []connectors.Header{{Key: "a", Value: []byte("1")}, {Key: "a", Value: []byte{}}, {Key: "", Value: nil}, {Key: "ü", Value: long[:200]}}}},
		"many header": {{Headers: make([]connectors.Header, 100)}},
	} {
		t.Run(name, func(t *testing.T) {
			p := Producer{ID: 1 << 40, Epoch: 7}
			got := encodeAll(t, NewEncoder(None), records, p, 1<<31-1)
			if diff := cmp.Diff(franz(records, p, 1<<31-1), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A last header takes the place of those of its name.
func TestEncodeLast(t *testing.T) {
	h := func(k, v string) connectors.Header { return connectors.Header{Key: k, Value: []byte(v)} }
	with := Record{Headers: []connectors.Header{h("S", "old"), h("a", "1"), h("S", "older"), h("b", "2")}, Last: h("S", "new")}
	want := Record{Headers: []connectors.Header{h("a", "1"), h("b", "2"), h("S", "new")}}
	got := encodeAll(t, NewEncoder(None), []Record{with}, Producer{}, 0)
	if diff := cmp.Diff(franz([]Record{want}, Producer{}, 0), got); diff != "" {
		t.Error(diff)
	}
}

func TestProduceGolden(t *testing.T) {
	batch := func(n byte) []byte { return bytes.Repeat([]byte{n}, int(n)) }
	var body ProduceBody
	body.Reset(make([]byte, 17), 10*time.Second)
	for _, p := range []struct {
		topic string
		part  int32
	}{{"a", 0}, {"a", 7}, {"b", 1}} {
		body.Begin(p.topic, p.part)
		body.B = append(body.B, batch(byte(p.part)+1)...)
		body.Done()
	}
	want := kmsg.NewPtrProduceRequest()
	want.SetVersion(ProduceVersion)
	want.Acks, want.TimeoutMillis = -1, 10_000
	want.Topics = []kmsg.ProduceRequestTopic{
		{Topic: "a", Partitions: []kmsg.ProduceRequestTopicPartition{{Partition: 0, Records: batch(1)}, {Partition: 7, Records: batch(8)}}},
		{Topic: "b", Partitions: []kmsg.ProduceRequestTopicPartition{{Partition: 1, Records: batch(2)}}},
	}
	if diff := cmp.Diff(want.AppendTo(nil), body.B); diff != "" {
		t.Error(diff)
	}
}

func TestReadProduced(t *testing.T) {
	text := "the broker's words"
	res := kmsg.NewPtrProduceResponse()
	res.SetVersion(ProduceVersion)
	res.ThrottleMillis = 250
	res.Topics = []kmsg.ProduceResponseTopic{{Topic: "a", Partitions: []kmsg.ProduceResponseTopicPartition{
		{Partition: 3, BaseOffset: 42},
		{Partition: 4, ErrorCode: 87, BaseOffset: -1, ErrorMessage: &text,
			ErrorRecords: []kmsg.ProduceResponseTopicPartitionErrorRecord{{RelativeOffset: 1, ErrorMessage: &text}, {RelativeOffset: 2}}},
	}}, {Topic: "b"}}
	got, err := ReadProduced(res.AppendTo(nil))
	if err != nil {
		t.Fatal(err)
	}
	want := &Produced{Throttle: 250 * time.Millisecond, Parts: []ProducedPart{
		{Topic: "a", Partition: 3, BaseOffset: 42}, {Topic: "a", Partition: 4, Code: 87, BaseOffset: -1, Detail: text},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestReadInitProducerID(t *testing.T) {
	res := kmsg.NewPtrInitProducerIDResponse()
	res.SetVersion(InitProducerIDVersion)
	res.ProducerID, res.ProducerEpoch, res.ErrorCode = 77, 3, 14
	p, code, err := ReadInitProducerID(res.AppendTo(nil))
	if p != (Producer{77, 3}) || code != 14 || err != nil {
		t.Errorf("%v %d %v", p, code, err)
	}
	req := kmsg.NewPtrInitProducerIDRequest()
	req.SetVersion(InitProducerIDVersion)
	req.TransactionTimeoutMillis = -1
	if diff := cmp.Diff(req.AppendTo(nil), AppendInitProducerID(nil)); diff != "" {
		t.Error(diff)
	}
}

func FuzzReadProduced(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 0, 0, 1, 0, 1, 'a', 0x7f, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := ReadProduced(b); err == nil && len(p.Parts)*30 > len(b) {
			t.Errorf("%d parts from %d bytes", len(p.Parts), len(b))
		}
	})
}

// decodeAll reads a batch with our own reader.
func decodeAll(t interface{ Fatalf(string, ...any) }, batch []byte) []connectors.Message {
	var pool Pool
	section := pool.Get(len(batch))
	copy(section.B, batch)
	r := NewReader("t", section, 0, nil)
	defer r.Close()
	var out Out
	x := Inflater{Pool: &pool, Cap: 64 << 20}
	defer x.Close()
	more, err := r.Read(&out, &x, connectors.Room{Messages: 1 << 30, Bytes: 1 << 30, Alone: true})
	if err != nil || more {
		t.Fatalf("more %v, err %v", more, err)
	}
	return out.Messages
}

func drawBytes(t *rapid.T, name string) []byte {
	if rapid.Bool().Draw(t, name+" null") {
		return nil
	}
	return append([]byte{}, rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, name)...)
}

// What the encoder writes, under any codec, the decoder reads: null apart from empty, order kept.
func TestRoundTrip(t *testing.T) {
	encoders := map[Codec]*Encoder{}
	for _, c := range allCodecs {
		encoders[c] = NewEncoder(c)
	}
	rapid.Check(t, func(t *rapid.T) {
		codec := rapid.SampledFrom(allCodecs).Draw(t, "codec")
		n := rapid.IntRange(1, 40).Draw(t, "n")
		var records []Record
		var want []connectors.Message
		for i := range n {
			r := Record{Key: drawBytes(t, "key"), Value: drawBytes(t, "value"), Time: rapid.Int64Range(0, 1<<45).Draw(t, "time")}
			for range rapid.IntRange(0, 3).Draw(t, "headers") {
				r.Headers = append(r.Headers, connectors.Header{Key: rapid.String().Draw(t, "name"), Value: drawBytes(t, "header")})
			}
			records = append(records, r)
			want = append(want, connectors.Message{Subject: "t", Key: r.Key, Value: r.Value, Headers: r.Headers, Time: time.UnixMilli(r.Time), Offset: int64(i)})
		}
		e := encoders[codec]
		e.Begin([]byte("before"))
		size := 0
		for i := range records {
			size += records[i].Size()
			e.Append(&records[i])
		}
		b, err := e.End(Producer{ID: 5}, 9)
		if err != nil || !bytes.HasPrefix(b, []byte("before")) {
			t.Fatalf("%v", err)
		}
		if b = b[6:]; codec == None && len(b) > size+BatchOverhead {
			t.Fatalf("batch of %d bytes, said at most %d", len(b), size+BatchOverhead)
		}
		got := decodeAll(t, b)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func FuzzEncode(f *testing.F) {
	f.Add([]byte("key"), []byte("value"), "name", []byte("header"), int64(1), uint8(4))
	f.Add([]byte{}, []byte(nil), "", []byte{}, int64(-5), uint8(0))
	f.Fuzz(func(t *testing.T, key, value []byte, name string, header []byte, at int64, codec uint8) {
		if at > 1<<60 || at < 0 {
			at = 0 // further from the next record than Kafka's time reaches
		}
		r := Record{Key: key, Value: value, Headers: []connectors.Header{{Key: name, Value: header}}, Time: at}
		b := encodeAll(t, NewEncoder(allCodecs[int(codec)%len(allCodecs)]), []Record{r, {Time: 1}}, Producer{}, 0)
		got := decodeAll(t, b)
		want := []connectors.Message{
			{Subject: "t", Key: key, Value: value, Headers: r.Headers, Time: time.UnixMilli(at)},
			{Subject: "t", Time: time.UnixMilli(1), Offset: 1},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

func benchRecords(size, headers int) []Record {
	records := make([]Record, 1000)
	for i := range records {
		r := Record{Key: fmt.Appendf(nil, "key-%08d", i), Value: bytes.Repeat([]byte("v"), size), Time: 1_700_000_000_000 + int64(i)}
		for h := range headers {
			r.Headers = append(r.Headers, connectors.Header{Key: fmt.Sprint("header-", h), Value: []byte("some value")})
		}
		records[i] = r
	}
	return records
}

// Nothing allocates, per message or per batch, once the encoder and its buffer have grown.
func TestEncodeAllocates(t *testing.T) {
	records := benchRecords(100, 2)
	for _, codec := range []Codec{None, Snappy, LZ4, Zstd} {
		e := NewEncoder(codec)
		var dst []byte
		allocs := testing.AllocsPerRun(20, func() {
			e.Begin(dst[:0])
			for i := range records {
				e.Append(&records[i])
			}
			dst, _ = e.End(Producer{ID: 1}, 0)
		})
		if allocs > 10 { // a batch's, for 1000 messages
			t.Errorf("codec %d: %v allocations for %d messages", codec, allocs, len(records))
		}
	}
}

// BenchmarkEncode prints, beside its own time, that of franz-go's generated encoder over the same messages
// in the same run, and the ratio.
func BenchmarkEncode(b *testing.B) {
	for _, size := range []int{100, 1024} {
		for _, headers := range []int{0, 1, 4} {
			b.Run(fmt.Sprintf("%dB/%dheaders", size, headers), func(b *testing.B) {
				records := benchRecords(size, headers)
				e := NewEncoder(None)
				var dst []byte
				var ours, theirs time.Duration
				f := newFranzEncoder()
				for b.Loop() {
					start := time.Now()
					e.Begin(dst[:0])
					for i := range records {
						e.Append(&records[i])
					}
					dst, _ = e.End(Producer{ID: 1}, 0)
					middle := time.Now()
					f.encode(records)
					ours += middle.Sub(start)
					theirs += time.Since(middle)
				}
				n := float64(b.N * len(records))
				b.ReportMetric(float64(ours)/n, "ns/msg")
				b.ReportMetric(float64(theirs)/n, "franz-ns/msg")
				b.ReportMetric(float64(theirs)/float64(ours), "franz/ours")
			})
		}
	}
}

// franzEncoder reuses all it can, so that the comparison is fair.
type franzEncoder struct {
	record  kmsg.Record
	headers []kmsg.Header
	body    []byte
	out     []byte
}

func newFranzEncoder() *franzEncoder { return &franzEncoder{} }

func (f *franzEncoder) encode(records []Record) {
	f.body = f.body[:0]
	first := records[0].Time
	for i := range records {
		r := &records[i]
		f.headers = f.headers[:0]
		size := 1 + VarintSize(r.Time-first) + VarintSize(int64(i)) + r.tail()
		for _, h := range r.Headers {
			f.headers = append(f.headers, kmsg.Header{Key: h.Key, Value: h.Value})
		}
		f.record = kmsg.Record{
			Length: int32(size), TimestampDelta: int32(r.Time - first), TimestampDelta64: r.Time - first,
			OffsetDelta: int32(i), Key: r.Key, Value: r.Value, Headers: f.headers,
		}
		f.body = f.record.AppendTo(f.body)
	}
	batch := kmsg.RecordBatch{Magic: 2, NumRecords: int32(len(records)), Records: f.body, Length: int32(49 + len(f.body))}
	f.out = batch.AppendTo(f.out[:0])
	binary.BigEndian.PutUint32(f.out[17:], crc32.Checksum(f.out[21:], castagnoli))
}
