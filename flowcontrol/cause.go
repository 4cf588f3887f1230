package flowcontrol

// Cause is the bound that is full: why a source waits.
type Cause uint8

// The causes. CauseNone is the zero value.
const (
	CauseNone        Cause = iota
	CauseMessages          // the window's messages
	CauseBytes             // the window's bytes
	CauseLane              // one partition's share of the window
	CauseUncommitted       // acknowledged and not yet committed
	CauseBudget            // the process's memory
	CauseOversize          // a message larger than what is free waits for the window to empty
	CauseRate              // the configured rate
	numCauses
)

var causeNames = [numCauses]string{"", "window.messages", "window.bytes", "lane", "uncommitted", "budget", "oversize", "rate"}

func (c Cause) String() string { return causeNames[c] }

// MarshalText returns the name, for JSON.
func (c Cause) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// Blocker is who holds the room.
type Blocker uint8

// The blockers. BlockerNone is the zero value.
const (
	BlockerNone         Blocker = iota
	BlockerAck                  // the sink has it and has not acknowledged
	BlockerRetry                // the sink refused it and it is tried again
	BlockerThrottled            // the sink asked to slow down
	BlockerDisconnected         // the sink is away
	BlockerDeadLetter           // the dead-letter target has it
	BlockerTransform            // the mapping has it
	BlockerCommit               // upstream has not confirmed the commit
	BlockerOperator             // paused or limited by a person
	numBlockers
)

// NumBlockers is how many blockers there are, for tables indexed by Blocker.
const NumBlockers = int(numBlockers)

var blockerNames = [numBlockers]string{
	"", "sink.ack", "sink.retry", "sink.throttled", "sink.disconnected", "sink.dead_letter", "transform", "commit", "operator",
}

func (b Blocker) String() string { return blockerNames[b] }

// MarshalText returns the name, for JSON.
func (b Blocker) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// State is what a route's source is doing.
type State uint8

// The states. A route starts disconnected.
const (
	Disconnected State = iota // a broker that the source needs is away
	Flowing                   // fetching brings messages
	Limited                   // waits for room while acknowledgements arrive: the sink sets the pace
	Stalled                   // waits for room and none arrived for a second
	Idle                      // nothing to fetch
	Starved                   // there is something to fetch, but fetches bring nothing
	Paused                    // by the operator
	Rebalancing               // partitions are moving
	Standby                   // another instance owns the source
	Halted                    // needs an operator
	numStates
)

// NumStates is how many states there are, for tables indexed by State.
const NumStates = int(numStates)

var stateNames = [numStates]string{
	"disconnected", "flowing", "limited", "stalled", "idle", "starved", "paused", "rebalancing", "standby", "halted",
}

func (s State) String() string { return stateNames[s] }

// MarshalText returns the name, for JSON.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
