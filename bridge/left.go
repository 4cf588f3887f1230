package bridge

import (
	"slices"

	"github.com/sluice-bridge/sluice/telemetry"
)

// Left is what a route had fetched and not committed at its end: it comes again at the next start.
type Left struct {
	Route    string
	Messages int64
	Written  int64 // how many of them the sink has acknowledged: they will be there twice
	Bytes    int64 // of those that were given up
	// InFlight are the partitions of which something was given up, the oldest first, at most 16.
	InFlight []telemetry.LaneStatus
}

// left is called when every goroutine of the run has ended.
func (n *run) left() *Left {
	l := &Left{Route: n.route.cfg.Name, Messages: n.open.Load()}
	l.Written = l.Messages
	for _, p := range n.snapshot() {
		if p.abandoned.Messages == 0 {
			continue
		}
		l.Written -= p.abandoned.Messages
		l.Bytes += p.abandoned.Bytes
		l.InFlight = append(l.InFlight, telemetry.LaneStatus{
			Partition: p.name, Messages: p.abandoned.Messages, Oldest: p.first.fetched, Offset: p.first.offset,
		})
	}
	slices.SortFunc(l.InFlight, func(a, b telemetry.LaneStatus) int { return a.Oldest.Compare(b.Oldest) })
	l.InFlight = l.InFlight[:min(len(l.InFlight), statusLanes)]
	return l
}

// Left returns what routes left undone, those that are halted included. It is called after Run.
func (b *Bridge) Left() []Left {
	var all []Left
	for _, r := range b.all() {
		if l := r.left.Load(); l != nil && l.Messages > 0 {
			all = append(all, *l)
		}
	}
	return all
}
