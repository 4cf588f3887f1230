package bridge

import "time"

const (
	// leastWrite is how many messages a Write may take always, if it is more than one batch.
	leastWrite = 2048
	// writeTime is how long a Write of more than that should take at most.
	writeTime = 250 * time.Millisecond
)

// writeSize bounds the messages of a lane's next Write. Room comes back when a Write returns: a slow sink that got
// the whole window in one would look as if it had stopped. A far one that got little at a time would be idle
// for most of a round trip, so a lane that fills its Writes in less than writeTime gets larger ones, up to half
// of the window: while the sink has the one half, the source brings the other.
type writeSize struct {
	grown int // what the next may have, whatever the window
	bound int // the latest
}

// limit returns the bound of the next Write, by the messages that the window holds at most.
func (s *writeSize) limit(window int64) int {
	s.bound = max(leastWrite, min(s.grown, int(window/2)))
	return s.bound
}

// wrote learns from a Write of so many messages.
func (s *writeSize) wrote(messages int, took time.Duration) {
	switch {
	case took > 2*writeTime:
		s.grown = s.bound / 2
	case messages > s.bound/2 && took < writeTime:
		s.grown = 2 * s.bound
	}
}
