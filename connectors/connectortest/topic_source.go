package connectortest

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/sluice-bridge/sluice/connectors"
)

// SourceSpec returns a source of the topic, ready to be opened. It starts at the committed positions.
func (t *Topic) SourceSpec() *connectors.SourceSpec {
	return &connectors.SourceSpec{
		Open: func(ctx context.Context, env connectors.Env) (connectors.Source, error) {
			return t.openSource(ctx, env)
		},
		Claims: []string{"memory topic " + t.name},
		Facts: connectors.Facts{
			Guarantee: "at least once: the position is committed after the sink's acknowledgement",
			Order:     "per partition",
		},
		Log: t.Log, Positions: t.Positions,
	}
}

// topicSource implements Source, Pauser, Recycler and Lagger.
type topicSource struct {
	topic *Topic
	host  connectors.Host
	stop  context.CancelFunc
	done  chan struct{} // closed when the assigning goroutine has ended; nil: there is none

	mu        sync.Mutex
	positions []position // as topic.partitions
	turn      int        // the partition to look at first
	free      []*payload
}

// position is where the source is in one partition.
type position struct {
	next       int64
	owned      bool
	paused     bool
	generation int
}

func (t *Topic) openSource(ctx context.Context, env connectors.Env) (*topicSource, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &topicSource{topic: t, host: env.Host, positions: make([]position, len(t.partitions))}
	for i, p := range t.partitions {
		s.positions[i] = position{next: p.committed, owned: !t.assign}
	}
	t.readers++
	if t.assign {
		life, stop := context.WithCancel(context.WithoutCancel(ctx))
		s.stop, s.done = stop, make(chan struct{})
		go s.member(life)
	}
	return s, nil
}

// member announces the partitions and carries out moves, as the goroutine of a group member would.
func (s *topicSource) member(ctx context.Context) {
	defer close(s.done)
	for i := range s.positions {
		s.take(ctx, i)
	}
	s.host.Report(connectors.Event{Kind: connectors.Assigned})
	for {
		changed := s.topic.watch()
		if m, ok := s.topic.nextMove(); ok {
			s.move(ctx, m)
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

func (t *Topic) nextMove() (m move, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.moves) == 0 {
		return m, false
	}
	m = t.moves[0]
	t.moves = t.moves[1:]
	return m, true
}

func (s *topicSource) move(ctx context.Context, m move) {
	defer close(m.done)
	s.host.Report(connectors.Event{Kind: connectors.Rebalancing})
	for i, p := range s.topic.partitions {
		if p.name != m.partition {
			continue
		}
		s.host.Revoke(ctx, p.name)
		s.mu.Lock()
		s.positions[i].owned = false
		s.positions[i].generation++
		s.mu.Unlock()
		s.take(ctx, i)
	}
	s.host.Report(connectors.Event{Kind: connectors.Assigned})
}

// take asks the bridge where to go on in a partition and starts there.
func (s *topicSource) take(ctx context.Context, i int) {
	p := s.topic.partitions[i]
	next, known, err := s.host.Assign(ctx, p.name)
	if err != nil {
		s.host.Report(connectors.Event{Kind: connectors.Halted, Partition: p.name, Err: err})
		return
	}
	if !known {
		var at *connectors.Range
		if next, at = s.topic.position(p.name); at != nil {
			if err := s.host.Unpositioned(ctx, *at); err != nil {
				s.host.Report(connectors.Event{Kind: connectors.Halted, Partition: p.name, Err: err})
				return
			}
		}
	}
	s.mu.Lock()
	s.positions[i].next, s.positions[i].owned, s.positions[i].paused = next, true, false
	s.mu.Unlock()
	s.topic.mu.Lock()
	s.topic.notify()
	s.topic.mu.Unlock()
}

// position returns a partition's committed position, or what the partition holds if there is none.
func (t *Topic) position(name string) (next int64, unknown *connectors.Range) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.find(name)
	if !p.known {
		return 0, &connectors.Range{Partition: p.name, Origin: p.origin, End: p.end}
	}
	return p.committed, nil
}

func (s *topicSource) Fetch(ctx context.Context, room connectors.Room) (*connectors.Batch, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		b, changed, err := s.tryFetch(room)
		if b != nil || err != nil {
			return b, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// tryFetch returns a batch, an error, or what to wait for.
func (s *topicSource) tryFetch(room connectors.Room) (*connectors.Batch, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topic
	t.mu.Lock()
	defer t.mu.Unlock()
	behind := false
	for n := range s.positions {
		i := (s.turn + n) % len(s.positions)
		at, p := &s.positions[i], t.partitions[i]
		if at.next >= p.end {
			continue
		}
		behind = true
		if !at.owned || at.paused {
			continue
		}
		count, size := fit(p, at.next, room, t.batch)
		if count == 0 {
			return nil, nil, &connectors.NoRoomError{Need: size}
		}
		l := &loan{payload: s.lend(), partition: i, generation: at.generation}
		l.payload.fill(p, at.next, count, size)
		l.batch = connectors.Batch{
			Partition: p.name, Origin: p.origin, Messages: l.payload.messages,
			Next: at.next + int64(count), Memory: size, Handle: l,
		}
		at.next = l.batch.Next
		s.turn = (i + 1) % len(s.positions)
		return &l.batch, nil, nil
	}
	if t.ended && !behind {
		return nil, nil, io.EOF
	}
	return nil, t.watchLocked(), nil
}

func (s *topicSource) lend() *payload {
	if last := len(s.free) - 1; last >= 0 {
		l := s.free[last]
		s.free = s.free[:last]
		return l
	}
	return &payload{}
}

// Recycle takes the payload back and overwrites it: whoever still holds a slice of it is found out.
func (s *topicSource) Recycle(b *connectors.Batch) {
	l := b.Handle.(*loan)
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.payload == nil {
		panic(fmt.Sprintf("connectortest: batch of %s up to %d is recycled twice", b.Partition, b.Next))
	}
	s.takeBack(l)
}

// takeBack is called with mu held.
func (s *topicSource) takeBack(l *loan) {
	p := l.payload
	l.payload = nil
	for i := range p.buffer {
		p.buffer[i] = scribble
	}
	clear(p.headers)
	clear(p.messages)
	s.free = append(s.free, p)
}

func (s *topicSource) Commit(ctx context.Context, done []*connectors.Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topic
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, b := range done {
		l := b.Handle.(*loan)
		// Invariant I9: what was fetched before a revoke is not committed after it.
		if l.generation == s.positions[l.partition].generation {
			p := t.partitions[l.partition]
			p.committed, p.known = b.Next, true
			p.commits++
		}
		if l.payload != nil {
			s.takeBack(l)
		}
	}
	t.notify()
	return nil
}

func (s *topicSource) Pause(name string)  { s.setPaused(name, true) }
func (s *topicSource) Resume(name string) { s.setPaused(name, false) }

func (s *topicSource) setPaused(name string, paused bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, p := range s.topic.partitions {
		if p.name == name {
			s.positions[i].paused = paused
		}
	}
}

func (s *topicSource) Lag() (messages int64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.topic.mu.Lock()
	defer s.topic.mu.Unlock()
	for i := range s.positions {
		messages += max(0, s.topic.partitions[i].end-s.positions[i].next)
	}
	return messages, true
}

func (s *topicSource) Close(context.Context) error {
	if s.stop != nil {
		s.stop()
		<-s.done
	}
	s.topic.mu.Lock()
	defer s.topic.mu.Unlock()
	s.topic.readers--
	return nil
}
