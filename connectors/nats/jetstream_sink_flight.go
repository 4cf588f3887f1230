package nats

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
)

// flight is a run of messages of one lane that are under way to the stream, and what the server has
// said of them. Messages are counted from 0 here.
type flight struct {
	token  string // unique: names the flight in reply subjects, and is the id of a fast batch
	fast   bool
	stream string
	first  int           // what the Write counts as its message where the flight begins
	after  uint64        // nothing of the flight is stored at or below this stream sequence
	wake   chan struct{} // holds one when there is something new

	created time.Time // of the stream
	origins []string  // of its batches, as Sluice-Origin has them; nil: they have none
	mark    uint64    // permission violations before the flight

	order   *sendOrder
	begunAt uint64        // by the clock of order: before anything of it was sent
	sentAt  atomic.Uint64 // and behind all of it

	mu       sync.Mutex
	subject  []byte // of the last message sent
	settled  bool   // the outcome is definite
	stored   int    // from the first on, as far as the server has said so
	highest  uint64
	failedAt int // the first message that was refused, with err; -1: none
	err      error
	astray   string // another stream that stored a message
	answers  int    // counts what the server said about messages

	// Of a fast batch only.
	unknown bool // the server does not know the batch (any more)
	probed  bool // the server has answered what was sent behind the last message

	left int // of a fast batch: messages sent; of single publishes: those without an answer

	// Of single publishes only.
	states   []byte // one a message
	refused  map[int]error
	lastSeq  uint64 // of the stream, as the probe before said
	stagnant int    // probes in a row in which neither the stream nor the flight moved
	seen     int    // answers at the last probe
	probes   int    // sent
	told     int    // probes that were sent when the answer to one was last heard
}

// What the server said about a published message.
const (
	stateUnknown byte = iota
	stateStored
	stateRefused
)

// newFlight returns a flight of n messages, the first of which the Write counts as first.
func newFlight(token, stream string, sess *session, n, first int, after uint64) *flight {
	f := &flight{token: token, fast: sess.fast, created: sess.stream.Created, stream: stream, first: first, after: after, wake: make(chan struct{}, 1), failedAt: -1, left: n}
	if !f.fast {
		f.states = make([]byte, n)
	}
	return f
}

// truncate says how many messages were sent in the end, and the subject of the last one.
func (f *flight) truncate(sent int, subject []byte) {
	f.sentAt.Store(f.order.clock.Add(1))
	f.mu.Lock()
	defer f.mu.Unlock()
	f.subject = append(f.subject[:0], subject...)
	if f.fast {
		f.left = sent
		return
	}
	f.left -= len(f.states) - sent
	f.states = f.states[:sent]
	if f.left == 0 {
		f.settled = true
	}
}

func (f *flight) subjectText() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return string(f.subject)
}

func (f *flight) ring() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// aborted reports whether what follows is not worth sending.
func (f *flight) aborted() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.settled || f.unknown || f.fast && f.failedAt >= 0
}

// stagnantProbes is how many probes in a row must find nothing moving before acknowledgements that
// are out count as lost.
const stagnantProbes = 2

// over reports whether nothing more will be learned by waiting.
func (f *flight) over() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.settled || f.fast && f.unknown && f.probed || f.stagnant >= stagnantProbes
}

// outcome is what is known of a flight.
type outcome struct {
	done     int                  // from the first on: stored or refused for good
	refused  []connectors.Failure // those of done that are refused, counted as the Write counts
	err      error                // why the message behind done is not stored; it may be tried again
	astray   string
	highest  uint64
	definite bool // what is behind done is not stored, or must be written again anyway
}

func (f *flight) outcome() outcome {
	f.mu.Lock()
	defer f.mu.Unlock()
	o := outcome{astray: f.astray, highest: f.highest, definite: f.settled}
	if f.fast {
		o.done = f.stored
		if f.failedAt == f.stored && f.settled {
			o.take(f.first+f.failedAt, f.err)
		} else if !f.settled {
			o.err = f.err
		}
		return o
	}
	for i, state := range f.states {
		switch state {
		case stateStored:
			o.done = i + 1
		case stateRefused:
			if o.take(f.first+i, f.refused[i]); o.err != nil {
				return o
			}
		default:
			return o
		}
	}
	return o
}

// take sorts a refusal: for good, or to be tried again.
func (o *outcome) take(index int, err error) {
	err = refusal(err)
	if !connectors.IsPermanent(err) {
		o.err = err
		return
	}
	o.refused = append(o.refused, connectors.Failure{Index: index, Err: err})
	o.done++
}
