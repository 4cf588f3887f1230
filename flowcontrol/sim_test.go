package flowcontrol

import (
	"math"
	"math/rand/v2"
	"slices"
)

// The simulator plays a sink in discrete events, with seeds, so that the search for the limit can be
// judged without a broker and without waiting. Times are in seconds. What it plays are stylised sinks:
// they show what a search does, not what a broker does.

// simSink is how a sink behaves. Messages go through a network to servers with one queue, or to one
// server that takes what has come as a batch, and their acknowledgements come back.
type simSink struct {
	name           string
	servers        int
	serversAt      func(t float64) int // nil: servers
	service, sigma float64             // mean, and sigma of its logarithm
	fixed, each    float64             // of a batch, and for each of its messages
	batch          int                 // messages in a batch at most; 0: not batching
	net, jitter    float64             // round trip, and the share of it that is added at random
	pauseEvery     float64
	pause          float64
	congest        float64 // service takes 1 + queue/congest times as long; 0: always the same
	refuse         int     // messages in the sink beyond which it refuses, 0: never
	load, on, off  float64 // messages a second while on; 0: the source always has more
	lanes          int     // lanes that wait for each Write; 0: every message goes by itself
	most           float64 // the largest limit; 0: 16384
	sourceNet      float64 // how long a fetch takes
}

func (s *simSink) hard() float64 {
	if s.most > 0 {
		return s.most
	}
	return 16384
}

// A limiter says how much may be in flight.
type limiter interface {
	current() float64
	sample(now, messages, residence float64, pressed bool)
	throttled(now float64)
}

type static float64

func (s static) current() float64                     { return float64(s) }
func (static) sample(float64, float64, float64, bool) {}
func (static) throttled(float64)                      {}
func (k *knee) current() float64                      { return k.limit }

type simEvent struct {
	at   float64
	kind uint8
	i    int32 // a message, a lane or a flow
}

const (
	simAck     uint8 = iota // a message is acknowledged
	simArrive               // a message has arrived at a batching sink
	simBatch                // the batch is done
	simWrite                // the Write of a lane is acknowledged
	simFetch                // a fetch of a flow brings what it was asked for
	simTick                 // the source has more
	simRefused              // a message comes back
	simRetry                // and is sent again
)

// simHeap orders events, four children a node.
type simHeap []simEvent

func (h *simHeap) push(e simEvent) {
	a := append(*h, e)
	i := len(a) - 1
	for i > 0 {
		p := (i - 1) / 4
		if a[p].at <= e.at {
			break
		}
		a[i] = a[p]
		i = p
	}
	a[i] = e
	*h = a
}

func (h *simHeap) pop() simEvent {
	a := *h
	top, e := a[0], a[len(a)-1]
	a = a[:len(a)-1]
	*h = a
	for i := 0; len(a) > 0; {
		least := 4*i + 1
		if least >= len(a) {
			a[i] = e
			break
		}
		for c := least + 1; c < min(4*i+5, len(a)); c++ {
			if a[c].at < a[least].at {
				least = c
			}
		}
		if a[least].at >= e.at {
			a[i] = e
			break
		}
		a[i] = a[least]
		i = least
	}
	return top
}

type simMessage struct {
	admitted, arrived float64
	flow              int32
}

// simFlow is a window with its source, and the lanes behind it.
type simFlow struct {
	limiter  limiter
	used     int
	fetching int
	full     bool
	pressed  bool
	lanes    []simLane
	next     int // the lane that gets what is fetched next
	// What was acknowledged at this moment, which is one sample.
	messages  float64
	residence float64
	acked     int // in the measured time
}

type simLane struct {
	queue, out []simPiece
	queued     int
	busy       bool
}

type simPiece struct {
	at float64
	n  int
}

// sim is one run.
type sim struct {
	*simSink
	work     *rand.Rand // how long messages take: the same ones in each run of a sink, whatever its limit
	random   *rand.Rand // all else
	events   simHeap
	now      float64
	from     float64 // what is measured begins here
	flows    []simFlow
	messages []simMessage
	spare    []int32
	free     []float64 // when each server is free, a heap
	queue    []int32   // of a batching sink
	present  []int32   // its present batch
	working  bool
	inSink   int
	backlog  float64 // of a source that has not always more

	area, areaAt float64
	waits        []float64
	refused      int
	byTenth      []float64 // acknowledged in each tenth of a second
}

// simResult is what was measured.
type simResult struct {
	rate, inFlight float64
	wait           float64 // median of the time that messages wait in the sink
	fair           float64 // Jain's index of the flows' rates
	refused        float64 // per acknowledged message
	byTenth        []float64
}

// play runs a sink for to seconds and measures from from on.
func play(s *simSink, seed uint64, from, to float64, limiters ...limiter) simResult {
	x := &sim{simSink: s, work: rand.New(rand.NewPCG(seed, 3)), random: rand.New(rand.NewPCG(seed, 7)), from: from}
	for _, l := range limiters {
		x.flows = append(x.flows, simFlow{limiter: l, lanes: make([]simLane, s.lanes)})
	}
	if s.load > 0 {
		x.events.push(simEvent{0, simTick, 0})
	}
	for i := range x.flows {
		x.fetch(i)
	}
	for len(x.events) > 0 {
		e := x.events.pop()
		if e.at > x.now {
			x.report()
		}
		if e.at > to {
			break
		}
		x.now = e.at
		x.handle(e)
	}
	x.now = to
	x.account()
	return x.result(to - from)
}

func (x *sim) result(took float64) simResult {
	r := simResult{inFlight: x.area / took, byTenth: x.byTenth}
	acked, sum, squares := 0, 0.0, 0.0
	for i := range x.flows {
		n := float64(x.flows[i].acked)
		acked += x.flows[i].acked
		sum += n
		squares += n * n
	}
	r.rate = float64(acked) / took
	r.refused = float64(x.refused) / math.Max(1, float64(acked))
	r.fair = sum * sum / (float64(len(x.flows)) * squares)
	if len(x.waits) > 0 {
		slices.Sort(x.waits)
		r.wait = x.waits[len(x.waits)/2]
	}
	return r
}

func (x *sim) handle(e simEvent) {
	switch e.kind {
	case simAck:
		m := &x.messages[e.i]
		x.inSink--
		x.acknowledge(int(m.flow), 1, x.now-m.admitted)
		x.spare = append(x.spare, e.i)
	case simArrive:
		x.queue = append(x.queue, e.i)
		x.startBatch()
	case simBatch:
		x.working = false
		for _, i := range x.present {
			x.events.push(simEvent{x.now + x.oneWay(), simAck, i})
		}
		x.startBatch()
	case simWrite:
		x.writeDone(int(e.i))
	case simFetch:
		x.fetched(int(e.i))
	case simTick:
		if math.Mod(x.now, x.on+x.off) < x.on {
			x.backlog += x.load * 0.001
		}
		x.events.push(simEvent{x.now + 0.001, simTick, 0})
		x.fetch(0)
	case simRefused:
		x.inSink--
		x.refused++
		x.flows[x.messages[e.i].flow].limiter.throttled(x.now)
		x.events.push(simEvent{x.now + 0.02, simRetry, e.i})
	case simRetry:
		x.send(e.i)
	}
}

// report gives the search what was acknowledged at this moment, as one sample.
func (x *sim) report() {
	for i := range x.flows {
		f := &x.flows[i]
		if f.messages > 0 {
			f.limiter.sample(x.now, f.messages, f.residence/f.messages, f.pressed)
			f.messages, f.residence = 0, 0
			x.fetch(i)
		}
	}
}

func (x *sim) acknowledge(flow, messages int, residence float64) {
	x.account()
	f := &x.flows[flow]
	f.used -= messages
	f.messages += float64(messages)
	f.residence += float64(messages) * residence
	if x.now >= x.from {
		f.acked += messages
	}
	tenth := int(x.now * 10)
	for len(x.byTenth) <= tenth {
		x.byTenth = append(x.byTenth, 0)
	}
	x.byTenth[tenth] += float64(messages) * 10
	x.fetch(flow)
}

func (x *sim) account() {
	if x.now > x.from {
		used := 0
		for i := range x.flows {
			used += x.flows[i].used
		}
		x.area += float64(used) * (x.now - math.Max(x.areaAt, x.from))
	}
	x.areaAt = x.now
}

// fetch admits what the window allows: at once where messages go by themselves, as the bridge does where
// there are lanes.
func (x *sim) fetch(flow int) {
	f := &x.flows[flow]
	limit := int(math.Max(1, math.Round(f.limiter.current())))
	if x.lanes > 0 {
		x.fetchForLanes(f, flow, limit)
		return
	}
	for f.used < limit {
		if x.load > 0 {
			if x.backlog < 1 {
				f.pressed = false
				return
			}
			x.backlog--
		}
		x.account()
		f.used++
		i := x.alloc()
		x.messages[i] = simMessage{admitted: x.now, flow: int32(flow)}
		x.send(i)
	}
	f.pressed = true
}

func (x *sim) fetchForLanes(f *simFlow, flow, limit int) {
	if f.fetching > 0 {
		return
	}
	free := limit - f.used
	if f.full && free < max(1, limit/4) && f.used > 0 {
		return
	}
	f.full = free < max(1, limit/16) && f.used > 0
	if f.full {
		f.pressed = true
		return
	}
	part := 2
	if x.lanes > 1 {
		part = 4
	}
	f.fetching = min(free, max(1, limit/part))
	x.events.push(simEvent{x.now + x.sourceNet + float64(f.fetching)/1.5e6, simFetch, int32(flow)})
}

func (x *sim) fetched(flow int) {
	f := &x.flows[flow]
	x.account()
	f.used += f.fetching
	f.pressed = f.pressed || x.sourceNet > 0
	l := &f.lanes[f.next]
	l.queue = append(l.queue, simPiece{x.now, f.fetching})
	l.queued += f.fetching
	f.fetching = 0
	x.write(flow, f.next)
	f.next = (f.next + 1) % len(f.lanes)
	x.fetch(flow)
}

// write starts the next Write of a lane. A sink with lanes is one server.
func (x *sim) write(flow, lane int) {
	f := &x.flows[flow]
	l := &f.lanes[lane]
	if l.busy || l.queued == 0 {
		return
	}
	written := min(l.queued, max(1, int(f.limiter.current())/2))
	l.queued -= written
	l.out = l.out[:0]
	for left := written; left > 0; {
		p := &l.queue[0]
		n := min(left, p.n)
		l.out = append(l.out, simPiece{p.at, n})
		left -= n
		if p.n -= n; p.n == 0 {
			l.queue = l.queue[1:]
		}
	}
	l.busy = true
	if len(x.free) == 0 {
		x.free = []float64{0}
	}
	arrive := x.now + x.oneWay()
	begin := x.awake(math.Max(arrive, x.free[0]))
	took := x.service * float64(written) * x.vary()
	x.free[0] = x.awake(begin + took)
	x.waited(begin - arrive + took/2)
	x.events.push(simEvent{x.free[0] + x.oneWay(), simWrite, int32(flow*x.lanes + lane)})
}

func (x *sim) writeDone(i int) {
	flow, lane := i/x.lanes, i%x.lanes
	l := &x.flows[flow].lanes[lane]
	l.busy = false
	n, sum := 0, 0.0
	for _, p := range l.out {
		n += p.n
		sum += (x.now - p.at) * float64(p.n)
	}
	x.acknowledge(flow, n, sum/float64(n))
	x.write(flow, lane)
}
