//go:build integration

package acceptance

import (
	"context"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-bridge/sluice/integration/daemon"
)

// lost waits until the first message that was not read is gone, and returns when that was.
func (tr *trial) lost(first func() (int64, error), unread int64) time.Time {
	tr.Helper()
	for {
		at, err := first()
		tr.must(err)
		if at > unread {
			return time.Now()
		}
		tr.sleep(100 * time.Millisecond)
	}
}

// checkLoss stalls the route and compares what it says of the time to loss, soon after, with when unread
// messages went.
func (tr *trial) checkLoss(d *daemon.Daemon, settle time.Duration, limit string, unread func() int64, first func() (int64, error)) {
	tr.Helper()
	tr.cut()
	d.Until(tr.ctx, tr.T, "stalled", func(r *daemon.Route) bool { return r.State == "stalled" })
	tr.sleep(settle)
	r := d.Until(tr.ctx, tr.T, "foretelling the loss", func(r *daemon.Route) bool { return r.Unread != nil && r.Unread.Loss != nil })
	asked := time.Now()
	predicted := time.Duration(*r.Unread.Loss * float64(time.Second))
	real := tr.lost(first, unread()).Sub(asked)
	off := (predicted - real).Seconds() / real.Seconds()
	row("why: %s: lost in %v was foretold, by %s, %d messages being unread; it was in %v: %+.1f %%", tr.Name(), predicted.Round(100*time.Millisecond),
		r.Unread.Limit, r.Lag, real.Round(100*time.Millisecond), 100*off)
	bound := 0.1
	if !whole() {
		bound = 0.5 // the load of a busy machine does not come as evenly
	}
	if math.Abs(off) > bound || r.Unread.Limit != limit {
		tr.Errorf("off by %.1f %%, limit %q, want %q", 100*off, r.Unread.Limit, limit)
	}
	if r.Unread.Age == nil || r.LagKnown && r.Lag == 0 {
		tr.Errorf("unread: %+v, lag %d", r.Unread, r.Lag)
	}
}

// What a route says of the time until unread messages are lost is true of Kafka's retention.
func TestWhyLossOfTopic(t *testing.T) {
	if !whole() {
		t.Skip("takes a minute, most of it Kafka's own: at full size; that of a stream runs always")
	}
	suite.pair.NeedControl(t)
	s := newScene(t, 4*time.Minute)
	tr := &trial{scene: s, way: &directions[0], toStream: true}
	const kept = 45 * time.Second
	s.must(s.topic.Create(s.ctx, 1, map[string]string{
		"retention.ms": fmt.Sprint(kept.Milliseconds()), "segment.ms": "1000", "message.timestamp.type": "LogAppendTime",
	}))
	s.Cleanup(func() { _ = s.topic.Delete(context.WithoutCancel(s.ctx)) })
	s.createStream(nil)
	tr.between()
	client, err := kgo.NewClient(kgo.SeedBrokers(s.topic.Addr), kgo.DefaultProduceTopic(s.topic.Name))
	s.must(err)
	defer client.Close()
	loaded := s.background(func(ctx context.Context) error { // what is older than the retention goes at once
		for ctx.Err() == nil {
			for range 20 {
				client.Produce(ctx, &kgo.Record{Value: make([]byte, 100)}, nil)
			}
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
			}
		}
		return nil
	})
	_ = loaded
	d := s.start(tr.config(400, nil))
	s.inStream(500, time.Minute)
	admin := kadm.NewClient(client)
	tr.checkLoss(d, 2*time.Second, "retention.ms of topic "+s.topic.Name, func() int64 {
		r, err := d.Status(s.ctx)
		s.must(err)
		return r.Counts.Fetched // the topic began at 0, and all is of one partition
	}, func() (int64, error) {
		begin, err := admin.ListStartOffsets(s.ctx, s.topic.Name)
		if err != nil {
			return 0, err
		}
		o, _ := begin.Lookup(s.topic.Name, 0)
		return o.Offset, o.Err
	})
}

// The same of a stream's limit of messages.
func TestWhyLossOfStream(t *testing.T) {
	suite.pair.NeedControl(t)
	s := newScene(t, 4*time.Minute)
	tr := &trial{scene: s, way: &directions[1]}
	const most, perSecond = 20_000, 400
	s.create(func(c *jetstream.StreamConfig) { c.MaxMsgs, c.Discard = most, jetstream.DiscardOld })
	tr.between()
	s.load.Size, s.load.Plain = 100, true
	tr.loadFrom(0, perSecond)
	d := s.start(tr.config(400, nil))
	s.inTopic(500, time.Minute)
	nc, err := nats.Connect(s.stream.URL)
	s.must(err)
	defer nc.Close()
	js, err := jetstream.New(nc)
	s.must(err)
	tr.checkLoss(d, 12*time.Second, "max_msgs of the stream", func() int64 {
		r, err := d.Status(s.ctx)
		s.must(err)
		return r.Counts.Fetched + 1
	}, func() (int64, error) {
		stream, err := js.Stream(s.ctx, s.stream.Name)
		if err != nil {
			return 0, err
		}
		return int64(stream.CachedInfo().State.FirstSeq), nil
	})
}
