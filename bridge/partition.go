package bridge

import (
	"context"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/flowcontrol"
	"github.com/sluice-bridge/sluice/telemetry"
)

// partition is what a run knows of one partition: its lane, what is in flight, and what has settled.
type partition struct {
	name    string
	lane    *flowcontrol.Lane[*flight]
	tracker flowcontrol.Tracker[*flight]
	ctx     context.Context // ends the lane's writes when the partition is revoked
	cancel  context.CancelFunc
	done    chan struct{} // closed when the writer has ended; nil until it is started
	changed chan struct{} // capacity 1: a commit returned or a retry began; Revoke listens

	paused   atomic.Bool  // only the fetcher writes
	pausedAt atomic.Int64 // Unix nanoseconds
	gone     atomic.Bool  // revoked
	phase    atomic.Int32
	attempts atomic.Int32
	lastErr  atomic.Pointer[string]
	acked    atomic.Int64 // when the last Write was acknowledged, Unix nanoseconds
	oldest   atomic.Pointer[oldest]

	// Of the writer, to be read when it has ended: what it gave up.
	abandoned flowcontrol.Cost
	first     *oldest
}

// oldest is the oldest message a lane holds.
type oldest struct {
	fetched time.Time
	offset  int64
	trace   trace.SpanContext // of its producer, if that is sampled
}

func oldestOf(f *flight, m *connectors.Message) *oldest {
	_, sc := telemetry.PeekTraceparent(parentOf(m))
	return &oldest{f.fetched, m.Offset, sc}
}

// flight is a batch between Fetch and Commit. It has one owner at a time (I5): the fetcher until it is
// pushed, the lane's writer until it is finished, then the committer.
type flight struct {
	batch   *connectors.Batch
	cost    flowcontrol.Cost
	ticket  flowcontrol.Ticket
	fetched time.Time
	stored  time.Time // when the origin stored its first message; zero: not known
	left    int       // messages not yet acknowledged
}

// partition returns the state of a partition, with its writer running. It returns nil for one that
// was revoked.
func (n *run) partition(name string) *partition {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.partitions[name]
	switch {
	case p == nil && n.assigned:
		return nil
	case p == nil:
		p = n.addPartition(name)
	}
	if p.done == nil {
		p.done = make(chan struct{})
		n.writers.Add(1)
		n.group.Go(func() error {
			defer n.writers.Done()
			defer close(p.done)
			n.deliver(p)
			return nil
		})
	}
	return p
}

// addPartition is called with n.mu held. The writer starts with the first batch.
func (n *run) addPartition(name string) *partition {
	p := &partition{name: name, lane: flowcontrol.NewLane[*flight](), changed: make(chan struct{}, 1)}
	p.ctx, p.cancel = context.WithCancel(n.hard)
	p.acked.Store(time.Now().UnixNano())
	n.partitions[name] = p
	return p
}

func (n *run) lanes() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.partitions)
}

func (p *partition) enter(phase flowcontrol.Blocker) { p.phase.Store(int32(phase)) }

func (p *partition) inRetry() bool {
	return flowcontrol.Blocker(p.phase.Load()) == flowcontrol.BlockerRetry
}

func (p *partition) signal() {
	select {
	case p.changed <- struct{}{}:
	default:
	}
}
