// Package nats connects routes to NATS: streams of JetStream and subjects without a stream.
//
// It offers two connectors, [JetStream] ("jetstream") and [Core] ("nats"), which share one kind of
// connection. What a message looks like on the NATS side stands in convert.go; which Kafka key becomes
// which subject in subject.go.
//
// # The JetStream source
//
// It reads a durable pull consumer with a pull loop of its own: it asks for what the window has free
// and for nothing more, so a full window needs no pausing. Messages stay in stream order because
// exactly one daemon reads a durable: it writes its mark into the durable's metadata (owner.go), and
// others stand by. A session begins with a CONSUMER.RESET (ADR-60), which has everything behind the
// acknowledgement floor delivered again; what is still in flight is recognized by its stream sequence,
// takes the new reply subject, and is not written again. Within a session deliveries must be
// contiguous; one that is not begins a new session.
//
// A durable that does not exist begins at the configured start, after the bridge was asked whether the sink
// holds messages of the stream already; one that is deleted while it is read is created anew where it was.
//
// Messages are acknowledged up to a sequence (AckAll), each time after the mark and the floor were
// read and found to be ours. Where there is no ownership, because the configuration shares the
// durable, the user may not change it, or the server cannot reset (before 2.14), every message is
// acknowledged by itself and order is not kept.
//
// The durable it creates gives nothing up (max_deliver -1), waits ten minutes before it delivers again
// what a stalled route holds (ack_wait), and lets six windows of messages be pending (max_ack_pending):
// four that the bridge may hold uncommitted, one that a Fetch may add to them, one that was asked for.
// A message of a stream that was purged or expired before it was read is reported as a gap. The range
// is exact where the durable reads a whole stream whose messages leave at its head; with filters, or
// where messages expire one by one, it is what the head of the stream has passed, other subjects'
// messages included; streams that drop messages because they were consumed or superseded have no gaps.
// What a purge takes while no daemon runs is only known if the last one has left in order; if not, and
// the stream begins where the durable stands, a warning says so.
//
// # The JetStream sink
//
// It writes fast-ingest batches (ADR-50) where the stream has allow_batched set, else single publishes
// over an inbox of its own, several thousand under way in a Write. nats.go's PublishAsync is not used:
// it sends a failed message again by itself, behind its successors. A Write waits for its answers as
// long as the connection stands; after two seconds without one the server is asked, behind the
// messages, what became of them. What the answers leave open, because the connection was lost or the
// server closed the batch, the stream itself tells: its end is read, and each message that is found by
// its Sluice-Origin is taken for stored. Only the rest is sent again. Without Sluice-Origin, or where
// messages leave the stream by themselves, all of it is.
//
// A message that the stream refuses for the moment, such as one whose subject is full, holds its lane.
// Of single publishes, what had been sent behind it is stored and will be stored again, once: from then
// on nothing is sent behind it. A server that comes back with less than it had acknowledged, as after a
// power cut, is reported as Dropped.
//
// # The logs
//
// Streams are read again through an ordered consumer of nats.go, which goes when the reading ends; message
// by message where a consumer would keep messages back from others (work queue, interest). A message that
// a Sluice sink encoded is what that was given.
//
// # The checks
//
// An examination ("sluice doctor") goes by the connection and the rules that a source and a sink use, and writes
// nothing: it makes no durable, marks none and publishes nothing; what the user may do is asked of the server
// ($SYS.REQ.USER.INFO). The codes, in their order, are nats.dns, .tcp, .tls, .login, .version and .permission, and of a
// stream jetstream.enabled, .stream, .clock, .subject or .consumer and .window, .settings and .speed.
//
// # Core NATS
//
// The source cannot slow its publishers down: it has a bounded buffer, drops what comes beyond it, and
// counts that. With ack_mode: reply it answers a requester when its message is committed. The sink
// counts a message as acknowledged when the server has parsed it, which the answer to a PING behind it
// shows, and refuses what the user may not publish.
//
// # The link
//
// nats.go makes the connection and keeps it: handshake, pings, reconnects, requests. Messages go beside it
// (link.go), for it allocates for each several times and takes no headers that are encoded already: its
// net.Conn is ours (socket.go), writes whole frames of ours between those of nats.go, and takes what comes for
// our subscriptions out of what that reads. TLS lies under it (socket_tls.go): nats.go is given a connection that is
// secured already. Where there is no place beside nats.go, where the server wants TLS that the configuration does not
// name, or with plain: true, the same frames go through it. That is the reference: the tests of sources and sinks run over
// both, and what is written and read has to be the same.
//
// A write that fails closes the socket, for part of a frame may be out: nothing is sent behind that. What had not
// been answered is sent again over the next connection, from the beginning of a message.
//
// # Memory
//
// The source copies what has come into memory of each batch, which is used again once the batch is acknowledged,
// and Batch.Memory is what that takes: what a message that waits keeps alive is what it is charged for. Beyond
// the window a source holds what it reads again after a reset, at most one message of the largest size the server
// takes or 1 MiB where that is more, and two blocks of 256 KiB that the connection reads into. With plain: true
// a message that was asked for and not yet fetched takes up to 800 bytes more than is counted.
package nats
