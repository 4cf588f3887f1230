package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-bridge/sluice/bridge/transform"
	"github.com/sluice-bridge/sluice/connectors"
)

// origin is the Sluice-Origin of a message at the sink.
func origin(m *connectors.Message) *connectors.Header { return &m.Headers[len(m.Headers)-1] }

// altered returns m with its headers free to be changed.
func altered(m connectors.Message, change func(*connectors.Message)) connectors.Message {
	m.Headers = slices.Clone(m.Headers)
	change(&m)
	return m
}

// Every fault that a bridge may make is noticed, named with its positions at both ends, and counted as
// itself and nothing else. The sink holds t/0@0 t/1@0 t/0@1 ... at S@1 S@2 S@3 ...
func TestFaultsAreNoticed(t *testing.T) {
	for name, c := range map[string]struct {
		tamper func([]connectors.Message) []connectors.Message
		want   map[Kind]int64
		says   string
	}{
		"nothing": {func(m []connectors.Message) []connectors.Message { return m }, nil, "r: equal"},
		"drop":    {func(m []connectors.Message) []connectors.Message { return slices.Delete(m, 50, 51) }, map[Kind]int64{Lost: 1}, "lost: t/0@25 is nowhere at the sink"},
		"drop the first": {func(m []connectors.Message) []connectors.Message { return m[1:] }, map[Kind]int64{Lost: 1},
			"lost: t/0@0 is nowhere at the sink"},
		"drop the last": {func(m []connectors.Message) []connectors.Message { return m[:len(m)-1] }, map[Kind]int64{Lost: 1},
			"lost: t/1@99 is nowhere at the sink"},
		"double": {func(m []connectors.Message) []connectors.Message { return slices.Insert(m, 51, m[50]) }, map[Kind]int64{Doubled: 1},
			"doubled: t/0@25 is at sink S@51 and again at sink S@52"},
		"double the last": {func(m []connectors.Message) []connectors.Message { return append(m, m[199]) }, map[Kind]int64{Doubled: 1},
			"doubled: t/1@99 is at sink S@200 and again at sink S@201"},
		"double much later": {func(m []connectors.Message) []connectors.Message { return append(m, m[3]) }, map[Kind]int64{Doubled: 1},
			"doubled: t/1@1 is at sink S@4 and again at sink S@201"},
		"three times": {func(m []connectors.Message) []connectors.Message { return append(m, m[3], m[3]) }, map[Kind]int64{Doubled: 2},
			"doubled: t/1@1 is at sink S@4 and again at sink S@202"},
		"swap": {func(m []connectors.Message) []connectors.Message { m[50], m[52] = m[52], m[50]; return m }, map[Kind]int64{Reordered: 1},
			"reordered: t/0@25 came to sink S@53 behind t/0@26, which is at sink S@51"},
		"swap across blocks": {func(m []connectors.Message) []connectors.Message { m[38], m[40] = m[40], m[38]; return m }, map[Kind]int64{Reordered: 1},
			"reordered: t/0@19 came to sink S@41 behind t/0@20, which is at sink S@39"},
		"swap far apart": {func(m []connectors.Message) []connectors.Message { m[0], m[198] = m[198], m[0]; return m }, map[Kind]int64{Reordered: 99},
			"reordered: t/0@0 came to sink S@199 behind t/0@99, which is at sink S@1"},
		"swap across partitions": {func(m []connectors.Message) []connectors.Message { m[50], m[51] = m[51], m[50]; return m }, nil, "r: equal"},
		"value": {func(m []connectors.Message) []connectors.Message {
			m[50] = altered(m[50], func(m *connectors.Message) { m.Value = []byte("x") })
			return m
		}, map[Kind]int64{Altered: 1}, "altered: t/0@25 differs at sink S@51 in value\n"},
		"swapped values": {func(m []connectors.Message) []connectors.Message {
			m[50].Value, m[52].Value = m[52].Value, m[50].Value
			return m
		}, map[Kind]int64{Altered: 2}, "altered: t/0@26 differs at sink S@53 in value\n"},
		"everything but their origins swapped": {func(m []connectors.Message) []connectors.Message {
			a, b := origin(&m[50]).Value, origin(&m[52]).Value
			m[50], m[52] = m[52], m[50]
			origin(&m[50]).Value, origin(&m[52]).Value = a, b
			return m
		}, map[Kind]int64{Altered: 2}, "altered: t/0@26 differs at sink S@53 in key, value, time\n"},
		"the first of a block before the one before": {func(m []connectors.Message) []connectors.Message {
			later := m[60] // t/0@30
			return slices.Insert(slices.Delete(m, 60, 61), 40, later)
		}, map[Kind]int64{Reordered: 10}, "reordered: t/0@20 came to sink S@42 behind t/0@30, which is at sink S@41"},
		"empty became null": {func(m []connectors.Message) []connectors.Message {
			m[60] = altered(m[60], func(m *connectors.Message) { m.Value = nil })
			return m
		}, map[Kind]int64{Altered: 1}, "in value\n"},
		"key": {func(m []connectors.Message) []connectors.Message {
			m[50] = altered(m[50], func(m *connectors.Message) { m.Key = append(slices.Clone(m.Key), 0) })
			return m
		}, map[Kind]int64{Altered: 1}, "in key\n"},
		"time": {func(m []connectors.Message) []connectors.Message {
			m[50] = altered(m[50], func(m *connectors.Message) { m.Time = m.Time.Add(1) })
			return m
		}, map[Kind]int64{Altered: 1}, "in time\n"},
		"a time that is unknown is none": {func(m []connectors.Message) []connectors.Message {
			m[50] = altered(m[50], func(m *connectors.Message) { m.Time = time.Time{} })
			return m
		}, nil, "r: equal"},
		"header": {func(m []connectors.Message) []connectors.Message {
			m[50] = altered(m[50], func(m *connectors.Message) { m.Headers[0].Value = []byte("x") })
			return m
		}, map[Kind]int64{Altered: 1}, "in headers\n"},
		"order of headers": {func(m []connectors.Message) []connectors.Message {
			m[50] = altered(m[50], func(m *connectors.Message) { m.Headers[0], m.Headers[1] = m.Headers[1], m.Headers[0] })
			return m
		}, map[Kind]int64{Altered: 1}, "in headers\n"},
		"key and value, and twice": {func(m []connectors.Message) []connectors.Message {
			m[50] = altered(m[50], func(m *connectors.Message) { m.Key, m.Value = nil, nil })
			return append(m, m[50])
		}, map[Kind]int64{Altered: 2, Doubled: 1}, "in key, value\n"},
		"foreign": {func(m []connectors.Message) []connectors.Message {
			return append(m, connectors.Message{Value: []byte("x")}, altered(m[0], func(m *connectors.Message) { origin(m).Value = []byte("kafka:other/t/0/1;hops=1") }))
		}, nil, "2 messages at the sink from elsewhere"},
		"behind the source's end": {func(m []connectors.Message) []connectors.Message {
			return append(m, altered(m[0], func(m *connectors.Message) { origin(m).Value = []byte("kafka:c/t/0/100;hops=1") }))
		}, map[Kind]int64{Phantom: 1}, `phantom: sink S@201: it claims to be from "kafka:c/t/0/100;hops=1"`},
		"of no partition": {func(m []connectors.Message) []connectors.Message {
			return append(m, altered(m[0], func(m *connectors.Message) { origin(m).Value = []byte("kafka:c/t/7/1;hops=1") }))
		}, map[Kind]int64{Phantom: 1}, `phantom: sink S@201: it claims to be from "kafka:c/t/7/1;hops=1"`},
		"another's place": {func(m []connectors.Message) []connectors.Message {
			m[50] = altered(m[50], func(m *connectors.Message) { origin(m).Value = origin(&m2).Value })
			return m
		}, map[Kind]int64{Lost: 1, Doubled: 1, Altered: 1}, "lost: t/0@25 is nowhere at the sink"},
	} {
		t.Run(name, func(t *testing.T) {
			source := sourceOf(100, 100)
			sink := &fake{parts: []part{stored("S", c.tamper(sinkOf(source)))}}
			r := compare(t, Ends{Source: source, Sink: sink}, Options{Route: "r", Whole: true, Findings: 1000})
			if c.want == nil {
				c.want = map[Kind]int64{}
			}
			var text bytes.Buffer
			r.Print(&text)
			if !cmp.Equal(r.Counts, c.want) || r.Equal != (len(c.want) == 0) || !strings.Contains(text.String(), c.says) {
				t.Errorf("%v, want %v and %q in\n%s", r.Counts, c.want, c.says, &text)
			}
		})
	}
}

// m2 is t/0@10 at the sink.
var m2 = func() connectors.Message { s := sourceOf(100); return carried(&s.parts[0], 10) }()

// A source position without a message is a phantom's, unless messages vanish from there by nature or have
// expired meanwhile.
func TestHolesAtTheSource(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*part)
		want   string
	}{
		"never there":                          {func(p *part) { p.log = slices.Delete(p.log, 30, 31) }, "phantom: sink S@31 claims to be t/0@30: the source has no message there"},
		"compacted":                            {func(p *part) { p.log = slices.Delete(p.log, 30, 31); p.Sparse = true }, "no longer at the source: 1 message that the sink has"},
		"expired":                              {func(p *part) { p.log = p.log[40:]; p.First = 40 }, "0 to 39: no longer at the source"},
		"expired, and what the sink has of it": {func(p *part) { p.log = p.log[40:]; p.First = 40 }, "no longer at the source: 40 messages that the sink has"},
	} {
		source := sourceOf(100)
		sink := &fake{parts: []part{stored("S", sinkOf(source))}}
		c.change(&source.parts[0])
		r := compare(t, Ends{Source: source, Sink: sink}, Options{Whole: true})
		var text bytes.Buffer
		r.Print(&text)
		if !strings.Contains(text.String(), c.want) || r.Equal == strings.Contains(c.want, "phantom") {
			t.Errorf("%s: %s", name, &text)
		}
	}
}

// expiring is a source that loses its beginning after it was asked for its ranges.
type expiring struct {
	*fake
	first int64
	asked int
}

func (e *expiring) Ranges(ctx context.Context) ([]connectors.Range, error) {
	if e.asked++; e.asked == 2 {
		p := &e.parts[0]
		p.First, p.log = e.first, p.log[e.first:]
	}
	return e.fake.Ranges(ctx)
}

func (e *expiring) Read(ctx context.Context, partition string, from, to int64, visit func(*connectors.Message) error) error {
	return e.fake.Read(ctx, partition, max(from, e.first), to, visit)
}

func TestSourceExpiresMeanwhile(t *testing.T) {
	source := sourceOf(100)
	sink := &fake{parts: []part{stored("S", sinkOf(source))}}
	r := compare(t, Ends{Source: &expiring{fake: source, first: 25}, Sink: sink}, Options{Whole: true})
	if !r.Equal || r.Partitions[0].Gone != 25 {
		t.Errorf("%+v", r)
	}
}

// What a sink has dropped itself is not called lost.
func TestSinkDropsMessages(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*part)
		want   string
	}{
		"its beginning":               {func(p *part) { p.log, p.First = p.log[30:], 31 }, "equal left 30"},
		"all":                         {func(p *part) { p.log, p.First = nil, 101 }, "equal left 100"},
		"its beginning, and one more": {func(p *part) { p.log, p.First = slices.Delete(p.log, 60, 61)[30:], 31 }, "different: 1 lost left 30"},
		"the older of each key":       {func(p *part) { p.log, p.Sparse = slices.Delete(p.log, 60, 62), true }, "equal left 2"},
	} {
		source := sourceOf(100)
		sink := &fake{parts: []part{stored("S", sinkOf(source))}}
		c.change(&sink.parts[0])
		r := compare(t, Ends{Source: source, Sink: sink}, Options{Whole: true})
		if got := fmt.Sprintf("%s left %d", r.Verdict(), r.Partitions[0].Left); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// How far a source partition is compared.
func TestBounds(t *testing.T) {
	source := sourceOf(100, 100)
	all := sinkOf(source)
	for name, c := range map[string]struct {
		o    Options
		sink int // messages
		want string
	}{
		"whole, the sink is behind":           {Options{Whole: true}, 180, "different: 20 lost; 0-100 +0; 0-100 +0"},
		"up to what the sink holds":           {Options{}, 180, "equal; 0-90 +10; 0-90 +10"},
		"up to what is committed":             {Options{To: map[string]int64{"t/0": 50, "t/1": 90}}, 180, "equal; 0-50 +50; 0-90 +10"},
		"committed, and not there":            {Options{To: map[string]int64{"t/0": 95, "t/1": 90}}, 180, "different: 5 lost; 0-95 +5; 0-90 +10"},
		"committed within a block":            {Options{To: map[string]int64{"t/0": 55, "t/1": 51}}, 180, "equal; 0-55 +45; 0-51 +49"},
		"committed beyond the end":            {Options{To: map[string]int64{"t/0": 1000, "t/1": 90}}, 200, "equal; 0-100 +0; 0-90 +10"},
		"one partition without a position":    {Options{To: map[string]int64{"t/0": 50}}, 180, "equal; 0-50 +50; 0-90 +10"},
		"since":                               {Options{Whole: true, Since: start.Add(70 * time.Second)}, 180, "different: 20 lost; 70-100 +0; 70-100 +0"},
		"since, up to what the sink holds":    {Options{Since: start.Add(70 * time.Second)}, 180, "equal; 70-90 +10; 70-90 +10"},
		"since a time that has not come yet":  {Options{Since: start.Add(time.Hour)}, 180, "equal; 100-100 +0; 100-100 +0"},
		"nothing at the sink":                 {Options{}, 0, "equal; 0-0 +100; 0-0 +100"},
		"nothing at the sink, all to compare": {Options{Whole: true}, 0, "different: 200 lost; 0-100 +0; 0-100 +0"},
	} {
		sink := &fake{parts: []part{stored("S", all[:c.sink])}}
		r := compare(t, Ends{Source: source, Sink: sink}, c.o)
		got := r.Verdict()
		for _, p := range r.Partitions {
			got += fmt.Sprintf("; %d-%d +%d", p.From, p.To, p.Later)
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// A message is called lost only if it is nowhere: the sink's clock may be another one, and so its order
// of times.
func TestSinceWithAnotherClock(t *testing.T) {
	source := sourceOf(100)
	sink := &fake{parts: []part{stored("S", sinkOf(source))}}
	for i := range sink.parts[0].log {
		sink.parts[0].log[i].Time = start.Add(time.Duration(i) * time.Second)
		if i < 80 {
			sink.parts[0].log[i].Time = start.Add(-time.Hour)
		}
		source.parts[0].log[i].Time = time.Time{} // not compared
	}
	sinceAll := &timed{source}
	if r := compare(t, Ends{Source: sinceAll, Sink: sink}, Options{Whole: true, Since: start}); !r.Equal || r.SourceMessages != 50 {
		t.Errorf("%v of %d", r.Findings, r.SourceMessages)
	}
	sink.parts[0].log = slices.Delete(sink.parts[0].log, 60, 61)
	if r := compare(t, Ends{Source: sinceAll, Sink: sink}, Options{Whole: true, Since: start}); r.Counts[Lost] != 1 {
		t.Errorf("%v", r.Findings)
	}
}

// timed finds the middle whatever the time.
type timed struct{ *fake }

func (*timed) Find(context.Context, string, time.Time) (int64, error) { return 50, nil }

// A sink of several partitions keeps the order of a key, not that across keys.
func TestSeveralSinkPartitions(t *testing.T) {
	source := sourceOf(100)
	var parts [3][]connectors.Message
	for i, m := range sinkOf(source) {
		parts[i%7%3] = append(parts[i%7%3], m)
	}
	sinkOfParts := func() *fake {
		f := &fake{}
		for i := range parts {
			f.parts = append(f.parts, stored(fmt.Sprint("out/", i), parts[i]))
		}
		return f
	}
	if r := compare(t, Ends{Source: source, Sink: sinkOfParts()}, Options{Whole: true}); !r.Equal {
		t.Errorf("%v", r.Findings)
	}
	parts[2] = append(parts[2], parts[0][5])
	r := compare(t, Ends{Source: source, Sink: sinkOfParts()}, Options{Whole: true})
	if r.Counts[Doubled] != 1 || len(r.Counts) != 1 || !strings.Contains(r.Findings[0].String(), "is at sink out/0@6 and again at sink out/2@") {
		t.Errorf("%v", r.Findings)
	}
}

// Where another route leads back, what is from the sink is not expected there.
func TestWayBack(t *testing.T) {
	source := sourceOf(100)
	back := carried(&source.parts[0], 13)
	sink := &fake{parts: []part{stored("S", slices.DeleteFunc(sinkOf(source), func(m connectors.Message) bool {
		o, _ := connectors.ParseOrigin(origin(&m).Value)
		return o.Offset%10 == 3
	}))}}
	sink.parts[0].Origin = "nats:n/S"
	for i := range source.parts[0].log {
		if m := &source.parts[0].log[i]; i%10 == 3 {
			m.Headers = append(slices.Clone(m.Headers), connectors.Header{Key: connectors.OriginHeader, Value: []byte("nats:n/S/77;hops=1")})
		}
	}
	ends := Ends{Source: source, Sink: sink}
	if r := compare(t, ends, Options{Whole: true, WayBack: true}); !r.Equal || r.Partitions[0].Returned != 10 || r.SourceMessages != 90 {
		t.Errorf("%s, returned %d", r.Verdict(), r.Partitions[0].Returned)
	}
	if r := compare(t, ends, Options{Whole: true}); r.Counts[Lost] != 10 {
		t.Errorf("without a way back: %s", r.Verdict())
	}
	// One that was sent back nevertheless.
	sink.parts[0].log = append(sink.parts[0].log, back)
	sink.parts[0].log[90].Offset, sink.parts[0].End = 91, 92
	if r := compare(t, ends, Options{Whole: true, WayBack: true}); r.Counts[Phantom] != 1 {
		t.Errorf("sent back: %s", r.Verdict())
	}
}

// TestFilteredAndMapped: what the filter does not let pass is expected nowhere, and what passes is expected with the
// headers that it is given; the same ends without that differ.
func TestFilteredAndMapped(t *testing.T) {
	source := sourceOf(100)
	for i := range source.parts[0].log {
		m := &source.parts[0].log[i]
		m.Headers = append(slices.Clone(m.Headers), connectors.Header{Key: "tenth", Value: []byte(strconv.FormatBool(i%10 == 3))})
	}
	all := sinkOf(source)
	filtered := all[13]
	all = slices.DeleteFunc(all, func(m connectors.Message) bool {
		o, _ := connectors.ParseOrigin(origin(&m).Value)
		return o.Offset%10 == 3
	})
	for i := range all {
		o, _ := connectors.ParseOrigin(origin(&all[i]).Value)
		rest := slices.DeleteFunc(slices.Clone(all[i].Headers), func(h connectors.Header) bool { return h.Key == "tenth" })
		all[i].Headers = append(rest, connectors.Header{Key: "at", Value: []byte(strconv.FormatInt(o.Offset, 10))})
	}
	c := transform.NewCompiler("orders")
	if err := errors.Join(c.Filter(`headers["tenth"] != "true"`), c.Drop("tenth"), c.Set("set", "at", "{{ offset }}")); err != nil {
		t.Fatal(err)
	}
	o := Options{Whole: true, Transform: c.Program()}
	sink := &fake{parts: []part{stored("S", slices.Clone(all))}}
	if r := compare(t, Ends{Source: source, Sink: sink}, o); !r.Equal || r.Partitions[0].Filtered != 10 || r.SourceMessages != 90 {
		t.Errorf("%s, %d filtered, %d: %v", r.Verdict(), r.Partitions[0].Filtered, r.SourceMessages, r.Findings)
	}
	if r := compare(t, Ends{Source: source, Sink: sink}, Options{Whole: true}); r.Counts[Lost] != 10 || r.Counts[Altered] != 90 {
		t.Errorf("without: %s", r.Verdict())
	}
	sink = &fake{parts: []part{stored("S", append(slices.Clone(all), filtered))}}
	if r := compare(t, Ends{Source: source, Sink: sink}, o); r.Counts[Phantom] != 1 || r.Findings[0].Detail != "the filter does not let it pass" {
		t.Errorf("one that does not pass: %s, %v", r.Verdict(), r.Findings)
	}
	sink = &fake{parts: []part{stored("S", all[1:])}}
	if r := compare(t, Ends{Source: source, Sink: sink}, o); r.Counts[Lost] != 1 {
		t.Errorf("one lost: %s", r.Verdict())
	}
}

func TestUnordered(t *testing.T) {
	source := sourceOf(100)
	all := sinkOf(source)
	slices.Reverse(all)
	sink := &fake{parts: []part{stored("S", append(all, all[7]))}}
	r := compare(t, Ends{Source: source, Sink: sink}, Options{Whole: true, Unordered: true})
	if want := (map[Kind]int64{Doubled: 1}); !cmp.Equal(r.Counts, want) {
		t.Errorf("%v", r.Counts)
	}
}

// All are counted, some are listed.
func TestFindingsAreLimited(t *testing.T) {
	source := sourceOf(100)
	sink := &fake{parts: []part{stored("S", sinkOf(source)[50:])}}
	r := compare(t, Ends{Source: source, Sink: sink}, Options{Whole: true, Findings: 3})
	var text bytes.Buffer
	r.Print(&text)
	if r.Counts[Lost] != 50 || len(r.Findings) != 3 || !strings.Contains(text.String(), "and 47 more lost") {
		t.Errorf("%s", &text)
	}
}

// What a sink changes on purpose is no difference.
type expecting struct{ *fake }

func (expecting) Expect(b *connectors.Batch, m *connectors.Message) {
	m.Key = []byte(b.Partition)
	m.Time = m.Time.Truncate(time.Minute)
}

func TestExpectedChanges(t *testing.T) {
	source := sourceOf(100)
	all := sinkOf(source)
	for i := range all {
		all[i].Key, all[i].Time = []byte("t/0"), all[i].Time.Truncate(time.Minute)
	}
	sink := &fake{parts: []part{stored("S", all)}}
	if r := compare(t, Ends{Source: source, Sink: expecting{sink}}, Options{Whole: true}); !r.Equal {
		t.Errorf("%v", r.Findings)
	}
	if r := compare(t, Ends{Source: source, Sink: sink}, Options{Whole: true}); r.Equal {
		t.Error("nothing is noticed")
	}
}

type broken struct{ *fake }

var errAway = errors.New("away")

func (broken) Read(context.Context, string, int64, int64, func(*connectors.Message) error) error {
	return errAway
}

func TestUnreadableEnds(t *testing.T) {
	source := sourceOf(10)
	sink := &fake{parts: []part{stored("S", sinkOf(source))}}
	for name, ends := range map[string]Ends{
		"source": {Source: broken{source}, Sink: sink}, "sink": {Source: source, Sink: broken{sink}},
		"dead letters": {Source: source, Sink: sink, Letters: broken{sink}},
	} {
		if _, err := Compare(t.Context(), ends, Options{}); !errors.Is(err, errAway) || !strings.HasPrefix(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
