package connectors

import (
	"context"
	"time"
)

// Source reads from an upstream system.
type Source interface {
	// Fetch waits for at least one message. It has one caller. Until the next call the source may
	// have asked for, hold and return at most room, plus the constant its documentation states. When
	// ctx ends it returns at once and loses nothing: the next call goes on without a hole. A source
	// is paused by not being called.
	//
	// Errors: *NoRoomError, io.EOF, Permanent and all others as the package comment says.
	Fetch(ctx context.Context, room Room) (*Batch, error)
	// Commit returns once upstream knows that the batches need never be delivered again. It gets
	// each batch once (again only if the call failed), in fetch order within its partition, with no
	// gap. One caller, concurrent with Fetch. It is called as soon as something has settled; a source
	// that wants fewer round trips waits inside Commit (at most 100 ms) and cuts that short at a
	// revoke and at Close. Batches of partitions that were lost meanwhile are ignored.
	Commit(ctx context.Context, done []*Batch) error
	// Close is called once, after the last Fetch and Commit have returned. ctx bounds how long it may
	// take to say goodbye upstream; resources are released whatever happens.
	Close(ctx context.Context) error
}

// Sink writes to a downstream system.
type Sink interface {
	// Write returns nil when downstream has acknowledged every message of batches, and not before.
	// The batches are of one lane and in order. Many lanes call at once, one Write a lane at a time:
	// what arrives meanwhile becomes the next, larger Write, so order holds by construction and a
	// sink may pipeline inside a Write and across lanes as it likes.
	//
	// A *BatchError lists what failed; everything else is acknowledged. It never acknowledges a
	// message behind one that failed retryably for the same place, for that would reorder.
	// After Write returned, by whatever way, the sink holds no slice of the messages. What only the
	// sink can retry without doubling (same bytes, same sequence) it retries itself, reports
	// Retrying, and returns an error only when the outcome is definite or given up.
	Write(ctx context.Context, batches []*Batch) error
	// Close is called once, after the last Write has returned.
	Close(ctx context.Context) error
}

// Host is what the bridge lends a connector. Its methods may be called from any goroutine, but never
// from inside Fetch, Commit or Write, except Gap and Report, which never block.
type Host interface {
	// Assign is called before a partition's first fetch. With known, the source starts at next; else
	// at its committed position or its configured start. From then on Fetch returns nothing that was
	// read under an earlier assignment of the partition.
	Assign(ctx context.Context, partition string) (next int64, known bool, err error)
	// Revoke waits until what is in flight of the partitions is acknowledged and committed, or ctx
	// ends, and cancels the rest: later acknowledgements of it are not committed. Lanes that are in
	// retry are not waited for.
	Revoke(ctx context.Context, partitions ...string)
	// Unpositioned is called where upstream has no committed position of a partition, before the source
	// begins at its configured start. at is what the partition holds. It waits while the sink is away, until
	// ctx ends. A Permanent error says that the sink holds messages of the partition: the source begins
	// nothing there and returns that error from Fetch, unless upstream has got a position meanwhile.
	Unpositioned(ctx context.Context, at Range) error
	// Gap says that source data [from, to) of a partition vanished before it was read. It is called
	// before anything behind it is returned, and never blocks; a gap that is reported again is the same
	// one. An error halts the route: the source returns nothing from behind the gap, whose beginning stays
	// its position. Without one the source goes on, and lets its position step over the gap as soon as all
	// before it is committed, so that the gap is not found again.
	Gap(partition string, from, to int64) error
	// Report tells the bridge what the connector sees. It never blocks.
	Report(Event)
}

// EventKind says what a connector reports.
type EventKind uint8

// What a connector may report. The zero value is not an event.
const (
	_            EventKind = iota
	Connected              // the broker answers
	Disconnected           // the broker is gone; Err says how
	Throttled              // the broker asks to slow down; Wait says for how long
	Retrying               // an attempt failed and is repeated by the connector itself; Err
	Rebalancing            // partitions are moving; ends with Assigned
	Assigned               // the assignment is settled
	Standby                // another instance owns the source; Text names it
	Active                 // this instance owns the source
	Halted                 // Partition (or all) needs an operator; Err says why
	Dropped                // N messages were lost or discarded by the connector; Text says where
	Refetched              // N bytes were fetched and thrown away because their partition is paused
)

// Event is one report. Only the fields its kind names are set.
type Event struct {
	Kind      EventKind
	Err       error
	Partition string
	N         int64
	Wait      time.Duration
	Text      string
}

// Pauser is a source that can pause one partition, so that one slow lane does not stop the others.
// It is called between two calls of Fetch, by the same goroutine. What the source holds of a paused
// partition it discards and fetches again later; it reports that as Refetched.
type Pauser interface {
	Pause(partition string)
	Resume(partition string)
}

// Recycler is a source that reuses payload memory. Recycle is called once a batch, when its last
// message is acknowledged and nobody holds a slice of it, from any goroutine, before Commit. The
// bridge clears Messages after it returns.
type Recycler interface {
	Recycle(*Batch)
}

// Lagger is a source that knows how much there is to read. Any goroutine; it does not block.
type Lagger interface {
	// Lag returns the messages not yet fetched; ok is false while unknown.
	Lag() (messages int64, ok bool)
}

// Forecaster is a source that knows how old what it has not fetched is, and when upstream removes it. Any
// goroutine; it does not block.
type Forecaster interface {
	Unread() Unread
}

// Unread is the oldest of what a source has not fetched.
type Unread struct {
	// Oldest is when the origin stored it, or the message before it; zero: nothing is unread, or it is not known.
	Oldest time.Time
	// Lost is when upstream removes it if nothing is fetched until then and as much is written as lately; zero:
	// never, or it is not known.
	Lost time.Time
	// Kept is how long upstream keeps a message that is written now, read or not, if as much is written as lately;
	// zero: for ever, or it is not known.
	Kept  time.Duration
	Limit string // what removes it then, such as "retention.ms of topic orders"
}

// Witness is a source or sink that can find out what its broker is at: who leads, which replicas are missing, how
// full it is. It is asked when the bridge waits for it and nothing comes, every few seconds, beside all other calls.
type Witness interface {
	// Evidence asks until ctx ends, which is soon, and says in one line what it found; that nobody answers is
	// evidence too. Empty: it has none.
	Evidence(ctx context.Context) string
}

// Restarter is a source that can begin anew with its broker, with new connections and a new session, at
// the position where it is. What is in flight stays so.
type Restarter interface {
	// Restart makes the source begin anew soon. It is called beside Fetch and does not block. False: that
	// cannot help at present, such as where all that may be delivered awaits its acknowledgement.
	Restart(why error) bool
}

// Positioner is a sink that stores the source's position atomically with the data (exactly once).
type Positioner interface {
	// Position tells the stored position of a partition; known is false where there is none.
	Position(ctx context.Context, partition string) (next int64, known bool, err error)
}

// Placer is a sink that knows what it writes to by the name that a source which reads it gives its
// batches as their Origin, without the partition: "kafka:<cluster>/orders", "nats:<cluster>/ORDERS".
type Placer interface {
	// Place waits until the name is known. An error is tried again, unless it is Permanent.
	Place(ctx context.Context) (string, error)
}

// Seeker is a source that can be told where to go on after ErrMoved.
type Seeker interface {
	Seek(partition string, next int64)
}

// Describer is a source or sink that can say what it is doing. Any goroutine; it does not block. The
// answer may change: a sink learns what its server offers once it is connected.
type Describer interface {
	Describe() Facts
}

// Facts are what a connector tells people: at start, in /status and in the README's words.
type Facts struct {
	Guarantee string   // what it promises and why, such as "at least once: ..."
	Order     string   // what order it keeps
	Touches   []string // what it creates or changes at the broker, such as "group sluice-orders"
	Backlog   string   // what a first start is about to move, such as "4 partitions, 1000000 messages, oldest 3h"
	Owner     string   // another instance that owns the source, if any
	Memory    int64    // bytes it may hold beyond the window
	MemoryFor string   // what Memory is, such as "1 broker x 1 MiB fetch"
}
