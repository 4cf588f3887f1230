package connectortest

import (
	"bytes"
	"context"
	"slices"
	"strconv"
	"sync"

	"github.com/sluice-bridge/sluice/connectors"
)

// Topic is a log in memory. It plays the broker: sources and sinks are opened on it and closed again,
// what it holds stays. All methods may be called from any goroutine.
type Topic struct {
	name   string
	assign bool

	mu         sync.Mutex
	partitions []*partition
	ended      bool
	readers    int // sources that are open
	discard    bool
	batch      int
	moves      []move            // partitions to take from the sources, in order
	changed    chan struct{}     // closed at the next change; nil while nobody waits
	copies     map[string]*Topic // what is read back, by the name of its position
}

// partition is guarded by the topic's mutex.
type partition struct {
	name      string
	origin    string // as Batch.Origin
	log       []connectors.Message
	origins   []string // of the batches in which a sink wrote them, as log; empty: put
	end       int64    // len(log), or more when the log repeats
	committed int64
	known     bool  // something was committed, or set
	commits   int64 // calls that moved committed
	written   int64
}

func newPartition(name string) *partition { return &partition{name: name, origin: "memory:" + name} }

type move struct {
	partition string
	done      chan struct{}
}

// TopicOption changes a topic at its making.
type TopicOption func(*Topic)

// WithAssign lets the topic's sources announce their partitions through Host.Assign, as a member of
// a consumer group does, and makes Topic.Move possible.
func WithAssign() TopicOption { return func(t *Topic) { t.assign = true } }

// WithDiscard lets the topic's sinks count what is written and keep nothing; for benchmarks.
func WithDiscard() TopicOption { return func(t *Topic) { t.discard = true } }

// WithBatch bounds the messages of one Fetch; 512 without it.
func WithBatch(messages int) TopicOption { return func(t *Topic) { t.batch = messages } }

// NewTopic returns an empty topic with partitions "name/0", "name/1" and so on. A sink adds the
// partitions it is given.
func NewTopic(name string, partitions int, options ...TopicOption) *Topic {
	t := &Topic{name: name, batch: 512}
	for _, o := range options {
		o(t)
	}
	for i := range partitions {
		t.partitions = append(t.partitions, newPartition(name+"/"+strconv.Itoa(i)))
	}
	return t
}

// Name returns the topic's name.
func (t *Topic) Name() string { return t.name }

// Put appends copies of messages to a partition, by its number. Their Offset is set by the log, their
// Subject to the topic's name where it is empty.
func (t *Topic) Put(number int, messages ...connectors.Message) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.partitions[number]
	for i := range messages {
		m := clone(&messages[i])
		if m.Subject == "" {
			m.Subject = t.name
		}
		m.Offset = int64(len(p.log))
		p.log, p.origins = append(p.log, m), append(p.origins, "")
	}
	p.end = int64(len(p.log))
	t.notify()
}

// Repeat lets each partition serve total messages by going through its log again and again, so that a
// benchmark's upstream costs no memory.
func (t *Topic) Repeat(total int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.partitions {
		if len(p.log) > 0 {
			p.end = total
		}
	}
	t.notify()
}

// End lets sources return io.EOF once everything is fetched.
func (t *Topic) End() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	t.notify()
}

// Messages returns copies of what a partition holds, by its name. What a sink wrote keeps the offset
// and subject it came with.
func (t *Topic) Messages(name string) []connectors.Message {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.find(name)
	if p == nil {
		return nil
	}
	all := make([]connectors.Message, len(p.log))
	for i := range p.log {
		all[i] = clone(&p.log[i])
	}
	return all
}

// Partitions returns the partitions' names.
func (t *Topic) Partitions() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	names := make([]string, len(t.partitions))
	for i, p := range t.partitions {
		names[i] = p.name
	}
	return names
}

// Written returns how many messages sinks have written.
func (t *Topic) Written() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sum(func(p *partition) int64 { return p.written })
}

// Committed returns a partition's committed position, by its name.
func (t *Topic) Committed(name string) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.find(name); p != nil {
		return p.committed
	}
	return 0
}

// CommittedSum returns the sum of the committed positions.
func (t *Topic) CommittedSum() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sum(func(p *partition) int64 { return p.committed })
}

// Await waits until ok is true, which it asks after each change, or ctx ends, whose error it returns.
func (t *Topic) Await(ctx context.Context, ok func() bool) error {
	for {
		changed := t.watch()
		if ok() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// AwaitWritten waits until sinks have written at least n messages.
func (t *Topic) AwaitWritten(ctx context.Context, n int64) error {
	return t.Await(ctx, func() bool { return t.Written() >= n })
}

// AwaitCommitted waits until the committed positions sum to at least n.
func (t *Topic) AwaitCommitted(ctx context.Context, n int64) error {
	return t.Await(ctx, func() bool { return t.CommittedSum() >= n })
}

// Move takes a partition, by its name, from the open source, which calls Host.Revoke, and gives it
// back: the source goes on at the committed position. It returns when that is done or ctx ends. Only
// for topics made WithAssign.
func (t *Topic) Move(ctx context.Context, name string) error {
	m := move{partition: name, done: make(chan struct{})}
	t.mu.Lock()
	t.moves = append(t.moves, m)
	t.notify()
	t.mu.Unlock()
	select {
	case <-m.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t *Topic) watch() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.watchLocked()
}

func (t *Topic) watchLocked() <-chan struct{} {
	if t.changed == nil {
		t.changed = make(chan struct{})
	}
	return t.changed
}

// notify is called with mu held.
func (t *Topic) notify() {
	if t.changed != nil {
		close(t.changed)
		t.changed = nil
	}
}

// find is called with mu held.
func (t *Topic) find(name string) *partition {
	for _, p := range t.partitions {
		if p.name == name {
			return p
		}
	}
	return nil
}

func (t *Topic) sum(of func(*partition) int64) (n int64) {
	for _, p := range t.partitions {
		n += of(p)
	}
	return n
}

func clone(m *connectors.Message) connectors.Message {
	c := *m
	c.Key, c.Value = bytes.Clone(m.Key), bytes.Clone(m.Value)
	c.Headers = slices.Clone(m.Headers)
	for i := range c.Headers {
		c.Headers[i].Value = bytes.Clone(c.Headers[i].Value)
	}
	return c
}
