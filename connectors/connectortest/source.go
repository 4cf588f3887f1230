package connectortest

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"github.com/sluice-bridge/sluice/connectors"
)

// SourceHarness tells the suite how to reach a source and what is upstream of it.
type SourceHarness struct {
	// New prepares an upstream that is empty and that no other check uses; t.Cleanup takes it down.
	New func(t testing.TB) Upstream
	Settings
}

// Upstream is one place to read from.
type Upstream struct {
	// Spec returns a checked source. All of an upstream's specs share one committed position.
	Spec func(t testing.TB) *connectors.SourceSpec
	// Put stores messages upstream, in order, without the connector's help. Partition is below
	// Partitions. It returns once upstream has them.
	Put func(t testing.TB, partition int, messages ...connectors.Message)
	// Partitions is how many partitions Put can choose from; 0: one.
	Partitions int

	// Ends says that the source returns io.EOF when everything that was put has been fetched.
	Ends bool

	// The rest is optional; checks that need what is nil are skipped.

	// Break takes the broker away, Mend brings it back with all that it had stored. The test's end
	// may find it broken.
	Break, Mend func(t testing.TB)
	// Rebalance makes upstream take partitions from the open source and give them back. It returns
	// when that has begun.
	Rebalance func(t testing.TB)
	// End says that nothing more will be put: Fetch then returns io.EOF.
	End func(t testing.TB)
}

// Source runs the suite against a source.
func Source(t *testing.T, h SourceHarness) {
	h.setDefaults()
	for _, c := range sourceChecks() {
		t.Run(c.name, func(t *testing.T) { runSourceCheck(t, h, c.run) })
	}
}

type sourceCheck struct {
	name string
	run  func(*sourceRun)
}

func sourceChecks() []sourceCheck {
	return []sourceCheck{
		{"order", checkSourceOrder},
		{"fields", checkSourceFields},
		{"room", checkSourceRoom},
		{"oversize", checkSourceOversize},
		{"interrupted", checkSourceInterrupted},
		{"cancelled", checkSourceCancelled},
		{"commit", checkSourceCommit},
		{"redelivery", checkSourceRedelivery},
		{"held", checkSourceHeld},
		{"close", checkSourceClose},
		{"end", checkSourceEnd},
		{"outage", checkSourceOutage},
		{"away at start", checkSourceAwayAtStart},
		{"rebalance", checkSourceRebalance},
		{"committed", withPositions(checkSourceCommitted)},
		{"set", withPositions(checkSourceSet)},
	}
}

// sourceRun is one check under way. It does what the bridge does, one message after the other.
type sourceRun struct {
	testing.TB
	h    SourceHarness
	up   Upstream
	ctx  context.Context
	host *Host

	source connectors.Source
	spec   *connectors.SourceSpec
	last   map[string]int64 // the highest offset fetched, by partition
	names  map[int]string   // the source's name of a partition, by number
	again  bool             // what came once may come again

	onRevoke func(ctx context.Context, partitions ...string) // of the host
}

func runSourceCheck(t testing.TB, h SourceHarness, run func(*sourceRun)) {
	ctx, cancel := context.WithTimeout(t.Context(), h.Timeout)
	defer cancel()
	up := h.New(t)
	up.Partitions = max(1, up.Partitions)
	before := goleak.IgnoreCurrent()
	r := &sourceRun{TB: t, h: h, up: up, ctx: ctx}
	t.Cleanup(func() {
		if r.source != nil {
			h.abandon(r.source)
		}
	})
	run(r)
	if r.source != nil {
		r.close()
	}
	if t.Failed() {
		return
	}
	h.noLeak(t, before)
}

// open opens a source; the one before must be closed.
func (r *sourceRun) open() {
	r.Helper()
	r.host, r.spec = NewHost(), r.up.Spec(r)
	r.host.OnRevoke = r.onRevoke
	r.last, r.names = map[string]int64{}, map[int]string{}
	s, err := r.spec.Open(r.ctx, r.h.environment(r, r.host))
	if err != nil {
		r.Fatalf("Open: %v", err)
	}
	r.source = s
}

// begin opens the source and puts messages upstream: before, or where there is no backlog as soon as
// the source is connected.
func (r *sourceRun) begin(put func()) {
	r.Helper()
	if !r.h.Lacks.has(Backlog) {
		put()
		r.open()
		return
	}
	r.open()
	for r.spec.Remote && !connected(r.host) {
		ctx, cancel := context.WithTimeout(r.ctx, r.h.Grace/100)
		if b, err := r.call(ctx, wideRoom()); b != nil || errors.Is(err, io.EOF) || r.ctx.Err() != nil {
			r.Fatalf("Fetch on an empty upstream, before Connected was reported: %v, %v", b, err)
		}
		<-ctx.Done()
		cancel()
	}
	put()
}

func connected(h *Host) bool {
	return slices.ContainsFunc(h.Events(), func(e connectors.Event) bool { return e.Kind == connectors.Connected })
}

// close closes the source, within its time.
func (r *sourceRun) close() {
	r.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), r.h.Grace)
	defer cancel()
	source := r.source
	r.source = nil
	if err := within(ctx, r, r.h.Grace, "Close", func() error { return source.Close(ctx) }); err != nil {
		r.Errorf("Close: %v", err)
	}
	for _, fault := range r.host.callFaults() {
		r.Errorf("%s: the bridge may wait in it for that call to end", fault)
	}
}

func wideRoom() connectors.Room { return connectors.Room{Messages: 4096, Bytes: 64 << 20, Alone: true} }

type fetched struct {
	batch *connectors.Batch
	err   error
}

// insideFetch and insideCommit are looked for by name in the stack of Host's callers.
func insideFetch(ctx context.Context, s connectors.Source, room connectors.Room) fetched {
	b, err := s.Fetch(ctx, room)
	return fetched{b, err}
}

func insideCommit(ctx context.Context, s connectors.Source, done []*connectors.Batch) error {
	return s.Commit(ctx, done)
}

// call is one Fetch whose answer is checked for what holds always.
func (r *sourceRun) call(ctx context.Context, room connectors.Room) (*connectors.Batch, error) {
	r.Helper()
	source := r.source
	f := within(ctx, r, r.h.Grace, "Fetch", func() fetched { return insideFetch(ctx, source, room) })
	switch {
	case f.batch != nil && f.err != nil:
		r.Fatalf("Fetch returned a batch and an error: %v", f.err)
	case f.batch == nil && f.err == nil:
		r.Fatalf("Fetch returned neither a batch nor an error")
	case connectors.IsPermanent(f.err):
		r.Fatalf("Fetch: permanent error without a cause: %v", f.err)
	case f.batch != nil:
		r.inspect(f.batch, room)
	}
	return f.batch, f.err
}

// inspect checks a batch against its own rules and the room.
func (r *sourceRun) inspect(b *connectors.Batch, room connectors.Room) {
	r.Helper()
	n := len(b.Messages)
	if n == 0 {
		r.Fatalf("Fetch returned a batch without messages")
	}
	if n > room.Messages {
		r.Errorf("Fetch returned %d messages into room for %d", n, room.Messages)
	}
	over := room.Bytes + r.constant()
	if b.Memory > over && (!room.Alone || n > 1) {
		r.Errorf("Fetch returned %d bytes in %d messages into room for %d and a constant of %d", b.Memory, n, room.Bytes, r.constant())
	}
	var payload int64
	last, seen := r.last[b.Partition]
	seen = seen && !r.again
	for i := range b.Messages {
		m := &b.Messages[i]
		payload += int64(len(m.Key) + len(m.Value))
		for _, h := range m.Headers {
			payload += int64(len(h.Key) + len(h.Value))
		}
		if (seen || i > 0) && m.Offset <= last && !r.h.Lacks.has(Order) {
			r.Errorf("%s: offset %d follows %d", b.Partition, m.Offset, last)
		}
		last = m.Offset
	}
	r.last[b.Partition] = last
	if b.Next <= last {
		r.Errorf("%s: Next is %d with a message at %d", b.Partition, b.Next, last)
	}
	if b.Memory < payload {
		r.Errorf("%s: Memory is %d for a payload of %d bytes", b.Partition, b.Memory, payload)
	}
	if assigned := r.host.Assigned(); len(assigned) > 0 && !slices.Contains(assigned, b.Partition) {
		r.Errorf("%s was fetched from and never announced by Host.Assign", b.Partition)
	}
}

// constant is what the source says it may hold beyond the room.
func (r *sourceRun) constant() int64 {
	n := r.spec.Facts.Memory
	if d, ok := r.source.(connectors.Describer); ok {
		n = max(n, d.Describe().Memory)
	}
	return n
}

// fetch fetches as the bridge does: errors are tried again, and a message that finds no room gets it.
func (r *sourceRun) fetch(room connectors.Room) *connectors.Batch {
	r.Helper()
	for {
		b, err := r.call(r.ctx, room)
		var noRoom *connectors.NoRoomError
		switch {
		case err == nil:
			return b
		case errors.As(err, &noRoom):
			if noRoom.Need <= room.Bytes {
				r.Fatalf("Fetch: %v, and was given %d", err, room.Bytes)
			}
			room.Bytes = noRoom.Need
		case r.ctx.Err() != nil || errors.Is(err, io.EOF):
			r.Fatalf("Fetch: %v, and there is more to fetch", err)
		default:
			pause(r.ctx)
		}
	}
}

// commit commits as the bridge does: the payload goes back first, and failures are tried again.
func (r *sourceRun) commit(done ...*connectors.Batch) {
	r.Helper()
	for _, b := range done {
		r.giveBack(b)
	}
	source := r.source
	for {
		err := within(r.ctx, r, r.h.Grace, "Commit", func() error { return insideCommit(r.ctx, source, done) })
		if err == nil {
			return
		}
		if r.ctx.Err() != nil || connectors.IsPermanent(err) {
			r.Fatalf("Commit: %v", err)
		}
		pause(r.ctx)
	}
}

func (r *sourceRun) giveBack(b *connectors.Batch) {
	if c, ok := r.source.(connectors.Recycler); ok {
		c.Recycle(b)
	}
	b.Messages = nil
}
