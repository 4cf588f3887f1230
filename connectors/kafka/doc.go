// Package kafka connects routes to Apache Kafka and what speaks its protocol, version 2.1 or later.
//
// Connections, their authentication and their pooling are kafka-go's [kafka.Transport]; every request
// beyond that is our own (package wire), because the library's readers and writers lose, repeat or
// reorder messages (kafka-go issues 1411, 1164, 1446, 233).
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
// unclean leader election); the latter is reported.
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
