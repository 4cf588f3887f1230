package connectors

import "time"

// Message is what a route moves. Its slices are read-only once Fetch has returned them. A nil slice
// and an empty one differ: a Kafka tombstone has a nil Value.
type Message struct {
	Subject string // where it was read from: a Kafka topic, a NATS subject
	Key     []byte // nil where the source has no keys
	Value   []byte
	Headers []Header  // in order; names may repeat
	Time    time.Time // when the origin stored it; zero if unknown
	Offset  int64     // its place in the partition: a Kafka offset, a stream sequence
	// Mapped is what the route's mapping has made of the message, in the copy that a sink is given; sources leave it
	// nil, and so it is where the mapping holds nothing but names.
	Mapped *Mapped
}

// Mapped is what a mapping has made of one message.
type Mapped struct {
	// Values are those of the expressions in the route's templates, as their places are numbered; see [Template].
	Values [][]byte
	// Original is the message as the source returned it: what is refused is a dead letter of that.
	Original *Message
}

// Header is one name and value of a message.
type Header struct {
	Key   string
	Value []byte
}

// Batch is what Fetch returns: messages of one partition in source order, never empty. It is the
// unit of commit and owns its buffer.
type Batch struct {
	Partition string // the source's unit of position and order, such as "orders/3"
	// Origin names the partition world-wide, such as "kafka:<cluster>/orders/3"; sinks write it and
	// the offset into the Sluice-Origin header. Empty where the source has no lasting positions.
	Origin   string
	Messages []Message // slices of one buffer; valid until the last of them is acknowledged
	Next     int64     // the position after the batch, past control and compacted messages too
	Memory   int64     // bytes of heap it keeps alive; a shared buffer is charged by share
	// Reject is set when the source could not decode the data: the one message holds the raw bytes
	// and the reject policy decides; the batch is never given to the sink as it is.
	Reject error
	Handle any // the source's own; the bridge never looks
}

// Room is what the window has free.
type Room struct {
	Messages int
	Bytes    int64
	// Alone says that nothing is in flight: one message may then exceed Bytes, so that a message
	// larger than the window passes too.
	Alone bool
}
