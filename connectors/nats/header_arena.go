package nats

import "github.com/sluice-bridge/sluice/connectors"

// arenaChunk is how many headers are allocated at a time.
const arenaChunk = 256

// headerArena is memory for the headers of a batch's messages. It grows by chunks that stay where they are:
// one array that grew would leave behind each one before it, with the messages that point there.
type headerArena struct {
	chunks [][]connectors.Header // each as long as what is in use of it
	at     int                   // the one that is being filled
}

// room returns an empty slice with room for n headers.
func (a *headerArena) room(n int) []connectors.Header {
	for ; a.at < len(a.chunks); a.at++ {
		if c := a.chunks[a.at]; cap(c)-len(c) >= n {
			return c[len(c):]
		}
	}
	a.chunks = append(a.chunks, make([]connectors.Header, 0, max(n, arenaChunk)))
	return a.chunks[a.at]
}

// keep takes the first n headers of what room returned into use.
func (a *headerArena) keep(n int) {
	c := a.chunks[a.at]
	a.chunks[a.at] = c[:len(c)+n]
}

// clear forgets all headers. It lets go of chunks that were not in use.
func (a *headerArena) clear() {
	used := min(a.at+1, len(a.chunks))
	clear(a.chunks[used:])
	a.chunks = a.chunks[:used]
	for i, c := range a.chunks {
		clear(c)
		a.chunks[i] = c[:0]
	}
	a.at = 0
}
