package demo

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
)

// message is one message as an independent client read it.
type message struct {
	id    string
	lane  string // what keeps order: a partition, a stream
	place string // for people, such as "orders/2 offset 118"
	sum   [sha256.Size]byte
}

// fingerprint is the checksum of all that has to arrive. A nil value and an empty one differ.
func fingerprint(key, value []byte, null bool, headers map[string][]string) [sha256.Size]byte {
	var text []byte
	add := func(b []byte) { text = append(binary.AppendUvarint(text, uint64(len(b))), b...) }
	add(key)
	add(value)
	add(fmt.Append(nil, null))
	names := make([]string, 0, len(headers))
	for name := range headers {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, v := range headers[name] {
			add([]byte(name))
			add([]byte(v))
		}
	}
	return sha256.Sum256(text)
}

// verdict is what became of the messages of one route.
type verdict struct {
	route                             string
	read, there                       int
	lost, doubled, reordered, altered int
	findings                          []string // the first few, with their positions
}

// maxFindings bounds what is told of a broken route.
const maxFindings = 5

// compare follows every message of the source to the sink. Both are in the order of their logs.
func compare(route string, source, sink []message) verdict {
	v := verdict{route: route, read: len(source), there: len(sink)}
	index := make(map[string]int, len(source))
	for i := range source {
		index[source[i].id] = i
	}
	found := make([]int, len(source)) // 1 + where in sink
	last := map[[2]string]int{}       // newest of a source lane in a sink lane
	for i := range sink {
		s := &sink[i]
		at, known := index[s.id]
		if !known {
			v.altered++
			v.note("altered: %s (%q) was never in the source", s.place, s.id)
			continue
		}
		from := &source[at]
		if found[at] > 0 {
			v.doubled++
			v.note("doubled: %s (%s) is at %s and again at %s", from.place, from.id, sink[found[at]-1].place, s.place)
			continue
		}
		found[at] = i + 1
		if s.sum != from.sum {
			v.altered++
			v.note("altered: %s (%s) is not what stands at %s", from.place, from.id, s.place)
		}
		lane := [2]string{from.lane, s.lane}
		if newest, any := last[lane]; any && newest > at {
			v.reordered++
			v.note("reordered: %s (%s) came to %s behind %s", from.place, from.id, s.place, source[newest].place)
			continue
		}
		last[lane] = at
	}
	for i, n := range found {
		if n == 0 {
			v.lost++
			v.note("lost: %s (%s) is nowhere", source[i].place, source[i].id)
		}
	}
	return v
}

func (v *verdict) note(format string, args ...any) {
	if len(v.findings) < maxFindings {
		v.findings = append(v.findings, fmt.Sprintf(format, args...))
	}
}

func (v *verdict) ok() bool { return v.lost+v.doubled+v.reordered+v.altered == 0 }

func (v *verdict) print(w io.Writer) {
	fmt.Fprintf(w, "  %-10s %s read at the source, %s at the sink: %d lost, %d doubled, %d reordered, %d altered\n",
		v.route, humanize.Comma(int64(v.read)), humanize.Comma(int64(v.there)), v.lost, v.doubled, v.reordered, v.altered)
	for _, f := range v.findings {
		fmt.Fprintf(w, "    %s\n", f)
	}
	if more := v.lost + v.doubled + v.reordered + v.altered - len(v.findings); more > 0 {
		fmt.Fprintf(w, "    %s\n", strings.Join([]string{"and", humanize.Comma(int64(more)), "more"}, " "))
	}
}
