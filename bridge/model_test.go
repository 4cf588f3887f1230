package bridge

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"sync"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
)

// world is a model of both brokers. It knows the truth, and notes every breach of an invariant. What
// goes wrong follows from the seed and the message, not from the order in which goroutines run, so that
// a seed reproduces.
type world struct {
	seed   uint64
	faults bool // false: everything works, for the end of a scenario
	window connectors.Room

	mu       sync.Mutex
	changed  chan struct{} // closed and replaced when there may be more to fetch
	parts    []*modelPartition
	breaches []string
}

type modelPartition struct {
	name      string
	total     int64
	committed int64
	owner     *modelSource // nil: revoked
	assigned  int          // how often it was assigned: the generation of its commits
	position  int64        // of the owner
	paused    bool
	revoking  bool           // not fetched any more, and its room may be given back at any moment
	inFlight  map[int64]bool // offsets fetched by the owner and not known to be acknowledged
	sink      []int64        // offsets in the order the sink took them
	have      map[int64]int  // how often
	letters   map[int64]int
	taken     map[int64]bool // what either sink took in this assignment
	allowed   map[int64]int  // how often a message may be doubled, by what really went wrong
	writing   bool
	attempts  map[int64]int
	commits   int
}

func newWorld(seed uint64, partitions int, messages int64, window connectors.Room) *world {
	w := &world{seed: seed, faults: true, window: window, changed: make(chan struct{})}
	for i := range partitions {
		w.parts = append(w.parts, &modelPartition{
			name: "p/" + strconv.Itoa(i), total: messages, inFlight: map[int64]bool{},
			have: map[int64]int{}, letters: map[int64]int{}, taken: map[int64]bool{}, allowed: map[int64]int{}, attempts: map[int64]int{},
		})
	}
	return w
}

// roll returns a number below n that depends on the seed and on what is asked only.
func (w *world) roll(n int, what ...any) int {
	h := fnv.New64a()
	fmt.Fprint(h, w.seed, what)
	x := h.Sum64()
	x ^= x >> 31 // FNV mixes its low bits poorly
	return int(x * 0x9e3779b97f4a7c15 >> 33 % uint64(n))
}

func (w *world) breach(format string, args ...any) {
	if len(w.breaches) < 10 {
		w.breaches = append(w.breaches, fmt.Sprintf(format, args...))
	}
}

func (w *world) find(name string) *modelPartition {
	for _, p := range w.parts {
		if p.name == name {
			return p
		}
	}
	return nil
}

func (w *world) wake() {
	close(w.changed)
	w.changed = make(chan struct{})
}

// refusedForGood reports whether the sink will never take a message.
func (w *world) refusedForGood(p string, offset int64) bool {
	return w.roll(150, "refuse", p, offset) == 0
}

// undecodable reports whether a message's bytes make no sense.
func (w *world) undecodable(p string, offset int64) bool { return w.roll(150, "bytes", p, offset) == 0 }

func (w *world) size(p string, offset int64) int64 {
	switch w.roll(200, "size", p, offset) {
	case 0:
		return w.window.Bytes * 2
	case 1, 2, 3:
		return w.window.Bytes / 3
	}
	return 10 + int64(w.roll(90, "small", p, offset))
}

func (w *world) outstanding() (messages int) {
	for _, p := range w.parts {
		if !p.revoking {
			messages += len(p.inFlight)
		}
	}
	return messages
}

func payload(p string, offset int64) string { return fmt.Sprintf("%s@%d", p, offset) }

// modelSource is one daemon's source.
type modelSource struct {
	w      *world
	host   connectors.Host
	next   int // partition to look at first
	dead   bool
	fetchN int
	// atClose is how many messages were in the sink and not committed when the source was closed.
	atClose int
	stop    context.CancelFunc
	member  sync.WaitGroup
}

func (w *world) openSource(_ context.Context, env connectors.Env) (connectors.Source, error) {
	s := &modelSource{w: w, host: env.Host}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.member.Go(func() { s.rebalance(ctx) })
	return s, nil
}

// rebalance gives the source its partitions and takes some away now and then.
func (s *modelSource) rebalance(ctx context.Context) {
	var names []string
	for _, p := range s.w.parts {
		names = append(names, p.name)
	}
	for round := 0; ctx.Err() == nil; round++ {
		for _, name := range names {
			if _, _, err := s.host.Assign(ctx, name); err != nil {
				return
			}
			s.own(name)
		}
		s.host.Report(connectors.Event{Kind: connectors.Connected})
		s.host.Report(connectors.Event{Kind: connectors.Assigned})
		pause := time.Duration(1+s.w.roll(20, "rebalance", round)) * time.Second
		if !sleep(ctx, pause) || !s.w.faulty() {
			return
		}
		names = names[:1+s.w.roll(len(s.w.parts), "lost", round)]
		s.host.Report(connectors.Event{Kind: connectors.Rebalancing})
		s.revoking(names)
		limit, cancel := context.WithTimeout(ctx, 2*time.Second)
		s.host.Revoke(limit, names...)
		cancel()
		for _, name := range names {
			s.disown(name)
		}
		if !sleep(ctx, time.Duration(max(0, s.w.roll(3000, "elsewhere", round)-1500))*time.Millisecond) {
			return
		}
	}
}

func (s *modelSource) revoking(names []string) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	for _, name := range names {
		s.w.find(name).revoking = true
	}
}

func (w *world) faulty() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.faults
}

func (s *modelSource) own(name string) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	p := s.w.find(name)
	if s.dead || p.owner == s {
		return
	}
	p.owner, p.position, p.paused, p.revoking = s, p.committed, false, false
	p.assigned++
	clear(p.inFlight)
	clear(p.taken)
	s.w.wake()
}

// disown is what a revoke does upstream. What the sink has and nobody committed may come again.
func (s *modelSource) disown(name string) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	p := s.w.find(name)
	if p.owner != s {
		return
	}
	p.owner = nil
	for o := p.committed; o < p.total; o++ {
		if p.have[o]+p.letters[o] > 0 || p.inFlight[o] {
			p.allowed[o]++
		}
	}
	clear(p.inFlight)
}

// kill makes the daemon's source and sink stop having any effect, as kill -9 does.
func (s *modelSource) kill() {
	for _, p := range s.w.parts {
		s.disown(p.name)
	}
	s.w.mu.Lock()
	s.dead = true
	s.w.mu.Unlock()
}

var errModel = errors.New("model: it failed")

func (s *modelSource) Fetch(ctx context.Context, room connectors.Room) (*connectors.Batch, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		s.w.mu.Lock()
		s.fetchN++
		if s.w.faults && s.w.roll(25, "fetch", s.fetchN) == 0 {
			s.w.mu.Unlock()
			return nil, errModel
		}
		b, err := s.take(room)
		changed := s.w.changed
		s.w.mu.Unlock()
		if b != nil {
			return s.arrive(ctx, b)
		}
		if err != nil {
			return nil, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// arrive lets the answer be on its way for a while, in which the partition may be revoked.
func (s *modelSource) arrive(ctx context.Context, b *connectors.Batch) (*connectors.Batch, error) {
	p, h := s.w.find(b.Partition), b.Handle.(*modelHandle)
	ok := true
	if s.w.roll(4, "late", p.name, h.from) == 0 {
		ok = sleep(ctx, time.Duration(s.w.roll(3000, "how late", p.name, h.from))*time.Millisecond)
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	switch {
	case h.assigned != p.assigned && p.owner == s:
		return nil, errModel // of an assignment before this one: the contract forbids to return it
	case p.owner != s || p.revoking: // and yet it arrives
	case !ok:
		p.position = h.from
	default:
		for _, m := range b.Messages {
			p.inFlight[m.Offset] = true
		}
	}
	if !ok {
		return nil, ctx.Err()
	}
	return b, nil
}

// take is called with w.mu held.
func (s *modelSource) take(room connectors.Room) (*connectors.Batch, error) {
	if room.Messages < 1 || room.Messages+s.w.outstanding() > s.w.window.Messages {
		s.w.breach("I3: Fetch with room for %d messages while %d of %d are in flight", room.Messages, s.w.outstanding(), s.w.window.Messages)
	}
	if room.Alone && s.w.outstanding() > 0 {
		s.w.breach("I2: Alone while %d messages are in flight", s.w.outstanding())
	}
	for i := range s.w.parts {
		p := s.w.parts[(s.next+i)%len(s.w.parts)]
		if p.owner != s || p.paused || p.revoking || p.position == p.total || s.dead {
			continue
		}
		s.next = (s.next + i + 1) % len(s.w.parts)
		return s.batch(p, room)
	}
	return nil, nil
}

func (s *modelSource) batch(p *modelPartition, room connectors.Room) (*connectors.Batch, error) {
	b := &connectors.Batch{Partition: p.name, Handle: &modelHandle{p.position, p.assigned}}
	limit := min(room.Messages, 1+s.w.roll(60, "batch", p.name, p.position))
	for o := p.position; o < p.total && len(b.Messages) < limit; o++ {
		size := s.w.size(p.name, o)
		if b.Memory+size > room.Bytes {
			switch {
			case len(b.Messages) > 0:
			case !room.Alone:
				return nil, &connectors.NoRoomError{Need: size}
			default:
				limit = 1
			}
			if len(b.Messages) > 0 {
				break
			}
		}
		if len(b.Messages) > 0 && s.w.undecodable(p.name, o) {
			break // it comes alone
		}
		b.Memory += size
		b.Messages = append(b.Messages, connectors.Message{Value: []byte(payload(p.name, o)), Offset: o})
		p.position = o + 1
		if s.w.undecodable(p.name, o) {
			b.Reject = errors.New("model: cannot be decoded")
			limit = 1
		}
	}
	b.Next = p.position
	return b, nil
}

type modelHandle struct {
	from     int64
	assigned int
}

// Recycle spoils the payload, so that whoever still holds it is found out.
func (s *modelSource) Recycle(b *connectors.Batch) {
	for _, m := range b.Messages {
		for i := range m.Value {
			m.Value[i] = '!'
		}
	}
}

func (s *modelSource) Pause(name string)  { s.pause(name, true) }
func (s *modelSource) Resume(name string) { s.pause(name, false) }

func (s *modelSource) pause(name string, paused bool) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.w.find(name).paused = paused
}

func (s *modelSource) Commit(ctx context.Context, done []*connectors.Batch) error {
	s.w.mu.Lock()
	fault := 99
	if s.w.faults && len(done) > 0 {
		p := s.w.find(done[0].Partition)
		p.commits++
		fault = s.w.roll(12, "commit", p.name, p.commits)
	}
	s.w.mu.Unlock()
	switch fault {
	case 0:
		return errModel
	case 1:
		if !sleep(ctx, 3*time.Second) {
			return ctx.Err()
		}
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if s.dead {
		return errModel
	}
	for _, b := range done {
		s.commitOne(b)
	}
	if fault == 2 {
		return errModel // and yet it was applied
	}
	return nil
}

func (s *modelSource) commitOne(b *connectors.Batch) {
	p, h := s.w.find(b.Partition), b.Handle.(*modelHandle)
	if p.owner != s || h.assigned != p.assigned {
		return // lost meanwhile
	}
	if h.from > p.committed {
		s.w.breach("I1: %s: commit from %d leaves a gap after %d", p.name, h.from, p.committed)
	}
	for o := h.from; o < b.Next; o++ {
		if p.have[o] == 0 && p.letters[o] == 0 {
			s.w.breach("I1: %s: offset %d is committed and in no sink", p.name, o)
		}
	}
	p.committed = max(p.committed, b.Next)
}

func (s *modelSource) Close(context.Context) error {
	s.stop()
	s.member.Wait()
	for _, p := range s.w.parts {
		s.atClose += s.left(p)
		s.disown(p.name)
	}
	return nil
}

// left returns how many messages of a partition were fetched and not committed.
func (s *modelSource) left(p *modelPartition) (messages int) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if p.owner != s || s.dead {
		return 0
	}
	for o := range p.taken {
		if o >= p.committed {
			messages++
		}
	}
	return messages + len(p.inFlight)
}

// sleep reports whether it slept to the end.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
