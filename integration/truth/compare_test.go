package truth

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

const run = "r1"

var all = []Field{Key, Value, Exact, Grouped, Time}

// log returns messages of two partitions as a source would hold them, with every odd shape of a load.
func log(t *testing.T) ([]Message, []Entry) {
	t.Helper()
	messages := make([]Message, 200)
	entries := make([]Entry, len(messages))
	for i := range messages {
		messages[i] = (&Load{Run: run, Size: 32}).Message(int64(i))
		entries[i] = NewEntry(run, &messages[i], int32(i%2), int64(i/2))
	}
	return messages, entries
}

func TestEqualLogsAreClean(t *testing.T) {
	_, entries := log(t)
	r, err := Compare(entries, slices.Clone(entries), all...)
	if err != nil || !r.Clean() || len(r.Findings) != 0 {
		t.Fatalf("%v, %v", r, err)
	}
}

// Every fault that a bridge may make is noticed, named, and counted as itself and nothing else.
func TestFaultsAreNoticed(t *testing.T) {
	replace := func(change func(*Message)) func([]Message, []Entry) []Entry {
		return func(m []Message, e []Entry) []Entry {
			c := m[100]
			c.Headers = slices.Clone(c.Headers)
			change(&c)
			e[100] = NewEntry(run, &c, e[100].Partition, e[100].Offset)
			return e
		}
	}
	tests := []struct {
		name  string
		fault func([]Message, []Entry) []Entry
		want  Report
		says  string
	}{
		{"drop", func(_ []Message, e []Entry) []Entry { return slices.Delete(e, 100, 101) }, Report{Lost: 1}, "source 0@50"},
		{"drop the last", func(_ []Message, e []Entry) []Entry { return e[:len(e)-1] }, Report{Lost: 1}, "source 1@99"},
		{"double at once", func(_ []Message, e []Entry) []Entry { return slices.Insert(e, 100, e[100]) }, Report{Doubled: 1}, "source 0@50"},
		{"double later is no reordering", func(_ []Message, e []Entry) []Entry { return append(e, e[3]) }, Report{Doubled: 1}, "source 1@1"},
		{"swap neighbours of a partition", func(_ []Message, e []Entry) []Entry { e[100], e[102] = e[102], e[100]; return e }, Report{Reordered: 1}, "source 0@50"},
		{"foreign", func(_ []Message, e []Entry) []Entry {
			return append(e, NewEntry(run, &Message{Value: []byte("x")}, 0, 1000))
		}, Report{Phantom: 1}, "sink 0@1000"},
		{"of another run", func(_ []Message, e []Entry) []Entry {
			m := (&Load{Run: "r2", Size: 8}).Message(1)
			return append(e, NewEntry(run, &m, 0, 1000))
		}, Report{Phantom: 1}, "sink 0@1000"},
		{"value", replace(func(m *Message) { m.Value = append(slices.Clone(m.Value), 'x') }), Report{Altered: 1}, "value"},
		{"empty value became null", replace(func(m *Message) { m.Value = nil }), Report{Altered: 1}, "value"},
		{"key", replace(func(m *Message) { m.Key = []byte("other") }), Report{Altered: 1}, "key"},
		{"key became null", replace(func(m *Message) { m.Key = nil }), Report{Altered: 1}, "key"},
		{"time", replace(func(m *Message) { m.Time = m.Time.Add(time.Millisecond) }), Report{Altered: 1}, "time"},
		{"header value", replace(func(m *Message) { m.Headers[1].Value = []byte("other") }), Report{Altered: 1}, "headers"},
		{"header lost", replace(func(m *Message) { m.Headers = m.Headers[:len(m.Headers)-1] }), Report{Altered: 1}, "headers"},
		{"order of equal names", replace(func(m *Message) { m.Headers[1], m.Headers[3] = m.Headers[3], m.Headers[1] }), Report{Altered: 1}, "headers"},
		{"order across names", replace(func(m *Message) { m.Headers[1], m.Headers[2] = m.Headers[2], m.Headers[1] }), Report{Altered: 1}, "headers"},
		{"header added", replace(func(m *Message) { m.Headers = append(m.Headers, Header{"x", nil}) }), Report{Altered: 1}, "headers"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			messages, entries := log(t)
			r, err := Compare(entries, tt.fault(messages, slices.Clone(entries)), all...)
			if err != nil {
				t.Fatal(err)
			}
			got := Report{Lost: r.Lost, Doubled: r.Doubled, Phantom: r.Phantom, Reordered: r.Reordered, Altered: r.Altered}
			if fmt.Sprint(got) != fmt.Sprint(tt.want) {
				t.Errorf("got %v", r)
			}
			if r.Clean() || !strings.Contains(strings.Join(r.Findings, "\n"), tt.says) {
				t.Errorf("findings %q do not name %q", r.Findings, tt.says)
			}
		})
	}
}

// Grouped alone lets the order across names go, and nothing else.
func TestGroupedHeaders(t *testing.T) {
	a := Message{Headers: []Header{{"a", []byte("1")}, {"b", []byte("2")}, {"a", []byte("3")}}}
	b := Message{Headers: []Header{{"b", []byte("2")}, {"a", []byte("1")}, {"a", []byte("3")}}}
	c := Message{Headers: []Header{{"b", []byte("2")}, {"a", []byte("3")}, {"a", []byte("1")}}}
	ea, eb, ec := NewEntry(run, &a, 0, 0), NewEntry(run, &b, 0, 0), NewEntry(run, &c, 0, 0)
	if ea.Prints[Grouped] != eb.Prints[Grouped] || ea.Prints[Exact] == eb.Prints[Exact] {
		t.Error("order across names")
	}
	if ea.Prints[Grouped] == ec.Prints[Grouped] {
		t.Error("order of equal names is not noticed")
	}
}

// A load that doubled a message itself cannot judge a bridge.
func TestUnfitSource(t *testing.T) {
	_, entries := log(t)
	if _, err := Compare(append(entries, entries[0]), entries, all...); err == nil {
		t.Error("an id twice in the source is no error")
	}
}
