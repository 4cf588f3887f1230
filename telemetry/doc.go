// Package telemetry shows what routes do: every stall as a trace, the time of a source as metrics, and
// a line in the log where something changes. All of it is made from one [RouteStatus], which a ticker
// reads twice a second for each watched route, so that span, metric, line and /status tell the same.
// Nothing here is called per message but [PeekTraceparent] and [PeekSampled].
//
// [New] returns a [Telemetry]; the bridge calls [Telemetry.Watch] for each route and [Route.Wrote] for
// each write, and asks [Route.DelayedBy] for the stall that a sampled message links to. The process
// serves [Telemetry.Handler], lists [Telemetry.Stalls] in /status, keeps [Telemetry.Changes] for whoever asks what was
// the matter, and ends with [Telemetry.Shutdown].
//
// All names stand in names.go and are a public contract.
//
// # Spans
//
//	flowcontrol.stall           an episode of waiting for room of at least 100 ms: a root of its own
//	                            trace, from the first wait to the end of the last one, exported when
//	                            the source has gone a second without waiting
//	flowcontrol.stall.progress  a segment of it, a child, exported while the stall lasts: up to 5, 10,
//	                            20 and 40 seconds and then every minute; the last ends with the root
//
//	flowcontrol.pause           an operator has paused the route: a root of its own trace, until it was resumed.
//	                            sluice.operator and sluice.operator.reason say who and why
//	flowcontrol.pause.progress  a segment of it, a child, as of a stall
//
//	sluice.deliver              a message from its fetch to its acknowledgement, made by package bridge:
//	                            a child of its producer's span, only where that is sampled
//
// The first four are kept whatever the sampler is set to. Their status is unset: a stall is not an error. A pause is
// no stall: it is in no metric but flowcontrol.source.time{paused}. These are of stalls:
//
//	sluice.route, sluice.source, sluice.sink     both      whose stall it is
//	flowcontrol.cause                            both      the bound that was full for longest
//	flowcontrol.blocker                          both      who held the room for longest; unknown: not seen
//	flowcontrol.window.messages.used, .now,      both      at the begin of the root, at the end of a segment;
//	.limit                                                 now is the bound that holds, limit the hard one
//	flowcontrol.window.bytes.used, .limit        both      the same
//	sluice.source.lag                            both      messages; absent while unknown
//	sluice.source.lag.time                       both      how old the oldest of them is; absent while unknown
//	sluice.source.loss.time                      both      until upstream removes it; absent: it does not
//	sluice.oldest.partition, .offset, .age       both      the oldest message in flight
//	sluice.error                                 both      its lane's last error
//	sluice.evidence                              both      what the blocker's broker said of itself, within a second
//	sampling.priority                            both      1, for samplers on the way
//	flowcontrol.stall.waited, .waits, .longest   root      sum, number and longest of the waits
//	flowcontrol.stall.stalled                    root      how much of it went without an acknowledgement
//	flowcontrol.stall.outcome                    root      resumed, paused, or what Route.Stop was told; of a pause too
//	flowcontrol.state                            segment   the route's state at its end
//	flowcontrol.stall.elapsed                    segment   from the root's begin to the segment's end
//	flowcontrol.stall.sequence                   segment   1 for the first
//
// A partition that is paused because its lane is full is an episode of its own, whatever the route is doing
// meanwhile: its cause is lane, and sluice.oldest.partition names it. The time is not the source's: it is in
// no flowcontrol.wait.time.
//
// Durations are doubles in seconds. Causes and blockers are those of package flowcontrol. What is
// waited between two polls is put down to the cause and blocker that the first of them saw, if the
// source waited then, else to those of the second. An episode in which the
// source catches up at the sink's pace is a span too; its flowcontrol.stall.stalled is 0.
//
// Links carry flowcontrol.link.role: oldest_in_flight leads from the root to the message that was
// oldest when the span began, if that is sampled; delayed_by leads from the span of a message to the
// stall that delayed it, with flowcontrol.wait.duration beside it. A collector that samples tails keeps
// stalls by the policy
//
//	{name: keep-stalls, type: ottl_condition, ottl_condition: {span: ['IsMatch(name, "^flowcontrol[.]")']}}
//
// which stands in deploy/collector.yaml; beside it are a dashboard for Grafana, and rules and alerts for Prometheus.
//
// # Metrics
//
// They are read when somebody asks and include what is going on. In Prometheus dots are underscores and
// units and _total are appended. All carry sluice.route but the last six.
//
//	flowcontrol.source.time           s           counter    by flowcontrol.state; the states sum to wall time
//	flowcontrol.wait.time             s           counter    by flowcontrol.cause and .blocker; half a second late; without
//	                                                         what the configured rate holds back, which is no episode
//	flowcontrol.stalls                {stall}     counter    spans begun
//	flowcontrol.stall.duration        s           histogram  spans ended, by flowcontrol.cause and .blocker
//	flowcontrol.stall.age             s           gauge      of the state stalled, with cause and blocker; 0: it is not
//	flowcontrol.window.message.usage  {message}   level      in the window
//	flowcontrol.window.message.now    {message}   level      the bound that holds now; less than limit if adaptive
//	flowcontrol.window.message.limit  {message}   level      the hard bound
//	flowcontrol.window.memory.usage   By          level
//	flowcontrol.window.memory.limit   By          level
//	flowcontrol.window.crossings      {crossing}  counter    use reached 90 %
//	flowcontrol.message.age           s           gauge      of the oldest message in flight
//	sluice.source.lag                 {message}   gauge      absent while unknown
//	sluice.source.lag.time            s           gauge      how old the oldest of it is, at most; absent while unknown
//	sluice.source.caught_up.time      s           gauge      until there is none, as the last half minute went; absent: never
//	sluice.source.loss.time           s           gauge      until upstream removes the oldest, likewise; absent: it does not
//	sluice.connected                              gauge      1 or 0, by sluice.end: source, sink
//	sluice.fetched.messages           {message}   counter
//	sluice.fetched.size               By          counter
//	sluice.acknowledged.messages      {message}   counter
//	sluice.committed.messages         {message}   counter
//	sluice.dead_lettered.messages     {message}   counter
//	sluice.dropped.messages           {message}   counter    because the configuration says so
//	sluice.stale.messages             {message}   counter    too old, dropped or dead-lettered as the configuration says
//	sluice.returned.messages          {message}   counter    of a two-way bridge: came from where the sink writes, not sent back
//	sluice.filtered.messages          {message}   counter    not written, because the route's filter does not let them pass
//	sluice.retries                    {retry}     counter    writes tried again
//	sluice.refetched.size             By          counter    fetched and thrown away because of a paused partition
//	sluice.gap.messages               {message}   counter    vanished before they were read
//	sluice.write.duration             s           histogram  of one Sink.Write
//	sluice.write.size                 {message}   histogram  of one Sink.Write
//	sluice.delivery.duration          s           histogram  from when the origin stored a batch's first message to its acknowledgement
//	sluice.build.info                             gauge      1, with version and go.version
//	sluice.telemetry.failures         {failure}   counter    exports that failed, by sluice.signal
//	sluice.telemetry.lost             {span}      counter    spans that reached no collector: it is away, refuses or is slow
//	sluice.telemetry.suppressed       {span}      counter    spans of messages not made, to bound the cost; about
//	sluice.config.reload.success                  gauge      0: the latest reload was refused, and the configuration before it holds
//	sluice.config.reload.time         s           gauge      when that was, in Unix time; absent: there was none
//
// The Go runtime's go.* and, for Prometheus only, the process_* metrics are there too.
//
// # Lines
//
// They go to the logger that Watch was given, which names the route. A condition that comes again and
// again is told three times and then ever more rarely, with how often it was not told as repeats.
//
//	info   route connected                  both ends, for the first time
//	warn   window was filled to 90 %        each crossing that comes before a stall; else two, then one in ten minutes
//	warn   route stalled                    a second without room; cause, blocker, oldest in flight, trace_id
//	info   route is no longer stalled       two seconds after it
//	warn   source disconnected              its broker is away or it cannot fetch, for a second; error
//	info   source connected
//	warn   sink disconnected
//	info   sink connected
//	warn   source, sink not reached yet     two seconds after the start
//	warn   sink fails                       writes are refused and tried again for two seconds
//	info   sink no longer fails
//	info   route stands by                  another instance owns the source; owner
//	info   route no longer stands by
//	info   partitions are moving            and: partitions have moved
//	info   route paused by the operator     who, why; and: route is no longer paused
//	warn   still: ...                       after a minute, ten minutes, an hour and a day of an outage
//	info   watch ends; until now: ...       the route was stopped meanwhile
//
// Lines of an end carry the seconds it lasted. An outage of any length is at most ten lines. That a
// route halts and is resumed is told by the bridge, which knows the way out.
//
// At start one line says where traces go or why they are off. What telemetry itself cannot send is told
// once, then once an hour, and when it is over.
//
// # The environment
//
// Configuration wins over the variables of the OpenTelemetry specification, which are
// OTEL_SDK_DISABLED (traces and metrics are not sent; /metrics stays), OTEL_SERVICE_NAME,
// OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_EXPORTER (otlp, console on standard error, none),
// OTEL_METRICS_EXPORTER (otlp, prometheus and none: nothing is sent), OTEL_EXPORTER_OTLP_* and its forms
// for TRACES and METRICS, OTEL_TRACES_SAMPLER, OTEL_BSP_* and OTEL_METRIC_EXPORT_*. Without
// OTEL_TRACES_SAMPLER a message has a span if its producer was sampled, at most a thousand a second.
//
// Spans that a collector does not take within the exporter's timeout are lost: telemetry never holds
// messages back. A stall that lasts has segments to come; the counters have lost nothing.
package telemetry
