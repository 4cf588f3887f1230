// Package failpoint is the sluice daemon with points at which it kills itself: between any two steps of
// a message's way from Fetch to Commit. The points are decorators at the contract, so they exist for
// every connector and in no build that users have.
//
// Its tests are ring 2: the daemon as a process of its own against a Kafka and a NATS server in the
// test's process, killed at every point, for each pair of connectors, and started again; and broker
// faults without a crash, brokers that lie, and messages that grow past every limit. The truth is what
// independent clients read (package truth).
package failpoint
