// Package bridge runs routes: one source, one window, one sink each.
//
// # The journey of a batch
//
// The fetcher waits until the window has room and calls Source.Fetch with it. The batch is charged to
// the window, tracked in its partition, and pushed to the partition's lane. The lane's writer takes
// all that has arrived and calls Sink.Write, in portions of a few thousand messages; what fails is
// tried again after a backoff or goes to the reject policy. When the last message of a batch is
// acknowledged its room goes back to the window and its payload to the source, and the tracker settles
// it as soon as all batches before it are done. The committer hands settled batches to Source.Commit.
//
//	fetcher ──Add, Track──> lane ──Write──> sink
//	   ^                      │ acknowledged: Release, Recycle, Finish
//	   └──────── window <─────┤
//	                          └─> committer ──Commit──> source
//
// # Bounds
//
// The window bounds what is fetched and not acknowledged. An adaptive one holds as many messages as its sink
// needs, below the hard bound: a flowcontrol.Sizer finds that out from each Write that is answered, one for
// all routes whose sinks write to one place. The hard bound is what memory, the warning at 90 % and what is
// uncommitted are counted by. What stuck lanes hold comes on top of what the sink needs. A window that is
// small is limited, not stalled, as long as the sink answers; see package flowcontrol. What is fetched and
// not committed has a bound of its own, four windows of messages over all partitions of the route: that is
// what a crash doubles at most. With several partitions a lane that is stuck is paused before it holds the
// window: see pauseLane. A lane is stuck if its messages are refused and another's are not, or if it alone is not
// answered: while the sink answers nobody, or refuses all, nobody needs to be protected, and the window fills to
// its warning and its bound.
//
// Where the windows of all routes are more than Config.Memory has room for, beside what their ends hold, the
// routes share a flowcontrol.Budget of what is left; a route that waits for it has the cause budget. A Fetch
// that is out keeps a floor of it at most. One message that is larger than what is left passes when its route
// holds nothing else: the budget does not stop a route for good.
//
// A whole Write that fails for good halts the route, and so does a commit. Only a refusal of single
// messages goes to the reject policy: a sink that cannot tell which message it refuses cannot have it
// disposed of.
//
// # Halts
//
// A halt has a reason, which is a name, and a way out: the command or the step that lets the route go on.
// Connectors name theirs with connectors.Halt, the bridge names its own (see the constants in halt.go). A
// message that blocks can be given up by the operator: it is taken out before the next Write of its lane,
// whatever the sink would say of it by then, and nothing else is. A gap halts only where the route says
// so; the position stays before it until the operator resumes, which accepts it.
//
// # Pauses
//
// A route that an operator has paused is not fetched from, and nothing else changes: what is in flight is written
// and committed, and the source, which is not called, keeps its partitions or its durable. The fetcher leaves
// whatever it waits for. A pause outlasts halts and positions that are set, and ends by Resume or with the process.
//
// # Reloads
//
// Bridge.Reload has the routes run that a configuration names now. One that is the same goes on: nothing of it is
// closed, so it keeps its partitions and what is in flight. One that is another ends softly, as at the end of the bridge,
// and a new one takes its place, with its counts and with what operators wanted of it. All that end have ended before any
// begins, so that no two claim one group, durable or place. A route that could not be drained in time ends hard: what it
// had in flight comes again.
//
// # Limits
//
// What a route fetches is counted against its limit, and before a Fetch the fetcher waits until a twentieth of a
// second's worth is free: a Fetch brings no more than is free then. Somebody wants that wait, so it is limited with
// the cause rate, and never a stall.
//
// # Filters and mappings
//
// A route that has a filter or expressions in its map (package transform) does that in the lane's writer, in slices of
// a tenth of a second, each followed by its Write; the blocker is transform meanwhile. What does not pass is
// acknowledged. A Write is given copies with what was made of them; what is refused, a dead letter and a tap are of
// the message as it was fetched.
//
// # Taps
//
// Who looks at a route (Bridge.Tap) sees messages after their Fetch, after their mapping, and where they are rejected. A tap is asked once a
// batch whether it has room, and takes what its rate and its buffer have room for; it never waits.
//
// # Positions
//
// Where upstream has no position of a partition the source asks (Host.Unpositioned) and the bridge looks back
// through the sink for messages of it, by their Sluice-Origin: a first start finds none. An operator sets
// positions between two runs (operate): the run is drained as for a halt, and the source refuses where somebody
// else still reads. What the sink holds ends raggedly where a route was killed; resumePoint tells how it is
// gone on from without a hole.
//
// # Invariants
//
// They are cited by number where the code upholds them.
//
//	I1 Commit only after the sink acknowledged, or the reject policy disposed of, every message of the
//	   batch and of all batches before it in its partition.
//	I2 What is in flight never exceeds the window, but for one oversize message alone, plus the
//	   constants that the connectors state.
//	I3 No Fetch without room.
//	I4 One Write at a time per lane.
//	I5 A batch has one owner at a time.
//	I6 Every goroutine ends before Run returns.
//	I7 Sources stop before sinks; the last commit precedes Close.
//	I8 No path drops a message unless the configuration says so.
//	I9 A commit carries the generation of its assignment; what was revoked is never committed later.
//
// # How a route ends
//
// Softly, when the context of Run ends: the fetcher stops, the lanes finish what they hold, the
// committer commits it, and the sink and then the source are closed. Hard, when the drain deadline
// passes: writes are cancelled, and what is not committed comes again. A route that halts ends softly
// too and then waits for Resume, which opens it anew at its committed position. A lane whose write
// failed for good keeps nothing: its uncommitted batches are fetched again after Resume.
package bridge
