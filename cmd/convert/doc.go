// Package convert turns the configuration of nats-kafka into one of ours, with a report of what became of every
// key. It is a command of its own beside those of package cmd, because it knows both brokers by name.
//
// What a key means is what nats-kafka 1.4.2 (commit 310c39f) does with it, not what its documentation says: a key
// that it pays no heed to is told as such. What cannot be kept and would change which messages go where is an
// error, and nothing is written until --bypass-errors leaves those connectors out.
package convert
