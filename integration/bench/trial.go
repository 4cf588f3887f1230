package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/sluice-bridge/sluice/integration/brokers"
	"github.com/sluice-bridge/sluice/integration/truth"
)

// trial is one process of a contender, from start to end.
type trial struct {
	*setting
	name          string // of the route, the group or the durable
	profile       string // file name, without its ending
	kafka, nats   string // where the contender finds them, host:port
	topic, stream string
	window        int    // messages; 0: the default
	telemetry     string // where Sluice sends it; empty: nowhere
}

// outcome is what a run measured.
type outcome struct {
	rate                     float64 // messages a second
	cost                     cost
	peak                     int64 // bytes
	lost, doubled, reordered int64
	checked                  bool // the sink was read again
}

const (
	// firstLook is how often the sink is asked for its first message, furtherLooks for its last.
	firstLook, furtherLooks = 10 * time.Millisecond, 100 * time.Millisecond
	// patience is how long nothing may arrive.
	patience = time.Minute
	// goodbye is how long a process may take to end.
	goodbye = 20 * time.Second
)

// measure runs a contender once.
func (b *bench) measure(ctx context.Context, c *contender, s *setting, round int) (*outcome, error) {
	r := b.newTrial(s, c, round)
	r.topic, r.stream = sourceTopic(s), sinkStream
	var to sink = &streamSink{js: b.js, url: b.nats.URL, name: sinkStream, subject: r.topic, batched: s.batched}
	if s.toKafka {
		r.topic, r.stream = fmt.Sprintf("sink-%d", b.trials), sourceStream(s)
		to = &topicSink{Topic: truth.Topic{Addr: b.kafka.Addr, Name: r.topic}, admin: b.admin}
	}
	if c.half == consumes {
		return b.measureConsuming(c, r)
	}
	if err := to.create(ctx); err != nil {
		return nil, err
	}
	defer func() { _ = to.remove(context.WithoutCancel(ctx)) }()
	o, err := b.measureSink(ctx, c, r, to)
	if err != nil {
		return nil, fmt.Errorf("%s, %s: %w", s, c.name, err)
	}
	t := newTally(s.messages, s.lanes)
	if err := to.read(ctx, t); err != nil {
		return nil, err
	}
	o.rate, o.checked = t.rate(), true
	o.lost, o.doubled, o.reordered = s.messages-t.arrived, t.doubled+t.odd, t.reordered
	return o, nil
}

// newTrial names the next run.
func (b *bench) newTrial(s *setting, c *contender, round int) *trial {
	b.trials++
	return &trial{
		setting: s, name: fmt.Sprintf("run%d", b.trials), profile: fmt.Sprintf("%s-%s-%d", slug(s.String()), slug(c.name), round),
		kafka: b.kafka.Addr, nats: b.address(),
	}
}

// measureSink runs the process until the sink is full.
func (b *bench) measureSink(ctx context.Context, c *contender, r *trial, to sink) (*outcome, error) {
	p, err := b.start(c, r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = p.Kill() }()
	n, err := await(ctx, to, 1, firstLook, patience, p.Exited())
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, p.Tail(20))
	}
	begin, err := b.read(p, n)
	if err != nil {
		return nil, err
	}
	if n, err = await(ctx, to, r.messages, furtherLooks, patience, p.Exited()); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, p.Tail(20))
	}
	end, err := b.read(p, n)
	if err != nil {
		return nil, err
	}
	// What is doubled may stand before what has not come yet.
	for before := int64(-1); before != n; {
		before = n
		time.Sleep(3 * furtherLooks)
		if n, err = to.count(ctx); err != nil {
			return nil, err
		}
	}
	_, peak, err := p.Resident()
	if err != nil {
		return nil, err
	}
	return &outcome{cost: end.since(&begin), peak: peak}, p.Stop(goodbye)
}

// measureConsuming runs a ceiling that has no sink and says itself what it measured.
func (b *bench) measureConsuming(c *contender, r *trial) (*outcome, error) {
	if r.toKafka {
		defer func() { _ = b.js.DeleteConsumer(context.Background(), r.stream, r.name) }()
	}
	p, err := b.start(c, r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = p.Kill() }()
	begin, err := b.read(p, 0)
	if err != nil {
		return nil, err
	}
	said, err := b.awaitWords(p)
	if err != nil {
		return nil, err
	}
	end, err := b.read(p, r.messages)
	if err != nil {
		return nil, err
	}
	_, peak, err := p.Resident()
	if err != nil {
		return nil, err
	}
	o := &outcome{rate: float64(said.Messages) / said.Wall.Seconds(), cost: end.since(&begin), peak: peak}
	o.cost.bridge = float64(said.CPU.Nanoseconds()) / 1e3 / float64(max(1, said.Messages))
	return o, p.Stop(goodbye)
}

// words are what a ceiling prints; see package ceiling.
type words struct {
	Messages  int64
	Wall, CPU time.Duration
}

func (b *bench) awaitWords(p *brokers.Process) (w words, err error) {
	for begin := time.Now(); time.Since(begin) < 2*patience; time.Sleep(furtherLooks) {
		text, err := os.ReadFile(p.Log)
		if err != nil {
			return w, err
		}
		if json.Unmarshal(text, &w) == nil {
			return w, nil
		}
		select {
		case <-p.Exited():
			return w, fmt.Errorf("%s ended: %s", p.Name, p.Tail(20))
		default:
		}
	}
	return w, fmt.Errorf("%s says nothing", p.Name)
}

// sourceTopic and sourceStream name what is read from, sinkStream what is written to.
func sourceTopic(s *setting) string {
	name := fmt.Sprintf("load-%d-%d-%d", s.size, s.lanes, s.messages)
	if s.traced {
		name += "-traced"
	}
	return name
}

func sourceStream(s *setting) string { return fmt.Sprintf("LOAD%dX%d", s.size, s.messages) }

const sinkStream = "SINK"
