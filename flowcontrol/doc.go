// Package flowcontrol bounds what a route holds and accounts for the time it was held back. It uses
// the standard library only, starts no goroutine and writes no log.
//
//   - [Window] bounds messages and bytes between Fetch and the sink's acknowledgement. One goroutine
//     admits, any goroutine releases or resizes.
//   - [Sizer] finds how much of their windows' messages the windows of a sink need. It judges by how
//     long messages are in flight.
//   - [Budget] bounds the bytes of all windows of a process together, where there is too little memory for
//     each to have its own.
//   - [Tracker] lets the batches of a partition finish in any order and settles them in the order
//     they were fetched, because only a prefix may be committed.
//   - [Lane] queues the batches of one partition for its writer: what arrives while a write is out is
//     taken as one.
//   - [Clock] is always in exactly one [State]; the times in the states sum to wall time. It also
//     groups waits for room into an [Episode], which telemetry shows as a span.
//
// The window is full when less than a sixteenth of it is free and opens again when a quarter is:
// admitting in strides is what keeps pull requests large.
//
// # A small window is not a stall
//
// A window that a sizer keeps small is full most of the time: that is how it works, and the state is
// limited, for acknowledgements arrive. It is stalled when none has arrived for [StallAfter], small or
// not. One case is left: a sink that takes longer than that for whatever it is given. With a large window
// its acknowledgements would come one after the other; with a small one they come as seldom as the sink
// answers. So while the sizer holds a window below its hard bound, the wait may last twice the time that
// messages were last seen to be in flight, up to [MaxPatience], before it is stalled. A silence is never
// taken for such a time: what waited through one is not measured. A sink that answers nothing from the
// start has shown nothing and is stalled after StallAfter.
package flowcontrol
