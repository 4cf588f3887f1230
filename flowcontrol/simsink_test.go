package flowcontrol

import (
	"fmt"
	"math"
	"math/rand/v2"
)

func (x *sim) alloc() int32 {
	if n := len(x.spare); n > 0 {
		i := x.spare[n-1]
		x.spare = x.spare[:n-1]
		return i
	}
	x.messages = append(x.messages, simMessage{})
	return int32(len(x.messages) - 1)
}

// send puts a message on its way into the sink.
func (x *sim) send(i int32) {
	x.inSink++
	m := &x.messages[i]
	m.arrived = x.now + x.oneWay()
	switch {
	case x.refuse > 0 && x.inSink > x.refuse:
		x.events.push(simEvent{m.arrived + x.oneWay(), simRefused, i})
	case x.batch > 0:
		x.events.push(simEvent{m.arrived, simArrive, i})
	default:
		x.events.push(simEvent{x.serve(m.arrived) + x.oneWay(), simAck, i})
	}
}

// serve returns when a message that arrives at t is done by the server that is free first.
func (x *sim) serve(t float64) float64 {
	servers := x.servers
	if x.serversAt != nil {
		servers = x.serversAt(x.now)
	}
	for len(x.free) < servers {
		x.free = append(x.free, t)
		for i := len(x.free) - 1; i > 0 && x.free[(i-1)/2] > x.free[i]; i = (i - 1) / 2 {
			x.free[i], x.free[(i-1)/2] = x.free[(i-1)/2], x.free[i]
		}
	}
	for len(x.free) > servers {
		last := len(x.free) - 1
		x.free[0] = x.free[last]
		x.free = x.free[:last]
		x.sink()
	}
	begin := x.awake(math.Max(t, x.free[0]))
	x.waited(begin - t)
	service := x.service * x.vary()
	if queue := float64(x.inSink - servers); x.congest > 0 && queue > 0 {
		service *= 1 + queue/x.congest
	}
	done := x.awake(begin + service)
	x.free[0] = done
	x.sink()
	return done
}

// sink restores the heap of servers from its root on.
func (x *sim) sink() {
	for i := 0; ; {
		least := 2*i + 1
		if least >= len(x.free) {
			return
		}
		if least+1 < len(x.free) && x.free[least+1] < x.free[least] {
			least++
		}
		if x.free[i] <= x.free[least] {
			return
		}
		x.free[i], x.free[least] = x.free[least], x.free[i]
		i = least
	}
}

func (x *sim) startBatch() {
	if x.working || len(x.queue) == 0 {
		return
	}
	n := min(x.batch, len(x.queue))
	x.present = append(x.present[:0], x.queue[:n]...)
	x.queue = append(x.queue[:0], x.queue[n:]...)
	begin := x.awake(x.now)
	for _, i := range x.present {
		x.waited(begin - x.messages[i].arrived)
	}
	x.working = true
	x.events.push(simEvent{x.awake(begin + (x.fixed+x.each*float64(n))*x.vary()), simBatch, 0})
}

// awake returns t, or the end of the pause that it falls into.
func (x *sim) awake(t float64) float64 {
	if x.pauseEvery == 0 {
		return t
	}
	begin := (math.Floor(t/x.pauseEvery) + 0.5) * x.pauseEvery
	if t >= begin && t < begin+x.pause {
		return begin + x.pause
	}
	return t
}

func (x *sim) oneWay() float64 {
	if x.jitter == 0 {
		return x.net / 2
	}
	return x.net / 2 * (1 + x.jitter*x.random.ExpFloat64())
}

func (x *sim) vary() float64 {
	if x.sigma == 0 {
		return 1
	}
	return math.Exp(x.sigma*x.work.NormFloat64() - x.sigma*x.sigma/2)
}

// waited notes how long some messages waited in the sink.
func (x *sim) waited(t float64) {
	if x.now >= x.from && x.random.IntN(8) == 0 {
		x.waits = append(x.waits, t)
	}
}

// designSinks are the sinks that the search was made with.
func designSinks() []simSink {
	a := simSink{name: "A, 32 servers", servers: 32, service: 0.004, sigma: 0.25, net: 0.002}
	c, d, h := a, a, a
	c.name, c.serversAt = "C, a quarter of A for 20 s", func(t float64) int {
		if t > 20 && t < 40 {
			return 8
		}
		return 32
	}
	d.name, d.pauseEvery, d.pause = "D, A with pauses", 2, 0.2
	h.name, h.load, h.on, h.off = "H, A in bursts", 8000*0.67*2, 1, 1
	return []simSink{
		a,
		{name: "B, heavy tail", servers: 64, service: 0.005, sigma: 1.2, net: 0.002},
		c, d,
		{name: "E, batches", fixed: 0.005, each: 10e-6, batch: 1000, net: 0.001},
		{name: "F, 80 ms away", servers: 100, service: 0.005, sigma: 0.25, net: 0.08},
		{name: "G, fast", servers: 4, service: 80e-6, sigma: 0.25, net: 0.0003},
		h,
	}
}

// laneSinks are lanes that wait for each Write: a Write takes the round trip and its messages' time.
func laneSinks() (all []simSink) {
	for _, c := range []struct {
		lanes int
		net   float64
		rate  float64
		most  float64
	}{
		{1, 0.0003, 300e3, 8192},
		{4, 0.0003, 300e3, 8192},
		{1, 0.02, 300e3, 8192},
		{1, 0.02, 300e3, 16384},
		{1, 0.02, 100e3, 8192},
		{1, 0.02, 450e3, 16384},
		{4, 0.02, 300e3, 8192},
		{4, 0.02, 300e3, 16384},
		{1, 0.08, 300e3, 8192},
		{1, 0.0003, 3e3, 8192},
	} {
		all = append(all, simSink{
			name:  fmt.Sprintf("%d lane(s), %g ms, %g/s, hard %g", c.lanes, 1000*c.net, c.rate, c.most),
			lanes: c.lanes, service: 1 / c.rate, sigma: 0.05, net: c.net, jitter: 0.02, most: c.most,
		})
	}
	return all
}

// drawSink draws a sink whose need is within its hard limit: three in ten take batches, two in ten pause.
func drawSink(r *rand.Rand) simSink {
	between := func(low, high float64) float64 { return low * math.Exp(r.Float64()*math.Log(high/low)) }
	for {
		s := simSink{net: between(0.0001, 0.1), jitter: r.Float64() * 0.5}
		var rate float64
		if r.Float64() < 0.3 {
			s.fixed, s.each, s.batch = between(0.0005, 0.02), between(1e-6, 2e-4), int(between(10, 3000))
			s.sigma = r.Float64() * 0.3
			rate = float64(s.batch) / (s.fixed + s.each*float64(s.batch))
		} else {
			s.servers, s.service, s.sigma = int(between(1, 129)), between(0.0001, 0.05), r.Float64()*1.3
			rate = float64(s.servers) / s.service
		}
		if r.Float64() < 0.2 {
			s.pauseEvery, s.pause = between(1, 5), between(0.02, 0.3)
		}
		if rate < 20 || rate > 60e3 || rate*(s.net+s.service+2*s.fixed) > 8000 {
			continue
		}
		s.name = fmt.Sprintf("%.0f/s, %d servers x %.2g ms, batch %d: %.2g ms + %.2g us, sigma %.2g, %.2g ms away, pause %.2g s every %.2g s",
			rate, s.servers, 1e3*s.service, s.batch, 1e3*s.fixed, 1e6*s.each, s.sigma, 1e3*s.net, s.pause, s.pauseEvery)
		return s
	}
}
