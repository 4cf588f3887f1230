package connectors

import (
	"context"
	"time"
)

// Log is one end of a route read again from outside the route: by the operator who compares both ends or
// looks at dead letters, and by the bridge, which asks how far a sink holds a source. Reading it joins
// no group, creates nothing that lasts and disturbs no route. It is independent of the connector's hot
// path where that is possible, so that a fault there shows. What the user may not do is a Permanent error.
// One caller.
type Log interface {
	// Ranges returns the partitions there are now and what they hold.
	Ranges(ctx context.Context) ([]Range, error)
	// Find returns the position of the first message of a partition that was stored at t or later, and
	// the partition's end where there is none.
	Find(ctx context.Context, partition string, t time.Time) (int64, error)
	// Read gives the messages of positions [from, to) that still exist to visit, in order, with all their
	// headers, Sluice-Origin among them. A sink's log undoes what the sink did to carry a message: key,
	// value, time and headers are those that Write was given, as far as the target keeps them. The
	// message is valid during the call of visit, whose error ends Read and is returned.
	Read(ctx context.Context, partition string, from, to int64, visit func(*Message) error) error
	Close(ctx context.Context) error
}

// Expecter is the Log of a sink that changes messages on purpose, such as one that maps keys or keeps
// milliseconds only.
type Expecter interface {
	// Expect changes m, a message of b as the source's Log reads it, to what this Log gives back for it.
	// Only the Partition and the Origin of b are set.
	Expect(b *Batch, m *Message)
}

// Range is what a partition of a Log holds: positions [First, End).
type Range struct {
	Partition  string
	Origin     string // as Batch.Origin; empty in the log of a sink that is no source's
	First, End int64
	// Sparse says that messages vanish from the middle too: a compacted topic, a stream that keeps the
	// newest of each subject. A position without a message may then have had one.
	Sparse bool
}

// Positions are what a source has committed upstream, to be seen and to be set by an operator. Seeing
// disturbs nobody. Setting needs that nobody reads: the caller ends its own run first, and Set refuses
// where upstream knows of another reader. One caller.
type Positions interface {
	// Committed returns the position of every partition there is, in the order of their names.
	Committed(ctx context.Context) ([]Position, error)
	// Set moves the position of each partition named.
	Set(ctx context.Context, next map[string]int64) error
	Close(ctx context.Context) error
}

// Position is where a source goes on in a partition.
type Position struct {
	Partition string
	Origin    string // as Batch.Origin
	Next      int64
	Known     bool // false: upstream has none, Next means nothing
}
