package main

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/sluice-bridge/sluice/integration/proxy"
)

// networkStrikes are what is done to the way between the daemon and one end's brokers. None of it may
// double anything: what was not answered is asked for.
func networkStrikes(e *end) []*strike {
	var all []*strike
	for _, s := range []struct {
		name   string
		weight int
		do     func(context.Context, *proxy.Proxy, *rand.Rand)
	}{
		{"connections closed", 2, func(_ context.Context, p *proxy.Proxy, _ *rand.Rand) { p.Cut() }},
		{"connections reset", 2, func(_ context.Context, p *proxy.Proxy, _ *rand.Rand) { p.Reset() }},
		{"answers lost, then reset", 4, loseAnswers},
		{"requests lost, then reset", 2, loseRequests},
		{"nothing passes", 3, holdBoth},
		{"nothing passes to the broker", 2, func(ctx context.Context, p *proxy.Proxy, random *rand.Rand) { holdOne(ctx, p, random, proxy.ToServer) }},
		{"nothing passes to the daemon", 2, func(ctx context.Context, p *proxy.Proxy, random *rand.Rand) { holdOne(ctx, p, random, proxy.ToClient) }},
		{"connections refused", 2, refuse},
		{"slow", 1, slow},
		{"stutters as with loss", 2, stutter},
	} {
		all = append(all, &strike{name: e.name + ": " + s.name, weight: s.weight,
			do: func(ctx context.Context, _ *route, random *rand.Rand) (string, error) {
				if len(e.proxies) > 1 && random.IntN(2) == 0 { // of a cluster: the way to one broker
					s.do(ctx, e.proxies[random.IntN(len(e.proxies))], random)
					return "one broker", nil
				}
				done := make(chan struct{})
				for _, p := range e.proxies {
					own := rand.New(rand.NewPCG(random.Uint64(), random.Uint64()))
					go func() { s.do(ctx, p, own); done <- struct{}{} }()
				}
				for range e.proxies {
					<-done
				}
				return "", nil
			}})
	}
	return all
}

// moment is how long most faults of the network last.
func moment(ctx context.Context, random *rand.Rand) {
	_ = pause(ctx, between(random, 50*time.Millisecond, time.Second))
}

// loseAnswers lets the broker do what it is asked for, and never say so.
func loseAnswers(ctx context.Context, p *proxy.Proxy, random *rand.Rand) {
	lose(ctx, p, random, proxy.ToClient)
}

func loseRequests(ctx context.Context, p *proxy.Proxy, random *rand.Rand) {
	lose(ctx, p, random, proxy.ToServer)
}

func lose(ctx context.Context, p *proxy.Proxy, random *rand.Rand, way proxy.Way) {
	p.Hold(way)
	_ = pause(ctx, between(random, 10*time.Millisecond, 300*time.Millisecond))
	p.Reset()
	p.Open()
}

func holdBoth(ctx context.Context, p *proxy.Proxy, random *rand.Rand) {
	p.Block()
	moment(ctx, random)
	p.Open()
}

func holdOne(ctx context.Context, p *proxy.Proxy, random *rand.Rand, way proxy.Way) {
	p.Hold(way)
	moment(ctx, random)
	p.Open()
}

func refuse(ctx context.Context, p *proxy.Proxy, random *rand.Rand) {
	p.Refuse(true)
	p.Cut()
	moment(ctx, random)
	p.Refuse(false)
}

func slow(ctx context.Context, p *proxy.Proxy, random *rand.Rand) {
	p.Delay(between(random, 20*time.Millisecond, 100*time.Millisecond))
	moment(ctx, random)
	p.Delay(usualDelay)
}

// stutter holds one piece in ten for as long as TCP takes to send it again.
func stutter(ctx context.Context, p *proxy.Proxy, random *rand.Rand) {
	p.Slow(func() time.Duration {
		if rand.IntN(10) == 0 {
			return 200 * time.Millisecond
		}
		return usualDelay
	})
	moment(ctx, random)
	p.Delay(usualDelay)
}

// longStall holds the sink's answers for long enough to see what a daemon does that has nothing to do.
func longStall(e *end, d time.Duration) *strike {
	return &strike{name: e.name + ": nothing passes for long", do: func(ctx context.Context, _ *route, _ *rand.Rand) (string, error) {
		for _, p := range e.proxies {
			p.Block()
		}
		_ = pause(ctx, d)
		for _, p := range e.proxies {
			p.Open()
		}
		return "", nil
	}}
}
