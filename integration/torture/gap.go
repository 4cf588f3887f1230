package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// gap is a range of positions [From, To) that vanished before it was read.
type gap struct {
	Partition string `json:"partition"`
	From      int64  `json:"from"`
	To        int64  `json:"to"`
}

func (g gap) String() string { return fmt.Sprintf("%s [%d, %d)", g.Partition, g.From, g.To) }

// judgeGaps wants every gap that was made to be told, exactly and once, and no other.
func (r *route) judgeGaps() {
	order := func(a, b gap) int {
		return cmp.Or(strings.Compare(a.Partition, b.Partition), cmp.Compare(a.From, b.From))
	}
	told := slices.SortedFunc(maps.Keys(r.watch.told), order)
	want := slices.SortedFunc(slices.Values(r.expect.gaps), order)
	if !slices.Equal(told, want) {
		r.log.find(checkGap, r, "told %v, want %v", told, want)
	}
	var messages int64
	for _, g := range want {
		messages += g.To - g.From
	}
	if r.watch.gaps != messages {
		r.log.find(checkGap, r, "/status counts %d messages of gaps, want %d", r.watch.gaps, messages)
	}
	if r.watch.dropped > 0 != r.expect.told {
		r.log.find(checkGap, r, "%d messages are told to be dropped", r.watch.dropped)
	}
}
