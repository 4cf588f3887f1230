package truth

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strconv"
	"strings"
	"time"
)

// IDHeader marks each message of a load with "<run>/<n>". Null and empty values have no room for it.
const IDHeader = "load-id"

// Header is one name and value; a nil value is null.
type Header struct {
	Name  string
	Value []byte
}

// Message is a message as a log holds it. Nil and empty slices differ.
type Message struct {
	Subject string // topic or subject
	Key     []byte
	Value   []byte
	Headers []Header
	Time    time.Time
}

// Entry is what a Log keeps of a message: its identity, its place and a print of each of its fields.
type Entry struct {
	ID        int64 // n of its IDHeader; -1: not of this load
	Partition int32
	Offset    int64
	Prints    [NumFields]uint64
	Subject   string
}

// Field is a part of a message that is compared.
type Field uint8

// The fields. Exact compares the headers as a list; Grouped compares the values of each name, for
// paths that do not keep the order across names.
const (
	Key Field = iota
	Value
	Exact
	Grouped
	Time
	NumFields
)

var fieldNames = [NumFields]string{"key", "value", "headers", "headers by name", "time"}

func (f Field) String() string { return fieldNames[f] }

// NewEntry takes the prints of m. The bridge's own headers must be gone already. Times are compared in
// milliseconds, which is what Kafka keeps.
func NewEntry(run string, m *Message, partition int32, offset int64) Entry {
	e := Entry{ID: -1, Partition: partition, Offset: offset, Subject: m.Subject}
	for _, h := range m.Headers {
		if h.Name != IDHeader {
			continue
		}
		if n, ok := strings.CutPrefix(string(h.Value), run+"/"); ok {
			if id, err := strconv.ParseInt(n, 10, 64); err == nil {
				e.ID = id
			}
		}
	}
	e.Prints[Key] = printOf(m.Key)
	e.Prints[Value] = printOf(m.Value)
	e.Prints[Exact] = printHeaders(m.Headers)
	grouped := slices.Clone(m.Headers)
	slices.SortStableFunc(grouped, func(a, b Header) int { return cmp.Compare(a.Name, b.Name) })
	e.Prints[Grouped] = printHeaders(grouped)
	e.Prints[Time] = uint64(m.Time.UnixMilli())
	return e
}

// printOf tells nil from empty.
func printOf(b []byte) uint64 {
	if b == nil {
		return 0
	}
	sum := sha256.Sum256(b)
	return binary.LittleEndian.Uint64(sum[:]) | 1
}

func printHeaders(headers []Header) uint64 {
	var text []byte
	for _, h := range headers {
		text = binary.AppendUvarint(text, uint64(len(h.Name)))
		text = append(text, h.Name...)
		text = binary.LittleEndian.AppendUint64(text, printOf(h.Value))
	}
	return printOf(text)
}
