package bridge

import (
	"fmt"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/flowcontrol"
)

const (
	// processMemory is what the process takes before it moves anything, measured as 30 MiB, and some air.
	processMemory = 40 << 20
	// windowMemory is what a window's byte costs: the garbage collector lets half as much again stand
	// before it has collected.
	windowMemory = 1.5
	// leastBudget is a route's part where there is too little memory for all: with less none would move.
	leastBudget = 1 << 20
)

// divide makes the budget that keeps all routes together within what the process may take, where their windows are
// more than that.
func (b *Bridge) divide() {
	if b.bytes = sharedBy(b.routes, b.cfg.Memory); b.bytes == 0 {
		return
	}
	b.budget = flowcontrol.NewBudget(b.bytes, len(b.routes))
	for _, r := range b.routes {
		r.budget, r.peers = b.budget, b.all
	}
}

// sharedBy returns the bytes that the windows of routes have to share for all to stay within limit; 0: each can have
// its own. What their ends hold besides comes first, for it has no bound that could be lowered.
func sharedBy(routes []*Route, limit int64) int64 {
	windows, ends := needs(routes)
	if limit == 0 || atMost(windows, ends) <= limit {
		return 0
	}
	bytes := int64(float64(limit-processMemory-ends) / windowMemory)
	return min(windows, max(bytes, int64(len(routes))*leastBudget))
}

// holder returns the route that holds most of the process's memory, nil if none holds more than own.
func (r *Route) holder(own int64) (most *Route) {
	for _, peer := range r.peers() {
		n := peer.running()
		if n == nil || peer == r {
			continue
		}
		if used := n.window.Used().Bytes; used > own {
			most, own = peer, used
		}
	}
	return most
}

// atMost is what the process takes with windows of so many bytes, and so many held by the ends.
func atMost(windows, ends int64) int64 {
	return processMemory + ends + int64(windowMemory*float64(windows))
}

// needs returns the bytes of all windows, and of all ends as far as that is known before they connect.
func needs(routes []*Route) (windows, ends int64) {
	for _, r := range routes {
		windows += r.cfg.Window.Bytes
		for _, f := range r.facts(nil) {
			ends += f.Memory
		}
	}
	return windows, ends
}

// Memory returns how many bytes the process takes at most for all routes together, and how that comes
// about. A connector may find out more once it is connected. The routes' own lines count the process each.
func (b *Bridge) Memory() (bytes int64, line string) {
	b.mu.Lock()
	routes, shared := b.routes, b.bytes
	b.mu.Unlock()
	windows, ends := needs(routes)
	what := "windows"
	if shared > 0 {
		windows, what = shared, fmt.Sprintf("budget of %s windows", mebibytes(windows))
	}
	bytes = atMost(windows, ends)
	return bytes, fmt.Sprintf("at most %s = 1.5 x %s %s + %s held by the ends of %d route(s) + %s process",
		mebibytes(bytes), mebibytes(windows), what, mebibytes(ends), len(routes), mebibytes(processMemory))
}

// Held returns how many bytes the windows of all routes hold. It takes every lock that moving messages does, so
// that it returns is a sign of life.
func (b *Bridge) Held() (bytes int64) {
	for _, r := range b.all() {
		s := r.glance()
		bytes += s.Window.Bytes
	}
	return bytes
}

// memory is the line that says how much memory the process needs for this route at most.
func (r *Route) memory(ends []connectors.Facts) string {
	window := r.cfg.Window.Bytes
	if r.budget != nil {
		window = min(window, r.budget.Most())
	}
	line := fmt.Sprintf("1.5 x %s window", mebibytes(window))
	var held int64
	for _, f := range ends {
		held += f.Memory
		if f.Memory > 0 {
			line += fmt.Sprintf(" + %s (%s)", mebibytes(f.Memory), f.MemoryFor)
		}
	}
	return fmt.Sprintf("at most %s = %s + %s process", mebibytes(atMost(window, held)), line, mebibytes(processMemory))
}

// charge takes c of the window and of the process's memory.
func (n *run) charge(c flowcontrol.Cost) {
	n.window.Add(c)
	n.part.Add(c.Bytes)
}

// release gives c back.
func (n *run) release(c flowcontrol.Cost) {
	n.window.Release(c)
	if c.Bytes > 0 {
		n.part.Release(c.Bytes)
	}
}

func mebibytes(bytes int64) string {
	const mebi = 1 << 20
	if bytes%mebi == 0 {
		return fmt.Sprintf("%d MiB", bytes/mebi)
	}
	return fmt.Sprintf("%.1f MiB", float64(bytes)/mebi)
}
