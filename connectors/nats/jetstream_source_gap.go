package nats

import "sync"

// gapFinder finds messages that vanished from the stream before they were read. Where the durable
// reads the whole stream and messages leave it at its head only, every jump of the stream sequence is
// a gap, exactly. Else jumps are normal, and a gap is where the stream's head has overtaken the last
// place the durable has looked at: an upper bound, for other subjects' messages count too.
type gapFinder struct {
	report func(from, to int64)

	mu    sync.Mutex
	exact bool
	next  uint64 // the next stream sequence to be seen or reported; 0: unknown
}

// begin sets where reading begins.
func (g *gapFinder) begin(next uint64, exact bool, report func(from, to int64)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.next, g.exact, g.report = next, exact, report
}

// see is told of every message that is returned.
func (g *gapFinder) see(stream uint64) {
	g.mu.Lock()
	from := g.next
	if stream < from || from == 0 {
		g.mu.Unlock()
		return
	}
	g.next = stream + 1
	exact := g.exact
	g.mu.Unlock()
	if exact && stream > from {
		g.report(int64(from), int64(stream))
	}
}

// examined is told how far the durable has looked and where the stream begins.
func (g *gapFinder) examined(last, first uint64) {
	g.skip(last + 1)
	g.head(first)
}

// skip says that nothing before next is missed.
func (g *gapFinder) skip(next uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.next > 0 {
		g.next = max(g.next, next)
	}
}

// head is told where the stream begins.
func (g *gapFinder) head(first uint64) {
	g.mu.Lock()
	from := g.next
	if from == 0 || first <= from {
		g.mu.Unlock()
		return
	}
	g.next = first
	g.mu.Unlock()
	g.report(int64(from), int64(first))
}
