package kafka

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/kafka/wire"
)

// producer sends what the Writes of a sink have queued. Each target partition has a queue of parts, of
// which the first is being sent; a broker gets what its partitions have ready as one request. The state
// is guarded by mu, which is never held across I/O or encoding.
type producer struct {
	conn   *conn
	mapper *mapper
	codec  wire.Codec
	limit  int // bytes of a batch
	// patience is defaultPatience but in tests.
	patience time.Duration
	log      zerolog.Logger

	ctx     context.Context //nolint:containedctx // the producer's own life: it ends at close
	stop    context.CancelFunc
	wg      sync.WaitGroup
	kick    chan struct{}                         // capacity 1: the watcher shall ask for metadata
	topics  atomic.Pointer[map[string]*sinkTopic] // copied on change
	request sync.Pool                             // *request

	mu         sync.Mutex
	closed     bool
	targets    int // made so far
	leads      map[int32]*lead
	identity   wire.Producer
	generation int // of identity; 0: there is none yet
}

// sinkTopic is a topic that is written to. It is never changed once it is visible.
type sinkTopic struct {
	meta    *topic
	targets []*target
	limit   *limit
}

// limit is how large a topic's batches are made, in bytes; less once it refused one as too large. Guarded
// by producer.mu.
type limit struct{ bytes, most int }

// target is a partition that is written to.
type target struct {
	id     int // dense, so that a write can keep an array by target
	topic  string
	number int32
	limit  *limit

	// All below is guarded by producer.mu.
	leader   int32
	queue    []*part // the first is being sent unless state is idle
	state    targetState
	attempts int       // failed in a row
	since    time.Time // of the first of them

	producer   wire.Producer
	generation int   // of producer; 0: needs one
	atLeast    int   // the generation it needs, if later: the present one is spoiled here
	sequence   int32 // of the next batch
	last       int64 // highest offset acknowledged, -1: none
	rewound    *rewind
}

type targetState uint8

const (
	targetIdle  targetState = iota // nothing to send
	targetReady                    // in its leader's list
	targetBusy                     // a request is under way
	targetWaits                    // for the end of a backoff
)

// lead is what is known of a broker as a leader.
type lead struct {
	node  int32
	ready []*target
	busy  int // requests under way
}

func newProducer(c *conn, m *mapper, codec wire.Codec, limit int, log zerolog.Logger) *producer {
	p := &producer{
		conn: c, mapper: m, codec: codec, limit: limit, patience: defaultPatience, log: log,
		kick: make(chan struct{}, 1), leads: map[int32]*lead{},
	}
	p.ctx, p.stop = context.WithCancel(context.Background())
	p.topics.Store(&map[string]*sinkTopic{})
	p.request.New = func() any { return &request{encoder: wire.NewEncoder(codec)} }
	return p
}

// close ends what is under way. No Write is waiting any more.
func (p *producer) close(ctx context.Context) error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.stop()
	ended := make(chan struct{})
	go func() { p.wg.Wait(); close(ended) }()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// enqueue hands w over: w.finished gets a token when all its parts are done.
func (p *producer) enqueue(w *write) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w.left = len(w.parts)
	// First all parts, then the requests, so that a broker gets its share of the Write as one.
	for i := range w.parts {
		t := w.parts[i].target
		t.queue = append(t.queue, &w.parts[i])
		p.ready(t)
	}
	p.pump()
}

// abandon takes w back at the hard end of a Write: afterwards nobody reads its messages. A batch whose
// outcome is open spoils the sequence of its target, so that nothing later can be taken for it.
func (p *producer) abandon(w *write) {
	p.mu.Lock()
	w.abandoned = true
	for i := range w.parts {
		part := &w.parts[i]
		t := part.target
		at := slices.Index(t.queue, part)
		if at < 0 || at == 0 && t.state == targetBusy {
			continue // done, or its request is under way and settles it
		}
		if part.doubt {
			t.spoil()
		}
		t.queue = slices.Delete(t.queue, at, at+1)
	}
	var released chan struct{}
	if w.encoding > 0 {
		released = make(chan struct{})
		w.released = released
	}
	p.mu.Unlock()
	if released != nil {
		<-released // encoding is a matter of milliseconds
	}
}

// ready puts a target that has something to send into its leader's list. p.mu is held.
func (p *producer) ready(t *target) {
	if t.state != targetIdle || len(t.queue) == 0 || p.closed {
		return
	}
	if t.leader < 0 {
		p.retry(t.queue[0], outcome{unsent: true, err: codeError(codeLeaderNotAvailable, "%s/%d", t.topic, t.number)})
		return
	}
	l := p.leads[t.leader]
	if l == nil {
		l = &lead{node: t.leader}
		p.leads[t.leader] = l
	}
	t.state = targetReady
	l.ready = append(l.ready, t)
}

// pump starts the requests that can be started. p.mu is held.
func (p *producer) pump() {
	for _, l := range p.leads {
		for l.busy < requestsPerBroker && !p.closed {
			r := p.compose(l)
			if r == nil {
				break
			}
			l.busy++
			p.wg.Add(1)
			go p.exchange(l, r)
		}
	}
}

// compose takes what is ready into one request, nil if nothing is. p.mu is held.
func (p *producer) compose(l *lead) *request {
	var r *request
	size, taken := 0, 0
	for _, t := range l.ready {
		if size >= requestBytes {
			break
		}
		taken++
		t.state = targetIdle
		if len(t.queue) == 0 {
			continue // its Write was given up
		}
		part := t.queue[0]
		n := part.seal(t.limit.bytes)
		if r != nil && size+n > max(requestBytes, p.limit) {
			part.unseal()
			t.state = targetReady
			taken--
			break
		}
		if r == nil {
			r = p.request.Get().(*request)
		}
		t.state = targetBusy
		size += n
		part.write.encoding++
		r.parts = append(r.parts, part)
		r.size = size
	}
	l.ready = slices.Delete(l.ready, 0, taken)
	return r
}

// seal cuts the next batch of a part, unless it already has one, and returns its size.
func (p *part) seal(limit int) int {
	size, n := wire.BatchOverhead, 0
	for _, i := range p.order[p.done:] {
		next := int(p.write.items[i].size)
		if p.sealed > 0 && n == p.sealed || p.sealed == 0 && n > 0 && (size+next > limit || n == p.atMost) {
			break
		}
		size += next
		n++
	}
	p.sealed = n
	return size
}

// unseal undoes seal where the batch was never sent.
func (p *part) unseal() {
	if !p.doubt {
		p.sealed = 0
	}
}

// backoff bounds the wait between attempts, which grows with their number.
const (
	firstBackoff = 50 * time.Millisecond
	lastBackoff  = 2 * time.Second
)

// again lets a target wait before its next attempt and reports why. p.mu is held.
func (p *producer) again(t *target, err error) {
	t.state = targetWaits
	t.attempts++
	if t.attempts == 1 {
		t.since = time.Now()
	}
	p.conn.report(connectors.Event{Kind: connectors.Retrying, Err: err}) // each time: a connection may have been made since
	time.AfterFunc(jitter(t.attempts), func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		t.state = targetIdle
		p.ready(t)
		p.pump()
	})
	p.refreshSoon()
}

func (p *producer) refreshSoon() {
	select {
	case p.kick <- struct{}{}:
	default:
	}
}
