package demo

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluice-bridge/sluice/connectors"
)

func log(lanes, each int) (all []message) {
	for l := range lanes {
		for i := range each {
			id := fmt.Sprintf("m%d-%d", l, i)
			all = append(all, message{
				id: id, lane: fmt.Sprint("lane", l), place: fmt.Sprintf("lane %d offset %d", l, i),
				sum: fingerprint(nil, []byte(id), false, nil),
			})
		}
	}
	return all
}

func TestCompare(t *testing.T) {
	source := log(2, 4)
	sink := func(edit func([]message) []message) []message {
		all := slices.Clone(source)
		for i := range all {
			all[i].lane, all[i].place = "sink", fmt.Sprintf("sink %d", i)
		}
		return edit(all)
	}
	for _, c := range []struct {
		name string
		edit func([]message) []message
		want string // the finding; empty: none
	}{
		{"same", func(m []message) []message { return m }, ""},
		{"dropped", func(m []message) []message { return slices.Delete(m, 5, 6) }, "lost: lane 1 offset 1 (m1-1) is nowhere"},
		{"dropped at the end", func(m []message) []message { return m[:7] }, "lost: lane 1 offset 3 (m1-3) is nowhere"},
		{"doubled", func(m []message) []message { return slices.Insert(m, 3, m[1]) }, "doubled: lane 0 offset 1 (m0-1) is at sink 1 and again at sink 1"},
		{"swapped", func(m []message) []message { m[1], m[2] = m[2], m[1]; return m }, "reordered: lane 0 offset 1 (m0-1) came to sink 1 behind lane 0 offset 2"},
		{"swapped across lanes is no fault", func(m []message) []message { m[3], m[4] = m[4], m[3]; return m }, ""},
		{"altered", func(m []message) []message { m[6].sum[0] ^= 1; return m }, "altered: lane 1 offset 2 (m1-2) is not what stands at sink 6"},
		{"foreign", func(m []message) []message { return append(m, message{id: "x", place: "sink 8"}) }, `altered: sink 8 ("x") was never in the source`},
		{"all gone", func([]message) []message { return nil }, "lost: lane 0 offset 0 (m0-0) is nowhere"},
	} {
		v := compare("r", source, sink(c.edit))
		var text bytes.Buffer
		v.print(&text)
		if v.ok() != (c.want == "") || !strings.Contains(text.String(), c.want) {
			t.Errorf("%s: want %q in\n%s", c.name, c.want, &text)
		}
	}
}

// TestFingerprint: whatever differs between two messages shows.
func TestFingerprint(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(label string) (key, value []byte, null bool, headers map[string][]string) {
			texts := rapid.SliceOfN(rapid.Byte(), 0, 2)
			values := rapid.MapOfN(rapid.SampledFrom([]string{"a", "b"}), rapid.SliceOfN(rapid.SampledFrom([]string{"", "1", "2"}), 1, 2), 0, 2)
			return texts.Draw(t, label+"key"), texts.Draw(t, label+"value"), rapid.Bool().Draw(t, label+"null"), values.Draw(t, label+"headers")
		}
		k1, v1, n1, h1 := draw("1")
		k2, v2, n2, h2 := draw("2")
		same := bytes.Equal(k1, k2) && bytes.Equal(v1, v2) && n1 == n2 && fmt.Sprint(h1) == fmt.Sprint(h2)
		if (fingerprint(k1, v1, n1, h1) == fingerprint(k2, v2, n2, h2)) != same {
			t.Fatalf("%v %v %v %v and %v %v %v %v", k1, v1, n1, h1, k2, v2, n2, h2)
		}
	})
}

// keep is a sink that keeps what it is given.
type keep struct{ got []string }

func (k *keep) Write(_ context.Context, batches []*connectors.Batch) error {
	for _, b := range batches {
		for _, m := range b.Messages {
			k.got = append(k.got, string(m.Value))
		}
	}
	return nil
}

func (*keep) Close(context.Context) error { return nil }

func TestSabotage(t *testing.T) {
	for how, want := range map[string]string{
		breakDrop: "0 2", breakDouble: "0 1 1 2", breakSwap: "1 0 2", breakAlter: "0 0 2", "": "0 1 2",
	} {
		k := &keep{}
		s := &saboteur{Sink: k, how: how}
		s.seen.Store(breakAfter)
		b := &connectors.Batch{Messages: []connectors.Message{{Value: []byte("0")}, {Value: []byte("1")}, {Value: []byte("2")}}}
		for range 2 {
			if err := s.Write(t.Context(), []*connectors.Batch{b}); err != nil {
				t.Fatal(err)
			}
		}
		if got := strings.Join(k.got, " "); got != want+" 0 1 2" {
			t.Errorf("%s: %s, want %s once", how, got, want)
		}
	}
}
