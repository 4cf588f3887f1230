// Package flowcontrol bounds what a route holds and accounts for the time it was held back. It uses
// the standard library only, starts no goroutine and writes no log.
//
//   - [Window] bounds messages and bytes between Fetch and the sink's acknowledgement. One goroutine
//     admits, any goroutine releases or resizes.
//   - [Tracker] lets the batches of a partition finish in any order and settles them in the order
//     they were fetched, because only a prefix may be committed.
//   - [Lane] queues the batches of one partition for its writer: what arrives while a write is out is
//     taken as one.
//   - [Clock] is always in exactly one [State]; the times in the states sum to wall time. It also
//     groups waits for room into an [Episode], which telemetry shows as a span.
//
// The window is full when less than a sixteenth of it is free and opens again when a quarter is:
// admitting in strides is what keeps pull requests large.
package flowcontrol
