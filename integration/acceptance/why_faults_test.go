//go:build integration

package acceptance

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-bridge/sluice/integration/brokers"
	"github.com/sluice-bridge/sluice/integration/daemon"
	"github.com/sluice-bridge/sluice/integration/proxy"
	"github.com/sluice-bridge/sluice/integration/truth"
)

// The answers of the table.
var (
	sinkSlow         = wanted{"limited", "window.", "sink.ack"}
	sinkFrozen       = wanted{"stalled", "window.", "sink.ack"}
	sinkGone         = wanted{"stalled", "window.", "sink.disconnected"}
	sinkRefuses      = wanted{"stalled", "window.", "sink.retry"}
	sinkThrottled    = wanted{"limited|stalled", "window.", "sink.throttled"} // a broker may keep one answer back for more than a second
	letterRefused    = wanted{"stalled", "window.", "sink.dead_letter"}
	mappingSlow      = wanted{"limited", "window.", "transform"}
	commitSlow       = wanted{"limited|stalled", "uncommitted", "commit"}
	sourceIdle       = wanted{"idle", "", ""}
	sourceStarved    = wanted{"starved", "", ""}
	sourceGone       = wanted{"disconnected", "", ""}
	rateReached      = wanted{"limited", "rate", "operator"}
	operatorPaused   = wanted{"paused", "", "operator"}
	routeHalted      = wanted{"halted", "", ""}
	partitionRefused = wanted{"flowing", "", ""}
	partitionAlone   = wanted{"limited|stalled", "lane", "sink.retry"}
)

// faults is the table of what can go wrong, and what is to be said of it.
func faults() []fault {
	const both = "k2j j2k"
	return []fault{
		// A Kafka batch is of max_message bytes, so a window is some requests, one after another: together less than a second.
		{name: "sink slow", ways: both, window: 40, steps: []step{{"every answer 50 ms later", (*trial).slowSink, sinkSlow}}},
		{name: "sink frozen", ways: both, steps: []step{
			{"frozen", (*trial).freeze, sinkFrozen},
			{"then killed", (*trial).cut, sinkGone},
			{"then back and frozen", (*trial).restoreFrozen, sinkFrozen},
		}, after: (*trial).thaw},
		{name: "sink killed", ways: both, steps: []step{
			{"killed", (*trial).cut, sinkGone},
			{"and upstream too", (*trial).cutSource, sinkGone},
		}},
		{name: "sink refuses", ways: both, steps: []step{
			{"refuses", (*trial).fillSink, sinkRefuses},
			{"then killed", (*trial).cut, sinkGone},
			{"then back and full", (*trial).restore, sinkRefuses},
			{"and upstream frozen too", func(tr *trial) { tr.source.Block() }, sinkRefuses},
		}},
		{name: "quota", ways: "j2k", window: 100, steps: []step{
			{"throttled", func(tr *trial) { tr.throttle("producer_byte_rate", 100_000, 3) }, sinkThrottled},
			{"then frozen", (*trial).freeze, sinkFrozen},
		}, after: func(tr *trial) { tr.thaw(); tr.quota("producer_byte_rate", 0) }},
		{name: "dead letters refused", ways: both, before: (*trial).createLetters, extra: (*trial).letterConfig, steps: []step{
			{"refused", (*trial).rejectAll, letterRefused},
		}},
		{name: "one partition refused", ways: "k2j", steps: []step{
			{"refused", (*trial).oneHeld, partitionRefused},
			{"then alone", func(tr *trial) { tr.load() }, partitionAlone},
		}},
		{name: "commit slow", ways: both, before: (*trial).delayAcks, steps: []step{
			{"slow", (*trial).slowCommit, commitSlow},
			{"and sink frozen", (*trial).freezeFull, sinkFrozen},
		}, after: (*trial).thaw},
		{name: "slow mapping", ways: both, extra: slowMapping, steps: []step{
			{"slow", func(*trial) {}, mappingSlow},
			{"and sink frozen", (*trial).freeze, sinkFrozen},
		}, after: (*trial).thaw},
		{name: "operator", ways: both, steps: []step{
			{"paused", (*trial).pause, operatorPaused},
			{"and sink frozen", (*trial).freeze, operatorPaused},
			{"then resumed", (*trial).resume, sinkFrozen},
			{"then paused in the stall", (*trial).pause, operatorPaused},
			{"and upstream killed", (*trial).cutSource, operatorPaused},
		}, after: (*trial).thaw},
		{name: "rate", ways: both, extra: func(*trial) string { return "    limit: {messages: 1000/s}\n" }, steps: []step{
			{"reached", func(*trial) {}, rateReached},
			{"and sink frozen", (*trial).freeze, sinkFrozen},
		}, after: (*trial).thaw},
		{name: "upstream empty", ways: both, perSecond: 1000, steps: []step{{"empty", func(tr *trial) { tr.load() }, sourceIdle}}},
		{name: "upstream gives nothing", ways: both, steps: []step{
			{"frozen", (*trial).starve, sourceStarved},
			{"then killed", (*trial).cutSource, sourceGone},
		}},
		{name: "upstream throttled", ways: "k2j", steps: []step{
			{"throttled", func(tr *trial) { tr.throttle("consumer_byte_rate", 20_000, 1) }, sourceStarved},
		}, after: func(tr *trial) { tr.quota("consumer_byte_rate", 0) }},
		{name: "upstream killed", ways: both, perSecond: 1000, steps: []step{{"killed", (*trial).cutSource, sourceGone}}},
		{name: "gap", ways: both, extra: func(*trial) string { return "    on_gap: halt\n" }, steps: []step{
			{"halts", (*trial).expire, routeHalted},
			{"and sink killed", (*trial).cut, routeHalted},
		}},
	}
}

// slowMapping is a filter that every message passes, after more than a millisecond of work.
func slowMapping(*trial) string {
	one := fmt.Sprintf(`not (headers["%s"] matches "([A-Za-z0-9/-]{0,30}){0,30}#")`, truth.IDHeader)
	return fmt.Sprintf("    filter: '%s'\n", strings.Join([]string{one, one, one}, " and "))
}

func (tr *trial) pause() {
	tr.do(tr.daemon, "pause", tr.name, "--reason", "the table of faults says so")
}

func (tr *trial) resume() { tr.do(tr.daemon, "resume", tr.name) }

// slowSink holds each answer for 50 ms: of Kafka, each to a produce request, for the request is in pieces and each
// would be held; of nats-server, what passes there and back.
func (tr *trial) slowSink() {
	if tr.toStream {
		tr.sink.Slow(func() time.Duration { return 25 * time.Millisecond })
		return
	}
	tr.sink.DelayAnswers(proxy.Produce, 50*time.Millisecond)
}

// broker is the process of the sink.
func (tr *trial) broker() *brokers.Process {
	if tr.toStream {
		return suite.pair.NATS.Process
	}
	return suite.pair.Kafka.Process
}

func (tr *trial) freeze() { tr.must(tr.broker().Freeze()) }
func (tr *trial) thaw()   { tr.must(tr.broker().Thaw()) }

// cut ends the sink as the daemon sees it: connections are reset, and nobody listens.
func (tr *trial) cut()       { tr.sink.Refuse(true); tr.sink.Reset() }
func (tr *trial) cutSource() { tr.source.Refuse(true); tr.source.Reset() }
func (tr *trial) restore()   { tr.sink.Refuse(false) }

// restoreFrozen lets the daemon connect again, write, and get no answer any more.
func (tr *trial) restoreFrozen() {
	tr.thaw()
	tr.restore()
	before, err := tr.daemon.Status(tr.ctx)
	tr.must(err)
	for now := before; now.Counts.Acknowledged == before.Counts.Acknowledged; tr.sleep(time.Millisecond) {
		now, err = tr.daemon.Status(tr.ctx)
		tr.must(err)
	}
	tr.freeze()
}

// fillSink lets the sink refuse what is written, for a reason that may pass: a stream that is full, a topic that
// is not there.
func (tr *trial) fillSink() {
	if tr.toStream {
		tr.must(tr.stream.Update(tr.ctx, func(c *jetstream.StreamConfig) { c.MaxMsgs, c.Discard = 1, jetstream.DiscardNew }))
		return
	}
	tr.must(tr.topic.Delete(tr.ctx))
}

func (tr *trial) admin(do func(*kadm.Client) error) {
	tr.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(tr.topic.Addr))
	tr.must(err)
	defer client.Close()
	tr.must(do(kadm.NewClient(client)))
}

// quota sets one for the daemon's client id; 0 takes it away.
func (tr *trial) quota(key string, perSecond float64) {
	id := "sluice"
	tr.admin(func(admin *kadm.Client) error {
		_, err := admin.AlterClientQuotas(context.WithoutCancel(tr.ctx), []kadm.AlterClientQuotaEntry{{
			Entity: kadm.ClientQuotaEntity{{Type: "client-id", Name: &id}},
			Ops:    []kadm.AlterClientQuotaOp{{Key: key, Value: perSecond, Remove: perSecond == 0}},
		}})
		return err
	})
}

// throttle returns when the broker has kept to the quota for so many seconds: the first answer after a burst
// takes it back at once.
func (tr *trial) throttle(key string, perSecond int64, seconds int) {
	tr.quota(key, float64(perSecond))
	var last, had int64
	for steady := 0; steady < seconds; {
		tr.sleep(time.Second)
		r, err := tr.daemon.Status(tr.ctx)
		tr.must(err)
		last, had = had, r.Counts.Acknowledged
		// A source is given nothing for seconds, and then as much as it likes.
		if steady++; had == last && key == "producer_byte_rate" || last == 0 || had-last > 5*perSecond/4/int64(tr.scene.load.Size+160) {
			steady = 0
		}
	}
}

// delayAcks is for acknowledgements to a durable.
func (tr *trial) delayAcks() {
	if !tr.toStream {
		tr.source.DelayPublishes("$JS.ACK.", 3*time.Second)
	}
}

// slowCommit returns when four windows are fetched and not committed.
func (tr *trial) slowCommit() {
	tr.source.DelayAnswers(proxy.OffsetCommit, 3*time.Second)
	tr.daemon.Until(tr.ctx, tr.T, "uncommitted", func(r *daemon.Route) bool { return r.Counts.Fetched-r.Counts.Committed >= 4*400 })
}

// freezeFull returns when the window is full of what the frozen sink has.
func (tr *trial) freezeFull() {
	tr.freeze()
	tr.daemon.Until(tr.ctx, tr.T, "full", func(r *daemon.Route) bool { return r.Window.Messages > r.Window.MessagesLimit*15/16 })
}

// letters is where the trial's dead letters go: a stream that is full.
func (tr *trial) letters() truth.Stream {
	return truth.Stream{URL: suite.pair.NATS.URL, Name: tr.stream.Name + "-DEAD"}
}

func (tr *trial) createLetters() {
	l := tr.letters()
	tr.must(l.Create(tr.ctx, func(c *jetstream.StreamConfig) { c.MaxMsgs, c.Discard = 1, jetstream.DiscardNew }, "dead-"+tr.name+".>"))
	tr.Cleanup(func() { _ = l.Delete(context.WithoutCancel(tr.ctx)) })
	tr.must(l.Write(tr.ctx, tr.scene.load, "dead-"+tr.name, 0, 1, 0))
	if tr.toStream {
		tr.must(tr.stream.Update(tr.ctx, func(c *jetstream.StreamConfig) { c.MaxMsgSize = 1 << 10 }))
	}
}

func (tr *trial) letterConfig() string {
	l := tr.letters()
	return fmt.Sprintf(`    on_reject: dead_letter
    dead_letter: {sink: {jetstream: {servers: ["%s"], stream: "%s"}}, map: {subject: "dead-%s.x"}}
`, l.URL, l.Name, tr.name)
}

// rejectAll writes messages that the sink refuses for good.
func (tr *trial) rejectAll() {
	tr.load()
	tr.scene.load.Size = 4 << 10
	tr.loadFrom(1_000_000, 0)
}

// narrowStream leaves the last of four partitions without a place in the stream.
func (tr *trial) narrowStream() {
	tr.must(tr.stream.Update(tr.ctx, func(c *jetstream.StreamConfig) {
		c.Subjects = []string{tr.name + ".0", tr.name + ".1", tr.name + ".2"}
	}))
}

// oneHeld has one partition refused, and wants it to have an episode of its own while the others flow.
func (tr *trial) oneHeld() {
	tr.narrowStream()
	at := fmt.Sprintf("%s/3", tr.topic.Name)
	tr.daemon.Until(tr.ctx, tr.T, "an episode of the refused partition", func(r *daemon.Route) bool {
		for _, st := range r.Stalls {
			if st.Partition == at && st.Cause == "lane" && st.Blocker == "sink.retry" && st.End.IsZero() {
				return r.State == "flowing"
			}
		}
		return false
	})
}

// starve lets upstream say nothing any more while there is a lot to read, and all that was fetched is written.
func (tr *trial) starve() {
	tr.load()
	tr.sink.Block()
	tr.must(tr.way.fill(tr.scene, tr.ctx, 1_000_000, 1_003_000, 0))
	tr.daemon.Until(tr.ctx, tr.T, "aware of what there is, and its commits answered", func(r *daemon.Route) bool {
		return r.LagKnown && r.Lag > 1000 && r.Window.Uncommitted <= r.Window.MessagesLimit // else it waits for a commit, and rightly says so
	})
	tr.source.Hold(proxy.ToClient)
	tr.sink.Open()
}

// expire makes a gap in front of the source: what is not read yet goes.
func (tr *trial) expire() {
	tr.freeze()
	tr.daemon.Until(tr.ctx, tr.T, "stalled", func(r *daemon.Route) bool { return r.State == "stalled" })
	if tr.toStream {
		tr.load()
		_, ends, err := tr.topic.Count(tr.ctx)
		tr.must(err)
		for p, end := range ends {
			tr.must(tr.topic.Expire(tr.ctx, p, end))
		}
	} else {
		tr.must(tr.stream.Purge(tr.ctx, 1<<40)) // what comes next shows it
	}
	tr.thaw()
}
