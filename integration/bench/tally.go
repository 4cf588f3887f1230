package main

import (
	"time"

	"github.com/sluice-bridge/sluice/integration/bench/load"
)

// tally is what a sink holds, message by message in the order of its partitions.
type tally struct {
	lanes                   int32    // source partitions
	seen                    []uint64 // a bit for each message
	last                    map[[2]int32]int64
	arrived                 int64
	doubled, reordered, odd int64
	first, end              time.Time // as the sink noted them
}

func newTally(messages int64, lanes int32) *tally {
	return &tally{lanes: lanes, seen: make([]uint64, messages/64+1), last: map[[2]int32]int64{}}
}

// add takes one message: its header, where it stands in the sink, and since when. Order counts within a
// source partition, for each partition of the sink.
func (t *tally) add(id string, partition int32, at time.Time) {
	if t.first.IsZero() || at.Before(t.first) {
		t.first = at
	}
	if at.After(t.end) {
		t.end = at
	}
	n := load.ParseID(id)
	if n < 0 || n/64 >= int64(len(t.seen)) {
		t.odd++
		return
	}
	bit := uint64(1) << (n % 64)
	if t.seen[n/64]&bit != 0 {
		t.doubled++
		return
	}
	t.seen[n/64] |= bit
	t.arrived++
	key := [2]int32{load.Partition(n, t.lanes), partition}
	if last, ok := t.last[key]; ok && n < last {
		t.reordered++
		return
	}
	t.last[key] = n
}

// rate is messages per second as the sink saw them.
func (t *tally) rate() float64 {
	return float64(t.arrived) / max(t.end.Sub(t.first), time.Millisecond).Seconds()
}
