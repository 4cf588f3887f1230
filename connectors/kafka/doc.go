// Package kafka connects routes to Apache Kafka and what speaks its protocol, version 2.4 or later.
//
// Connections, their authentication and their pooling are kafka-go's [kafka.Transport]; every request
// beyond that is our own (package wire), because the library's readers and writers lose, repeat or
// reorder messages (kafka-go issues 1411, 1164, 1446, 233). TLS lies under the Transport (conn_sockets.go), and
// certificates, passwords and tokens are looked up at each connection. A broker hangs up where a token or
// connections.max.reauth.ms ends, for kafka-go does not log in again on a connection (KIP-368): that is a connection
// lost like any other, and the next one has the next token.
//
// # The source
//
// It reads as a member of a consumer group (classic protocol, eager, range or roundrobin), beside
// members of any other client; several daemons on one group share its partitions. A rebalance gives
// back what is in flight first, acknowledged and committed as far as its time allows, and every
// commit carries the generation in which the partition was assigned: what is late is refused, never
// sent again. Heartbeats depend on nothing else, so a route may stall for as long as it likes. A
// position is stored at the group with the topic's id: a topic that was deleted and created anew
// halts the route, where offsets alone would not tell.
//
// Where the group has no position in a topic the source begins at the configured start, and stores that for
// all its partitions at once. A partition that has none beside others that have one was added, and begins at
// its first message whatever the start is, or has lost its position, which halts the route: so it is taken if
// its log has lost its beginning. Either way the bridge is asked first whether the sink holds messages of it.
//
// One request at a time goes to each broker, with all partitions that may be read, in turning order,
// and none while Fetch is not called. A broker holds it for 2 s where there is nothing, and it is given up for
// a partition that is not in it. What was asked for and not returned is one answer a broker
// (fetch_max_bytes each), or one message or batch that is larger. A batch is decoded when it is
// its turn, and decompressed only into room that the window has.
//
// Data that expired before it was read is reported as a gap and reading goes on, unless the route
// halts there; the group's position steps over it. A log that ends before the position halts the route. Batches with a wrong checksum, an old format or nonsense in
// them are rejected with their raw bytes. Aborted transactions are stepped over unless isolation
// is read_uncommitted.
//
// What may double after a kill: what was in flight, and what was acknowledged and not yet committed.
//
// # The sink
//
// Each Write splits its messages by target partition and waits until every one is acknowledged by all
// in-sync replicas (acks=all). The producer is always idempotent (KIP-98): a batch that got a sequence
// number keeps it, with the same content, until its outcome is definite, so that an answer that was
// lost on its way is not written twice, however long the broker was away. One batch a partition is in
// flight at any time, therefore retries cannot reorder. Nothing lingers: a lone message leaves at
// once, and what gathers behind a request in flight leaves as one.
//
// What may double: messages whose Write was given up (a hard end, kill -9) while their outcome was
// open, and those of a batch whose partition forgot our sequences while its outcome was open (an
// unclean leader election, or producer.id.expiration.ms passed); where the broker tells, that is reported.
// A partition that gives out offsets again that it had acknowledged has lost messages; that is reported as
// Dropped, unless the topic's id says that it was created anew (KIP-516).
//
// # The logs
//
// What a source reads and what a sink has written is read again with franz-go: with the same addresses and
// login, and with none of our own requests and decoders. A sink's log is of its topic, or of all topics
// whose names begin as map.topic does, 1,000 at most.
//
// # The checks
//
// An examination ("sluice doctor") goes by the connection, the errors and the mapping that a source and a sink
// use, and writes nothing: what the user may do the brokers tell (KIP-430), and a heartbeat of a member that
// there is not shows whether the group could be joined. Groups, settings and the controllers' clock, for which no
// route asks, are asked with franz-go. The codes, in their order, are kafka.dns, .tcp, .tls, .login, .api, .metadata,
// .advertised, .clock, .topic, .permission, .settings and .group.
//
// # How messages are mapped
//
//	key        map.key if set; else the message's key; else, if it was published to NATS natively, its subject
//	value      as it is; nil is a tombstone and differs from empty
//	headers    as they are, in order; Sluice-Origin is replaced by our own and stands last
//	timestamp  the message's time as CreateTime, in milliseconds; without one, the time of the Write
//
// Kafka expires by that time: a topic with retention.ms deletes messages that are older than it, soon after
// they were written. A topic that takes a backlog needs a longer retention or
// message.timestamp.type=LogAppendTime.
package kafka
