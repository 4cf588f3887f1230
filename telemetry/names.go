package telemetry

// The names in this file are a public contract: dashboards, alerts and queries are written against
// them. A change of any of them is a breaking change and shows in testdata/names.golden.

// Spans.
const (
	// SpanStall is one episode in which a source waited for room: a root span of its own trace.
	SpanStall = "flowcontrol.stall"
	// SpanProgress is a segment of an episode that is still going on: a child of SpanStall.
	SpanProgress = "flowcontrol.stall.progress"
	// SpanPause is one pause by an operator, a root span of its own trace, and SpanPauseProgress a segment of one
	// that is still going on.
	SpanPause         = "flowcontrol.pause"
	SpanPauseProgress = "flowcontrol.pause.progress"
	// SpanDeliver is one message from its fetch to its acknowledgement: a child of its producer's span,
	// only where that is sampled. Package bridge makes it.
	SpanDeliver = "sluice.deliver"
)

// Attributes of spans and metrics. Durations are doubles in seconds.
const (
	AttrRoute  = "sluice.route"  // the route's name
	AttrSource = "sluice.source" // the source connector's name
	AttrSink   = "sluice.sink"   // the sink connector's name
	AttrEnd    = "sluice.end"    // source or sink
	AttrSignal = "sluice.signal" // traces or metrics: what telemetry itself failed to send

	AttrState   = "flowcontrol.state"   // a name of flowcontrol.State
	AttrCause   = "flowcontrol.cause"   // the bound that is full, a name of flowcontrol.Cause
	AttrBlocker = "flowcontrol.blocker" // who held most of what was in flight for the longest time

	AttrOutcome  = "flowcontrol.stall.outcome"  // resumed, paused, reloaded, or what Route.Stop was told; of a pause the same
	AttrWaited   = "flowcontrol.stall.waited"   // sum of the waits for room, s
	AttrWaits    = "flowcontrol.stall.waits"    // how many they were
	AttrLongest  = "flowcontrol.stall.longest"  // the longest of them, s
	AttrStalled  = "flowcontrol.stall.stalled"  // how much of it went without any acknowledgement, s
	AttrElapsed  = "flowcontrol.stall.elapsed"  // segment: from the episode's begin to the segment's end, s
	AttrSequence = "flowcontrol.stall.sequence" // segment: 1 for the first of its episode

	AttrMessages      = "flowcontrol.window.messages.used"
	AttrMessagesNow   = "flowcontrol.window.messages.now"
	AttrMessagesLimit = "flowcontrol.window.messages.limit"
	AttrBytes         = "flowcontrol.window.bytes.used"
	AttrBytesLimit    = "flowcontrol.window.bytes.limit"

	AttrLag             = "sluice.source.lag"       // messages not yet fetched; absent while unknown
	AttrLagAge          = "sluice.source.lag.time"  // how old the oldest of them is, s; absent while unknown
	AttrLoss            = "sluice.source.loss.time" // until upstream removes it, s; absent: it does not
	AttrOldestPartition = "sluice.oldest.partition" // of the oldest message in flight
	AttrOldestOffset    = "sluice.oldest.offset"
	AttrOldestAge       = "sluice.oldest.age" // since it was fetched, s
	AttrEvidence        = "sluice.evidence"   // what the blocker's broker said of itself, cut to 512 bytes
	AttrError           = "sluice.error"      // the oldest lane's last error, cut to 256 bytes

	AttrOperator = "sluice.operator"        // who paused the route, cut to 256 bytes
	AttrReason   = "sluice.operator.reason" // and why, likewise

	// AttrLinkRole says why a link is there: LinkOldest, or LinkDelayedBy on a message's span.
	AttrLinkRole  = "flowcontrol.link.role"
	LinkOldest    = "oldest_in_flight"
	LinkDelayedBy = "delayed_by"
	// AttrWait is for the span of a message that a stall delayed: for how long, s.
	AttrWait = "flowcontrol.wait.duration"
	// AttrPriority asks samplers on the way to keep the span.
	AttrPriority = "sampling.priority"
)

// Metrics. All carry AttrRoute but the last six.
const (
	MetricSourceTime    = "flowcontrol.source.time"
	MetricWaitTime      = "flowcontrol.wait.time"
	MetricStalls        = "flowcontrol.stalls"
	MetricStallDuration = "flowcontrol.stall.duration"
	MetricStallAge      = "flowcontrol.stall.age"
	MetricMessagesUsed  = "flowcontrol.window.message.usage"
	MetricMessagesNow   = "flowcontrol.window.message.now"
	MetricMessagesLimit = "flowcontrol.window.message.limit"
	MetricBytesUsed     = "flowcontrol.window.memory.usage"
	MetricBytesLimit    = "flowcontrol.window.memory.limit"
	MetricCrossings     = "flowcontrol.window.crossings"
	MetricOldestAge     = "flowcontrol.message.age"

	MetricLag           = "sluice.source.lag"
	MetricLagAge        = "sluice.source.lag.time"
	MetricCaughtUp      = "sluice.source.caught_up.time"
	MetricLoss          = "sluice.source.loss.time"
	MetricConnected     = "sluice.connected"
	MetricFetched       = "sluice.fetched.messages"
	MetricFetchedBytes  = "sluice.fetched.size"
	MetricAcknowledged  = "sluice.acknowledged.messages"
	MetricCommitted     = "sluice.committed.messages"
	MetricDeadLettered  = "sluice.dead_lettered.messages"
	MetricDropped       = "sluice.dropped.messages"
	MetricStale         = "sluice.stale.messages"
	MetricReturned      = "sluice.returned.messages"
	MetricFiltered      = "sluice.filtered.messages"
	MetricRetries       = "sluice.retries"
	MetricRefetched     = "sluice.refetched.size"
	MetricGaps          = "sluice.gap.messages"
	MetricWriteDuration = "sluice.write.duration"
	MetricDelivery      = "sluice.delivery.duration"
	MetricWriteSize     = "sluice.write.size"

	MetricBuild      = "sluice.build.info"
	MetricFailures   = "sluice.telemetry.failures"
	MetricSuppressed = "sluice.telemetry.suppressed"
	MetricLost       = "sluice.telemetry.lost"
	MetricReload     = "sluice.config.reload.success"
	MetricReloadTime = "sluice.config.reload.time"
)

// scope is the instrumentation scope of everything made here.
const scope = "github.com/sluice-bridge/sluice/telemetry"
