// Package wire is what a Kafka library would have to offer for a bridge and kafka-go does not: requests
// that carry several partitions, record batches that are checked and keep null apart from empty, group
// requests whose errors can be seen. It speaks the protocol and knows nothing of connections, retries
// or groups' states; see https://kafka.apache.org/protocol and KIP-98 for the formats.
//
// # Requests
//
// A [Call] writes and reads its own frame over a kafka-go Transport. For each API one function appends a
// request's body and one reads an answer's; error codes in answers are the caller's to judge.
//
// # What is read is hostile
//
// Every length and count is compared with the bytes that are there before anything is allocated for it,
// an answer as a whole with the caller's limit, and a decompressed batch with the room there is. The
// readers are fuzzed; a malformed message is an error, never a panic.
//
// # Memory
//
// A fetch answer is read into one [Buffer] a partition, its messages are slices of that buffer (or of the
// one it was decompressed to), and header names are strings that share its bytes. Whoever lets go of
// the last message's batch gives the buffers back ([Out.Release]); nothing is allocated per message.
package wire
