package failpoint

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-bridge/sluice/integration/truth"
)

// lieOffsets is how many offsets, from 0 on, a lying broker claims its batch to hold.
const lieOffsets = 10

// lie makes a record batch with a right checksum around whatever its records are.
func lie(attributes int16, count int32, records []byte) []byte {
	b := kmsg.RecordBatch{
		Length: int32(49 + len(records)), Magic: 2, Attributes: attributes, LastOffsetDelta: lieOffsets - 1,
		FirstTimestamp: 1, MaxTimestamp: 1, ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, NumRecords: count, Records: records,
	}
	raw := b.AppendTo(nil)
	binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)))
	return raw
}

// record frames the body of a record that begins at the batch's first offset.
func record(body ...[]byte) []byte {
	whole := append([]byte{0, 0, 0}, bytes.Join(body, nil)...) // attributes, time, offset
	return append(binary.AppendVarint(nil, int64(len(whole))), whole...)
}

// many repeats what decompresses to 1 MiB of nothing a thousand times: a gigabyte.
func many(t testing.TB, compress func([]byte) ([]byte, error)) []byte {
	t.Helper()
	one, err := compress(make([]byte, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Repeat(one, min(1000, 900_000/len(one)))
}

// lies are batches that mean harm, by what they are.
func lies(t testing.TB) map[string][]byte {
	t.Helper()
	nullKey, value := []byte{1}, append([]byte{2}, 'v')
	good := lie(0, 1, record(nullKey, value, []byte{0}))
	wrong := slices.Clone(good)
	wrong[len(wrong)-2] ^= 1
	old := func(magic byte) []byte { // the last offset, size, crc, magic, attributes, [time], no key, a value
		m := []byte{magic, 0}
		if magic == 1 {
			m = append(m, make([]byte, 8)...)
		}
		m = append(m, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 'v')
		m = append(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(m)), m...)
		return append(binary.BigEndian.AppendUint32([]byte{7: lieOffsets - 1}, uint32(len(m))), m...)
	}
	headers := bytes.Repeat([]byte{2, 'h', 0}, 250_000)
	return map[string][]byte{
		"a wrong checksum":        wrong,
		"message set v0":          old(0),
		"message set v1":          old(1),
		"a negative count":        lie(0, -1, nil),
		"2^31-1 records":          lie(0, 1<<31-1, record(nullKey, value, []byte{0})),
		"2^40 headers":            lie(0, 1, record(nullKey, value, binary.AppendVarint(nil, 1<<40))),
		"250000 headers":          lie(0, 1, record(nullKey, value, binary.AppendVarint(nil, 250_000), headers)),
		"a negative length":       lie(0, 1, record(nullKey, binary.AppendVarint(nil, -5), []byte{0})),
		"a length of 2^62":        lie(0, 1, record(nullKey, binary.AppendVarint(nil, 1<<62), []byte{0})),
		"a record that is cut":    lie(0, 1, record(nullKey, value, []byte{0})[:3]),
		"an unknown codec":        lie(7, 1, []byte("x")),
		"a gzip bomb":             lie(1, 1, many(t, gzipped)),
		"a snappy block of 4 GiB": lie(2, 1, append(binary.AppendUvarint(nil, 1<<32-1), 0)),
		"a snappy bomb":           lie(2, 1, s2.EncodeSnappy(nil, make([]byte, 18<<20))),
		"an lz4 bomb":             lie(3, 1, many(t, lz4ed)),
		"a zstd bomb":             lie(4, 1, many(t, zstded)),
		"a zstd window of 512 MB": lie(4, 1, []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x98, 0x01, 0x00, 0x00}),
	}
}

func gzipped(b []byte) ([]byte, error) {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write(b)
	if err == nil {
		err = w.Close()
	}
	return out.Bytes(), err
}

func lz4ed(b []byte) ([]byte, error) {
	var out bytes.Buffer
	w := lz4.NewWriter(&out)
	_, err := w.Write(b)
	if err == nil {
		err = w.Close()
	}
	return out.Bytes(), err
}

func zstded(b []byte) ([]byte, error) {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		return nil, err
	}
	return w.EncodeAll(b, nil), w.Close()
}

// cutTimes is how often a broker sends the first half of a batch only.
const cutTimes = 5

// lying lets the brokers answer a fetch from the first offsets of a partition with what it stands for in
// batches, or in cut, so often. The others wait for their turn meanwhile.
func lying(e *kafkaEnd, batches, cut map[int32][]byte) {
	times := map[int32]int{}
	e.cluster.ControlKey(int16(kmsg.Fetch), func(r kmsg.Request) (kmsg.Response, error, bool) {
		e.cluster.KeepControl()
		answer := r.ResponseKind().(*kmsg.FetchResponse)
		for _, topic := range r.(*kmsg.FetchRequest).Topics {
			for _, p := range topic.Partitions {
				batch := batches[p.Partition]
				if half := cut[p.Partition]; half != nil && times[p.Partition] < cutTimes {
					times[p.Partition]++
					batch = half
				}
				if batch != nil && p.FetchOffset < lieOffsets {
					answer.Topics = append(answer.Topics, kmsg.FetchResponseTopic{Topic: topic.Topic, Partitions: []kmsg.FetchResponseTopicPartition{{
						Partition: p.Partition, HighWatermark: 100, LastStableOffset: 100, PreferredReadReplica: -1, RecordBatches: batch,
					}}})
				}
			}
		}
		return answer, nil, len(answer.Topics) > 0
	})
}

// A broker that lies in every way it can: each lie becomes one dead letter with its bytes, what stands
// beside and behind it arrives, and the memory stays within the line that was printed.
func TestLyingBroker(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	told := lies(t)
	names := slices.Sorted(maps.Keys(told))
	const perPartition = 30
	partitions := int32(len(names) + 2) // the first is honest, the last is cut
	up, down := newKafkaEnd(t, "from", partitions), newStreamEnd(t, "to", true)
	letters := truth.Stream{URL: down.ClientURL(), Name: "LETTERS"}
	must(t, letters.Create(ctx, nil, "letters"))
	load := &truth.Load{Run: "r", Size: 100}
	batches := map[int32][]byte{}
	for p := range partitions {
		var messages []truth.Message
		for i := range int64(perPartition) {
			messages = append(messages, load.Message(int64(p)*perPartition+i))
		}
		must(t, up.topic.WriteMessages(ctx, p, messages...))
		if p > 0 && p < partitions-1 {
			batches[p] = told[names[p-1]]
		}
	}
	want, err := up.log(ctx, load.Run)
	must(t, err)
	want = slices.DeleteFunc(want, func(e truth.Entry) bool { return batches[e.Partition] != nil && e.Offset < lieOffsets })
	half := lie(0, 1, record([]byte{1}, bytes.Repeat([]byte("x"), 500)))[:300]
	lying(up, batches, map[int32][]byte{partitions - 1: half})
	d := newDaemon(t, "", configuration(up, down, "{}")+fmt.Sprintf(`
    on_reject: dead_letter
    dead_letter: {sink: {jetstream: {servers: ["%s"], stream: LETTERS, subject: letters}}}
`, down.ClientURL()))
	d.until(ctx, t, func() (bool, error) { return up.allDone(ctx, int64(partitions)*perPartition), nil })
	withinLine(t, d)
	d.end(t)
	got, err := down.log(ctx, load.Run)
	must(t, err)
	report, err := truth.Compare(want, got, truth.Key, truth.Value, truth.Exact, truth.Time)
	if err != nil || !report.Clean() {
		t.Errorf("%v, %v", report, err)
	}
	checkLetters(ctx, t, letters, told)
}

// checkLetters wants one dead letter of each of the lies, with all its bytes.
func checkLetters(ctx context.Context, t *testing.T, letters truth.Stream, told map[string][]byte) {
	t.Helper()
	left := maps.Clone(told)
	err := letters.Read(ctx, func(msg jetstream.Msg, _ *jetstream.MsgMetadata) {
		for name, raw := range left {
			if bytes.Equal(raw, msg.Data()) {
				t.Logf("%-25s %7d bytes: %s", name, len(raw), msg.Headers().Get("Dead-Letter-Reason"))
				delete(left, name)
				return
			}
		}
		t.Errorf("a dead letter of %d bytes is none of the lies, or comes twice: %s", len(msg.Data()), msg.Headers().Get("Dead-Letter-Reason"))
	})
	if err != nil || len(left) > 0 {
		t.Errorf("no dead letters of %v, %v", slices.Sorted(maps.Keys(left)), err)
	}
}

var memoryLine = regexp.MustCompile(`"memory":"at most ([0-9.]+) MiB`)

// withinLine compares the most memory that the process ever took with what it said at its start.
func withinLine(t *testing.T, d *daemon) {
	t.Helper()
	said := memoryLine.FindStringSubmatch(d.Tail(1000))
	if said == nil {
		t.Fatal("no memory line")
	}
	limit, err := strconv.ParseFloat(said[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	_, peak, err := d.Resident()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("at most %.1f MiB resident, %.1f MiB said", float64(peak)/(1<<20), limit)
	if float64(peak) > limit*(1<<20) {
		t.Errorf("more than it said: %s", strings.TrimSpace(said[0]))
	}
}
