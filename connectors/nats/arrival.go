package nats

import "sync"

// frame is one message of a subscription as the server sent it. Its strings and slices are of the block of
// its arrival.
type frame struct {
	subject, reply string
	body           []byte // the headers, "NATS/1.0..." with all its line ends, and the data
	headed         int32  // bytes of headers; 0: none
	of             int32  // which of the subjects that were subscribed to together
}

func (f *frame) head() []byte { return f.body[:f.headed:f.headed] }

func (f *frame) data() []byte { return f.body[f.headed:] }

// size is what the server counts: the subjects, the headers and the data.
func (f *frame) size() int { return len(f.subject) + len(f.reply) + len(f.body) }

// arrival is what came at one time for a subscription. Whoever got it releases it.
type arrival struct {
	frames []frame
	next   int    // the first that was not looked at; of the one who reads
	block  *block // nil: each frame is the collector's
	pool   *sync.Pool
}

// release lets go of an arrival and of its block.
func (a *arrival) release() {
	if a.block != nil {
		a.block.release()
	}
	clear(a.frames)
	a.frames, a.block, a.next = a.frames[:0], nil, 0
	a.pool.Put(a)
}

// join puts the frames of b behind those of a, and releases b, where they are of one block.
func (a *arrival) join(b *arrival) bool {
	if a.block != b.block || len(a.frames)+len(b.frames) > maxArrival {
		return false
	}
	a.frames = append(a.frames, b.frames...)
	b.release()
	return true
}

// maxArrival is how many frames come in one arrival, so that its reader can begin with them, and that those of
// a few frames do not take much.
const maxArrival = 64

// arrivalPool makes arrivals and takes them back.
type arrivalPool struct {
	pool sync.Pool
	room int // how many frames a new arrival has room for before it grows
}

func (p *arrivalPool) get(b *block) *arrival {
	a, _ := p.pool.Get().(*arrival)
	if a == nil {
		a = &arrival{pool: &p.pool, frames: make([]frame, 0, p.room)}
	}
	a.block = b
	if b != nil {
		b.hold()
	}
	return a
}

// arrivals is a queue between the goroutine that reads a connection and the one that looks at what came.
// What was asked for bounds it.
type arrivals struct {
	mu   sync.Mutex
	list []*arrival
	wake chan struct{} // capacity 1: holds one when something was put
}

func newArrivals() *arrivals { return &arrivals{wake: make(chan struct{}, 1)} }

// put takes an arrival over. What is of one block and was not taken yet becomes one, or a server that sends
// little at a time would have many of them in use.
func (q *arrivals) put(a *arrival) {
	q.mu.Lock()
	if n := len(q.list); n == 0 || !q.list[n-1].join(a) {
		q.list = append(q.list, a)
	}
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take moves what has come to the end of dst.
func (q *arrivals) take(dst []*arrival) []*arrival {
	q.mu.Lock()
	defer q.mu.Unlock()
	dst = append(dst, q.list...)
	clear(q.list)
	q.list = q.list[:0]
	return dst
}
