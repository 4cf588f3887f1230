package nats

import (
	"fmt"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
)

// readBlocks is what a connection holds beside messages that have come: the block that is read into, and one
// more while the beginning of a message is moved there.
const readBlocks = 2 * blockSize

// sourceFacts is what is known of a source before it is connected.
func sourceFacts(c *JetStreamSourceConfig) connectors.Facts {
	f := connectors.Facts{
		Guarantee: "at least once: a message is acknowledged to JetStream after the sink acknowledged it",
		Order:     "stream order: one instance reads the durable, others stand by",
		Memory:    redeliveryBytes + readBlocks, MemoryFor: "messages read again after a reset, and two blocks that are read into",
	}
	if c.Consumer.Create {
		f.Touches = []string{"durable " + c.Durable + " on stream " + c.Stream}
	}
	if c.Shared {
		f.Order = "none: the durable is shared, and a message comes again when it is not acknowledged within ack_wait"
	}
	return f
}

// describe sets the facts that only a connected source knows.
func (s *jetStreamSource) describe(at *serverInfo, stream *streamInfo, info *consumerInfo, owned bool) {
	f := sourceFacts(&s.cfg)
	f.Memory = max(redeliveryBytes, grown(s.conn.maxPayload())+messageOverhead) + readBlocks
	if !owned && !s.cfg.Shared {
		f.Order = "none: the durable cannot be owned (the server is " + at.version +
			", owning needs 2.14 and the right to change the durable), so messages are acknowledged one by one"
	}
	if info.config.MaxDeliver > 0 {
		f.Guarantee = fmt.Sprintf("at most %d deliveries of a message: then the server gives it up (max_deliver, accepted)", info.config.MaxDeliver)
	}
	f.Backlog = fmt.Sprintf("stream %s, %d messages", s.cfg.Stream, info.NumPending)
	if info.NumPending > 0 && !stream.State.FirstTime.IsZero() {
		f.Backlog += ", oldest of the stream " + time.Since(stream.State.FirstTime).Round(time.Second).String()
	}
	s.mu.Lock()
	s.facts = f
	s.origin = at.origin(stream.Created, s.cfg.Stream)
	s.mu.Unlock()
}

// reportGap tells of messages that vanished before they were read.
func (s *jetStreamSource) reportGap(from, to int64) error {
	return s.env.Host.Gap(s.cfg.Stream, from, to)
}
