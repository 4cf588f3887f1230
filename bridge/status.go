package bridge

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/flowcontrol"
	"github.com/sluice-bridge/sluice/telemetry"
)

// statusLanes is how many lanes a status shows: the oldest.
const statusLanes = 16

// Status returns everything there is to know of the route now.
func (r *Route) Status() telemetry.RouteStatus {
	s, n := r.moving()
	r.promise(&s, n)
	return s
}

// glance returns what changes of the status from moment to moment, which costs far less than all of it.
func (r *Route) glance() telemetry.RouteStatus {
	s, _ := r.moving()
	return s
}

// moving returns the status without what promise adds, and the run that is going on, if one is.
func (r *Route) moving() (telemetry.RouteStatus, *run) {
	now := time.Now()
	r.mu.Lock()
	n, ended := r.current, r.ended
	r.mu.Unlock()
	clock, health := r.clock.Read(now), r.health.read(now)
	s := telemetry.RouteStatus{
		Route: r.cfg.Name, Source: r.cfg.SourceName, Sink: r.cfg.SinkName,
		State: clock.State, Since: clock.Since, Cause: clock.Cause, Clock: clock,
		Detail: health.detail, Owner: health.standby, Halted: health.halted, Paused: health.paused, Down: health.down,
		Gaps: r.gaps.status(), Actions: r.latestActions(),
		SourceConnected: health.sourceConnected, SinkConnected: health.sinkConnected, EverConnected: health.ever,
		Ended: ended,
		Window: telemetry.WindowStatus{
			MessagesNow:   r.cfg.Window.Messages,
			MessagesLimit: r.cfg.Window.Messages, BytesLimit: r.cfg.Window.Bytes,
			UncommittedLimit: uncommittedWindows * r.cfg.Window.Messages,
		},
		Counts: r.counts.read(), Limit: r.pacer.status(),
	}
	if n != nil {
		n.fillStatus(&s, health)
		s.Owner = cmp.Or(s.Owner, describe(n.source, r.cfg.Source.Facts).Owner)
	}
	if s.State == flowcontrol.Paused || s.Cause == flowcontrol.CauseRate {
		s.Blocker = flowcontrol.BlockerOperator
	}
	r.fillUnread(&s, now)
	r.fillEvidence(&s)
	return s, n
}

// promise adds what a route says of itself.
func (r *Route) promise(s *telemetry.RouteStatus, n *run) {
	ends := r.facts(n)
	source, sink := ends[0], ends[1]
	s.Guarantee = join(source.Guarantee, sink.Guarantee)
	if why := r.unnoticed(); why != "" {
		s.Guarantee += "; a position that upstream lost would not be noticed: " + why
	}
	if stale := r.cfg.Stale.String(); stale != "" {
		s.Guarantee += "; " + stale
	}
	if r.cfg.Transform.Filter() != "" {
		s.Guarantee += "; what the filter does not let pass is not written"
	}
	if r.cfg.WayBack != "" {
		s.Guarantee += "; what came from there by route " + r.cfg.WayBack + " is not sent back"
	}
	s.Order = join(source.Order, sink.Order)
	for _, f := range ends {
		s.Touches = append(s.Touches, f.Touches...)
	}
	s.Backlog = source.Backlog
	s.Memory = r.memory(ends)
}

func describe(end any, facts connectors.Facts) connectors.Facts {
	if d, ok := end.(connectors.Describer); ok {
		return d.Describe()
	}
	return facts
}

// join puts what two ends say into one sentence. What both begin with, up to a colon, is said once.
func join(source, sink string) string {
	if source == "" || sink == "" {
		return source + sink
	}
	promise, _, found := strings.Cut(source, ": ")
	if rest, same := strings.CutPrefix(sink, promise+": "); found && same {
		sink = rest
	}
	return source + "; " + sink
}

// fillStatus adds what only a run knows.
func (n *run) fillStatus(s *telemetry.RouteStatus, health view) {
	used := n.window.Used()
	s.Window.Messages, s.Window.Bytes, s.Window.Uncommitted = used.Messages, used.Bytes, n.open.Load()
	n.fillSize(&s.Window)
	if l, ok := n.source.(connectors.Lagger); ok {
		s.Lag, s.LagKnown = l.Lag()
	}
	var held [flowcontrol.NumBlockers]int64
	for _, p := range n.snapshot() {
		lane, ok := p.status(health)
		if !ok {
			continue
		}
		held[lane.Blocker] += lane.Messages
		s.InFlight = append(s.InFlight, lane)
		if s.Detail == "" {
			s.Detail = lane.Error
		}
	}
	slices.SortFunc(s.InFlight, func(a, b telemetry.LaneStatus) int { return a.Oldest.Compare(b.Oldest) })
	s.InFlight = s.InFlight[:min(len(s.InFlight), statusLanes)]
	var most int64
	for b, messages := range held {
		if messages > most {
			most, s.Blocker = messages, flowcontrol.Blocker(b)
		}
	}
	switch s.Cause {
	case flowcontrol.CauseUncommitted:
		if 2*s.Window.Messages < s.Window.Uncommitted { // else most of it is not acknowledged either
			s.Blocker = flowcontrol.BlockerCommit
		}
	case flowcontrol.CauseBudget:
		if h := n.route.holder(used.Bytes); h != nil {
			s.Holder, s.Blocker = h.cfg.Name, h.blocker()
		}
	}
}

// running returns the run that is going on, nil between two runs.
func (r *Route) running() *run {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.current
}

// blocker is who holds most of what is in flight.
func (r *Route) blocker() flowcontrol.Blocker {
	n := r.running()
	var s telemetry.RouteStatus // without a cause: what holds the room, whoever waits for it
	if n != nil {
		n.fillStatus(&s, r.health.read(time.Now()))
	}
	return s.Blocker
}

func (n *run) snapshot() []*partition {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := make([]*partition, 0, len(n.partitions))
	for _, p := range n.partitions {
		all = append(all, p)
	}
	return all
}

// status returns what a lane holds; ok is false if it holds nothing.
func (p *partition) status(health view) (lane telemetry.LaneStatus, ok bool) {
	lane = telemetry.LaneStatus{
		Partition: p.name, Messages: p.lane.Held(), Blocker: flowcontrol.Blocker(p.phase.Load()),
		Paused: p.paused.Load(), Attempts: int(p.attempts.Load()),
	}
	if lane.Messages <= 0 {
		return lane, false
	}
	if lane.Paused {
		lane.PausedSince = time.Unix(0, p.pausedAt.Load())
	}
	if o := p.oldest.Load(); o != nil {
		lane.Oldest, lane.Offset, lane.OldestTrace = o.fetched, o.offset, o.trace
	}
	if err := p.lastErr.Load(); err != nil {
		lane.Error = *err
	}
	if lane.Blocker == flowcontrol.BlockerDeadLetter || lane.Blocker == flowcontrol.BlockerTransform {
		return lane, true // the sink has nothing of it yet
	}
	switch {
	case !health.sinkConnected:
		lane.Blocker = flowcontrol.BlockerDisconnected
	case health.throttled:
		lane.Blocker = flowcontrol.BlockerThrottled
	case health.sinkFailing:
		lane.Blocker = flowcontrol.BlockerRetry
	case lane.Blocker == flowcontrol.BlockerNone:
		lane.Blocker = flowcontrol.BlockerAck
	}
	return lane, true
}

// facts returns what the ends say of themselves, as far as it is known before they are open if n is nil:
// the source, the sink, the dead-letter sink if there is one, and the mapping if it needs memory.
func (r *Route) facts(n *run) []connectors.Facts {
	all := []connectors.Facts{r.cfg.Source.Facts, r.cfg.Sink.Facts}
	if n != nil {
		all[0], all[1] = describe(n.source, all[0]), describe(n.sink, all[1])
	}
	if r.cfg.DeadLetter != nil {
		all = append(all, r.cfg.DeadLetter.Facts)
	}
	if r.cfg.shapes() {
		all = append(all, connectors.Facts{
			Memory: r.cfg.Window.Messages * shapeMemory, MemoryFor: "1 KiB for the mapped copy of each message in flight",
		})
	}
	return all
}
