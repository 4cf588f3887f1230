package telemetry

import (
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-bridge/sluice/flowcontrol"
)

// ProcessStatus is what /status answers, and what the page, `sluice status` and `sluice top` are drawn from.
type ProcessStatus struct {
	Version  string        `json:"version"`
	Instance string        `json:"instance"`
	Started  time.Time     `json:"started"`
	Time     time.Time     `json:"time"` // when this was read: ages count to it, not to the reader's clock
	Draining bool          `json:"draining"`
	TraceURL string        `json:"trace_url,omitempty"` // where a trace is shown; {trace_id} stands for its id
	Reload   *ReloadStatus `json:"reload,omitempty"`    // the latest; nil: there was none
	Routes   []RouteStatus `json:"routes"`
}

// ReloadStatus is how the latest reload of the configuration went.
type ReloadStatus struct {
	Time  time.Time `json:"time"`
	Who   string    `json:"who"` // as the client says, and the address it came from; SIGHUP; or --watch
	Why   string    `json:"why,omitempty"`
	OK    bool      `json:"ok"`              // false: nothing was changed
	Error string    `json:"error,omitempty"` // the first of what was wrong
}

// RouteStatus is everything there is to know of a route at one moment. Metrics, spans, log lines,
// /status and the terminal are all made from it, so that they cannot contradict each other.
type RouteStatus struct {
	Route   string              `json:"route"`
	Source  string              `json:"source"` // the connector's name, such as kafka
	Sink    string              `json:"sink"`
	State   flowcontrol.State   `json:"state"`
	Since   time.Time           `json:"since"`
	Cause   flowcontrol.Cause   `json:"cause,omitzero"`   // the full bound, while it waits for room
	Blocker flowcontrol.Blocker `json:"blocker,omitzero"` // who holds most of what is in flight; of Holder, if that is set
	Holder  string              `json:"holder,omitempty"` // the route that has the memory which this one waits for
	// Evidence is what the blocker's broker said of itself while the route is stalled, in one line.
	Evidence string       `json:"evidence,omitempty"`
	Detail   string       `json:"detail,omitempty"` // the last error or the halt's reason, for people
	Owner    string       `json:"owner,omitempty"`  // the other instance, on standby
	Halted   *HaltStatus  `json:"halted,omitempty"` // while it waits for an operator
	Paused   *PauseStatus `json:"paused,omitempty"` // while an operator has paused it; it may be halted too

	SourceConnected bool `json:"source_connected"`
	SinkConnected   bool `json:"sink_connected"`
	// EverConnected: both ends have been connected at least once.
	EverConnected bool `json:"ever_connected"`
	// Down is since when an end has been disconnected or the route halted; zero if neither.
	Down time.Time `json:"down,omitzero"`
	// Ended: the source has ended (io.EOF) or the route was stopped; nothing runs any more.
	Ended bool `json:"ended,omitempty"`

	Window   WindowStatus `json:"window"`
	Limit    *LimitStatus `json:"limit,omitempty"`     // how much it may fetch a second; nil: any
	InFlight []LaneStatus `json:"in_flight,omitempty"` // lanes that hold messages, the oldest first, at most 16

	Stalls  []StallStatus  `json:"stalls,omitempty"`  // the latest, oldest first, at most 32; from Telemetry.Stalls
	Gaps    []GapStatus    `json:"gaps,omitempty"`    // the latest, oldest first, at most 16
	Actions []ActionStatus `json:"actions,omitempty"` // of operators: the latest, oldest first, at most 8

	Lag      int64 `json:"lag"`
	LagKnown bool  `json:"lag_known"`

	// Unread is how far that is in time; nil: nothing is unread, or nothing is known of it.
	Unread *UnreadStatus `json:"unread,omitempty"`

	// Pace is how fast messages have come and were read; nil: not known yet.
	Pace *PaceStatus `json:"pace,omitempty"`

	Counts Counts `json:"counts"`

	Guarantee string   `json:"guarantee"`
	Order     string   `json:"order"`
	Touches   []string `json:"touches,omitempty"`
	Backlog   string   `json:"backlog,omitempty"`
	Memory    string   `json:"memory"` // the formula, as printed at start

	// Clock is the source time by state, and the episodes of waiting for room.
	Clock flowcontrol.Reading `json:"clock"`
}

// UnreadStatus is how old what is not yet fetched is and how long that lasts, in seconds. What is absent is not
// known or does not come.
type UnreadStatus struct {
	Age      *float64 `json:"age_seconds,omitempty"`       // of the oldest message, at most
	CaughtUp *float64 `json:"caught_up_seconds,omitempty"` // until nothing is unread, as the last half minute went
	Loss     *float64 `json:"loss_seconds,omitempty"`      // until upstream removes the oldest, as the last half minute went
	Limit    string   `json:"limit,omitempty"`             // what removes it, such as "retention.ms of topic orders"
}

// PaceStatus is how the last half minute went, in messages a second.
type PaceStatus struct {
	Arriving float64 `json:"arriving_per_second"`
	Read     float64 `json:"read_per_second"`
	Most     float64 `json:"most_per_second"` // the fastest that was seen since the start of the process
	// Left is until upstream removes the oldest unread message if nothing is read from now on, or where nothing is
	// unread, what is written now, in seconds. Nil: it never does, or that is not known.
	Left  *float64 `json:"left_seconds,omitempty"`
	Limit string   `json:"limit,omitempty"` // what removes it
}

// StallStatus is an episode of waiting for room that became a span. Durations are in seconds.
type StallStatus struct {
	Begin   time.Time           `json:"begin"`
	End     time.Time           `json:"end,omitzero"`       // of its last wait; zero while it goes on
	Cause   flowcontrol.Cause   `json:"cause"`              // the bound that was full for longest
	Blocker flowcontrol.Blocker `json:"blocker"`            // who held the room for longest; empty: not seen
	Waited  float64             `json:"waited"`             // sum of the waits
	Longest float64             `json:"longest"`            // of the waits
	Stalled float64             `json:"stalled"`            // how much of it went without an acknowledgement
	TraceID string              `json:"trace_id,omitempty"` // empty: traces are off
	// Partition is set where only this one was held back, because its lane was full.
	Partition string `json:"partition,omitempty"`
}

// HaltStatus is why a route waits for an operator.
type HaltStatus struct {
	Reason string    `json:"reason"` // lower_snake_case, such as message_refused
	Detail string    `json:"detail"`
	Way    string    `json:"way"` // the command or the step that lets the route go on
	Since  time.Time `json:"since"`
	*Place           // of the message that blocks, where it is one
}

// PauseStatus is who has paused a route, and why.
type PauseStatus struct {
	Since time.Time `json:"since"`
	Who   string    `json:"who"` // as the client says, and the address it came from; or the configuration
	Why   string    `json:"why"`
}

// Place is where a message stands at the source.
type Place struct {
	Partition string `json:"partition"`
	Offset    int64  `json:"offset"`
}

// GapStatus is source data that vanished before it was read: positions [From, To) of a partition. It is
// exact in positions; not each of them need have held a message.
type GapStatus struct {
	Partition string    `json:"partition"`
	From      int64     `json:"from"`
	To        int64     `json:"to"`
	Time      time.Time `json:"time"` // when it was found
}

// ActionStatus is something that an operator had done to a route.
type ActionStatus struct {
	Time   time.Time `json:"time"`
	Who    string    `json:"who"` // as the client says, and the address it came from
	Why    string    `json:"why,omitempty"`
	What   string    `json:"what"`
	Before string    `json:"before"`
	After  string    `json:"after"`
}

// LimitStatus is how much a route may fetch a second; 0: any.
type LimitStatus struct {
	Messages float64 `json:"messages_per_second"`
	Bytes    float64 `json:"bytes_per_second"`
}

// WindowStatus is the use of the window.
type WindowStatus struct {
	Messages      int64 `json:"messages"`
	MessagesNow   int64 `json:"messages_now"`   // the bound that holds now: MessagesLimit, or less where the window is adaptive
	MessagesLimit int64 `json:"messages_limit"` // the hard bound
	Bytes         int64 `json:"bytes"`
	BytesLimit    int64 `json:"bytes_limit"`
	// Uncommitted is what is fetched and not committed, acknowledged or not: a crash now would double so
	// many messages at most, and any crash no more than UncommittedLimit.
	Uncommitted      int64 `json:"uncommitted"`
	UncommittedLimit int64 `json:"uncommitted_limit"`

	// Of an adaptive window. MessagesAsked is what the sink is worth: MessagesNow as a rule, and more than
	// MessagesLimit where only a larger one would bring what the sink can take at this distance. InFlight
	// and RoundTrip are how long messages are in flight, now and at the least; 0: not known yet.
	Adaptive         bool    `json:"adaptive,omitempty"`
	MessagesAsked    int64   `json:"messages_asked,omitempty"`
	InFlightSeconds  float64 `json:"in_flight_seconds,omitempty"`
	RoundTripSeconds float64 `json:"round_trip_seconds,omitempty"`
}

// LaneStatus is what one lane holds.
type LaneStatus struct {
	Partition string              `json:"partition"`
	Messages  int64               `json:"messages"`
	Oldest    time.Time           `json:"oldest"` // when its oldest message was fetched
	Offset    int64               `json:"offset"` // of its oldest message
	Blocker   flowcontrol.Blocker `json:"blocker,omitzero"`
	Paused    bool                `json:"paused,omitempty"` // its partition is paused: the lane is full
	// PausedSince is zero unless Paused.
	PausedSince time.Time `json:"paused_since,omitzero"`
	Attempts    int       `json:"attempts,omitempty"`
	Error       string    `json:"error,omitempty"` // of the last attempt
	// OldestTrace is the trace context of its oldest message if that is sampled; the stall links to it.
	OldestTrace trace.SpanContext `json:"-"`
}

// Counts only grow. They are read from atomics of the route.
type Counts struct {
	FetchedMessages      uint64 `json:"fetched_messages"`
	FetchedBytes         uint64 `json:"fetched_bytes"`
	AcknowledgedMessages uint64 `json:"acknowledged_messages"`
	CommittedMessages    uint64 `json:"committed_messages"`
	DeadLettered         uint64 `json:"dead_lettered"`
	Dropped              uint64 `json:"dropped"`  // by on_reject: drop, or lost by a connector that says so
	Stale                uint64 `json:"stale"`    // older than the route's stale says, dropped or dead-lettered
	Returned             uint64 `json:"returned"` // came from where the sink writes, and are not sent back there
	Filtered             uint64 `json:"filtered"` // not written, because the route's filter does not let them pass
	Retries              uint64 `json:"retries"`  // writes tried again
	RefetchedBytes       uint64 `json:"refetched_bytes"`
	Gaps                 uint64 `json:"gaps"`
	GapMessages          uint64 `json:"gap_messages"` // positions in gaps: at most so many messages
	// Crossings counts how often use reached 90 % of the hard bound.
	Crossings uint64 `json:"crossings"`
}
