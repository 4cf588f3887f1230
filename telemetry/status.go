package telemetry

import (
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-bridge/sluice/flowcontrol"
)

// RouteStatus is everything there is to know of a route at one moment. Metrics, spans, log lines,
// /status and the terminal are all made from it, so that they cannot contradict each other.
type RouteStatus struct {
	Route   string              `json:"route"`
	Source  string              `json:"source"` // the connector's name, such as kafka
	Sink    string              `json:"sink"`
	State   flowcontrol.State   `json:"state"`
	Since   time.Time           `json:"since"`
	Cause   flowcontrol.Cause   `json:"cause,omitzero"`   // the full bound, while it waits for room
	Blocker flowcontrol.Blocker `json:"blocker,omitzero"` // who holds most of what is in flight
	Detail  string              `json:"detail,omitempty"` // the last error or the halt's reason, for people
	Owner   string              `json:"owner,omitempty"`  // the other instance, on standby

	SourceConnected bool `json:"source_connected"`
	SinkConnected   bool `json:"sink_connected"`
	// EverConnected: both ends have been connected at least once.
	EverConnected bool `json:"ever_connected"`
	// Down is since when an end has been disconnected or the route halted; zero if neither.
	Down time.Time `json:"down,omitzero"`
	// Ended: the source has ended (io.EOF) or the route was stopped; nothing runs any more.
	Ended bool `json:"ended,omitempty"`

	Window   WindowStatus `json:"window"`
	InFlight []LaneStatus `json:"in_flight,omitempty"` // lanes that hold messages, the oldest first, at most 16

	Lag      int64 `json:"lag"`
	LagKnown bool  `json:"lag_known"`

	Counts Counts `json:"counts"`

	Guarantee string   `json:"guarantee"`
	Order     string   `json:"order"`
	Touches   []string `json:"touches,omitempty"`
	Backlog   string   `json:"backlog,omitempty"`
	Memory    string   `json:"memory"` // the formula, as printed at start

	// Clock is the source time by state, and the episodes of waiting for room.
	Clock flowcontrol.Reading `json:"clock"`
}

// WindowStatus is the use of the window.
type WindowStatus struct {
	Messages      int64 `json:"messages"`
	MessagesLimit int64 `json:"messages_limit"`
	Bytes         int64 `json:"bytes"`
	BytesLimit    int64 `json:"bytes_limit"`
}

// LaneStatus is what one lane holds.
type LaneStatus struct {
	Partition string              `json:"partition"`
	Messages  int64               `json:"messages"`
	Oldest    time.Time           `json:"oldest"` // when its oldest message was fetched
	Offset    int64               `json:"offset"` // of its oldest message
	Blocker   flowcontrol.Blocker `json:"blocker,omitzero"`
	Paused    bool                `json:"paused,omitempty"` // its partition is paused: the lane is full
	Attempts  int                 `json:"attempts,omitempty"`
	Error     string              `json:"error,omitempty"` // of the last attempt
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
	Dropped              uint64 `json:"dropped"` // by on_reject: drop, or lost by a connector that says so
	Stale                uint64 `json:"stale"`   // older than the route's stale says, dropped or dead-lettered
	Retries              uint64 `json:"retries"` // writes tried again
	RefetchedBytes       uint64 `json:"refetched_bytes"`
	GapMessages          uint64 `json:"gap_messages"`
	// Crossings counts how often use reached 90 % of the hard bound.
	Crossings uint64 `json:"crossings"`
}
