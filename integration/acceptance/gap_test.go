//go:build integration

package acceptance

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-bridge/sluice/integration/daemon"
)

// wantGaps wants exactly these, as partition [from, to), in any order.
func (s *scene) wantGaps(d *daemon.Daemon, want ...string) {
	s.Helper()
	r, err := d.Status(s.ctx)
	s.must(err)
	var got []string
	messages := int64(0)
	for _, g := range r.Gaps {
		got = append(got, fmt.Sprintf("%s [%d, %d)", g.Partition, g.From, g.To))
		messages += g.To - g.From
	}
	if strings.Join(got, "; ") != strings.Join(want, "; ") {
		s.Errorf("gaps %v, want %v", got, want)
	}
	if r.Counts.GapMessages != messages {
		s.Errorf("%d messages are counted in gaps of %d", r.Counts.GapMessages, messages)
	}
	_, text, err := d.Get(s.ctx, "/metrics")
	s.must(err)
	if metric := fmt.Sprintf("sluice_gap_messages_total{sluice_route=%q} %d", s.name, messages); len(want) > 0 && !strings.Contains(text, metric) {
		s.Errorf("/metrics does not say %s", metric)
	}
	lines, err := d.Lines()
	s.must(err)
	told := 0
	for _, l := range lines {
		switch {
		case strings.HasPrefix(l.Message(), "gap: "):
			told++
		case l.Message() == "route starts": // a process before this one
			told = 0
		}
	}
	if told != len(want) {
		s.Errorf("%d log lines about gaps, want %d", told, len(want))
	}
}

// S19: Kafka deletes what was not read. The exact range is told, once, and the route goes on, or waits.
func TestKafkaRetention(t *testing.T) {
	s := newScene(t, 5*time.Minute)
	s.create(nil)
	n := messages(100_000, 10_000)
	s.must(s.topic.Write(s.ctx, s.load, 0, n, 0))
	d := s.start(s.toStream(""))
	s.passed(d)
	s.end(d)
	at, err := s.topic.Committed(s.ctx, "sluice-"+s.name)
	s.must(err)
	s.must(s.topic.Write(s.ctx, s.load, n, 2*n, 0))
	to := at[2] + 1000
	s.must(s.topic.Expire(s.ctx, 2, to))
	gap := fmt.Sprintf("%s/2 [%d, %d)", s.topic.Name, at[2], to)

	// on_gap: halt waits for the operator, also after a restart.
	halting := s.start(s.toStream("    on_gap: halt\n"))
	s.halts(halting, "gap")
	s.must(halting.Kill())
	halting.Again(t)
	s.halts(halting, "gap")
	if now, err := s.topic.Committed(s.ctx, "sluice-"+s.name); err != nil || now[2] != at[2] {
		t.Errorf("the position is %d (%v), want %d", now[2], err, at[2])
	}
	s.end(halting)

	d = s.start(s.toStream(""))
	s.passed(d)
	s.wantGaps(d, gap)
	s.end(d)
	d = s.start(s.toStream(""))
	s.passed(d)
	s.wantGaps(d)
	s.end(d)
	r := s.compareToStream()
	s.Log(r)
	// What the source lost after it was read is in the sink alone.
	if r.Lost+r.Doubled+r.Altered+r.Reordered > 0 || r.Phantom != at[2] {
		t.Errorf("want what is left of the source, and %d beside it: %v", at[2], r)
	}
	row("Kafka -> JetStream, retention takes 1000 unread: gap %s told once, halted and survived a kill where asked to", gap)
}

// S19: a whole partition expires, and nothing follows: the gap is told once all the same.
func TestKafkaRetentionOfEverything(t *testing.T) {
	s := newScene(t, 5*time.Minute)
	s.create(nil)
	s.must(s.topic.Write(s.ctx, s.load, 0, 1000, 0))
	d := s.start(s.toStream(""))
	s.passed(d)
	s.end(d)
	at, err := s.topic.Committed(s.ctx, "sluice-"+s.name)
	s.must(err)
	s.must(s.topic.Write(s.ctx, s.load, 1000, 2000, 0))
	_, ends, err := s.topic.Count(s.ctx)
	s.must(err)
	s.must(s.topic.Expire(s.ctx, 1, ends[1]))
	for i := range 2 {
		d = s.start(s.toStream(""))
		s.passed(d)
		if i == 0 {
			d.Until(s.ctx, t, "told", func(r *daemon.Route) bool { return len(r.Gaps) > 0 })
			s.wantGaps(d, fmt.Sprintf("%s/1 [%d, %d)", s.topic.Name, at[1], ends[1]))
		} else {
			s.sleep(500 * time.Millisecond)
			s.wantGaps(d)
		}
		s.end(d)
	}
}

// S20: a stream with discard: old drops what was not read.
func TestStreamLimitOvertakes(t *testing.T) {
	s := newScene(t, 5*time.Minute)
	const limit = 5000
	s.create(func(c *jetstream.StreamConfig) { c.MaxMsgs, c.Discard = limit, jetstream.DiscardOld })
	s.must(s.stream.Write(s.ctx, s.load, s.name, 0, 3000, 0))
	d := s.start(s.toTopic("", ""))
	s.passed(d)
	s.end(d)
	s.must(s.stream.Write(s.ctx, s.load, s.name, 3000, 12_000, 0))
	gap := fmt.Sprintf("%s [3001, %d)", s.stream.Name, 12_000-limit+1)
	halting := s.start(s.toTopic("", "    on_gap: halt\n"))
	s.halts(halting, "gap")
	s.end(halting)
	halting.Again(t)
	s.way(halting, s.halts(halting, "gap"))
	s.passed(halting)
	s.wantGaps(halting, gap)
	s.end(halting)
	d = s.start(s.toTopic("", ""))
	s.passed(d)
	s.wantGaps(d)
	s.end(d)
	r := s.compareToTopic()
	s.Log(r)
	if r.Lost+r.Doubled+r.Altered+r.Reordered > 0 || r.Phantom != 3000 {
		t.Errorf("want what is left of the source, and 3000 beside it: %v", r)
	}
	row("JetStream -> Kafka, discard: old takes %d unread: gap %s told once", 9000-limit, gap)
}

// S21: a topic is deleted and created anew, shorter and longer than the position, while it is read and while
// nobody looks.
func TestRecreatedTopic(t *testing.T) {
	for _, c := range []struct {
		name    string
		running bool
		again   int64
		reason  string
	}{
		{"running-shorter", true, 400, "source_recreated"},
		{"running-longer", true, 4000, "source_recreated"},
		{"down-shorter", false, 400, "source_recreated"},
		{"down-longer", false, 4000, "position_lost"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(t, 5*time.Minute)
			s.create(nil)
			s.must(s.topic.Write(s.ctx, s.load, 0, 2000, 0))
			d := s.start(s.toStream(""))
			s.passed(d)
			if !c.running {
				s.end(d)
			}
			s.must(s.topic.Delete(s.ctx))
			for s.topic.Create(s.ctx, 4, nil) != nil {
				s.sleep(50 * time.Millisecond) // until the old one is gone
			}
			s.must(s.topic.Write(s.ctx, s.load, 10_000, 10_000+c.again, 0))
			if !c.running {
				// The broker forgets the positions in a deleted topic, a moment later.
				for at := map[int32]int64{0: 0}; len(at) > 0; {
					var err error
					at, err = s.topic.Committed(s.ctx, "sluice-"+s.name)
					s.must(err)
				}
				d = s.start(s.toStream(""))
			}
			r := s.halts(d, c.reason)
			if c.reason == "position_lost" {
				s.otherMessages(d, &r)
			}
			s.way(d, r)
			s.passed(d)
			s.end(d)
			s.inStream(2000+c.again, time.Minute)
			report := s.compareToStream()
			s.Log(report)
			if report.Lost+report.Doubled+report.Reordered+report.Altered > 0 || report.Phantom != 2000 {
				t.Errorf("want all of the new topic, and the 2000 of the old one beside it: %v", report)
			}
		})
	}
}

// S22: a stream is deleted and created anew, shorter and longer than the position, while it is read and while
// nobody looks.
func TestRecreatedStream(t *testing.T) {
	for _, c := range []struct {
		name    string
		running bool
		again   int64
		reason  string
	}{
		{"running-shorter", true, 400, "source_recreated"},
		{"running-longer", true, 4000, "source_recreated"},
		{"down-shorter", false, 400, "source_recreated"},
		{"down-longer", false, 4000, "position_lost"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(t, 5*time.Minute)
			s.create(nil)
			s.must(s.stream.Write(s.ctx, s.load, s.name, 0, 2000, 0))
			d := s.start(s.toTopic("", ""))
			s.passed(d)
			if !c.running {
				s.end(d)
			}
			s.must(s.stream.Delete(s.ctx))
			s.createStream(nil)
			s.must(s.stream.Write(s.ctx, s.load, s.name, 10_000, 10_000+c.again, 0))
			if !c.running {
				d = s.start(s.toTopic("", ""))
			}
			r := s.halts(d, c.reason)
			if c.reason == "position_lost" {
				s.otherMessages(d, &r)
			}
			s.way(d, r)
			s.inTopic(2000+c.again, time.Minute)
			s.passed(d)
			s.end(d)
			report := s.compareToTopic()
			s.Log(report)
			if report.Lost+report.Doubled+report.Reordered+report.Altered > 0 || report.Phantom != 2000 {
				t.Errorf("want all of the new stream, and the 2000 of the old one beside it: %v", report)
			}
		})
	}
}

// otherMessages wants a source refused whose positions fit what the sink holds, and whose messages do not.
func (s *scene) otherMessages(d *daemon.Daemon, r *daemon.Route) {
	s.Helper()
	if said, code := s.operate(d, "position", s.name, "set", "--to", "sink"); code != 1 || !strings.Contains(said, "another message") {
		s.Errorf("exit code %d: %s", code, said)
	}
	r.Halted.Way = "sluice position " + s.name + " set --to earliest"
}

// S22: a stream is purged while it is read.
func TestPurgedStream(t *testing.T) {
	suite.pair.NeedControl(t)
	s := newScene(t, 5*time.Minute)
	s.create(nil)
	s.must(s.stream.Write(s.ctx, s.load, s.name, 0, 1000, 0))
	d := s.start(s.toTopic("", "    window: {max_messages: 100, size: static}\n"))
	s.passed(d)
	s.must(suite.pair.Kafka.Process.Freeze()) // so that much stays unread
	s.must(s.stream.Write(s.ctx, s.load, s.name, 1000, 5000, 0))
	stalled := d.Until(s.ctx, t, "stalled", func(r *daemon.Route) bool { return r.State == "stalled" })
	s.must(s.stream.Purge(s.ctx, 4001))
	s.must(suite.pair.Kafka.Process.Thaw())
	s.passed(d)
	r, err := d.Status(s.ctx)
	s.must(err)
	if len(r.Gaps) != 1 || r.Gaps[0].To != 4001 || r.Gaps[0].From < 1001+stalled.Window.Messages {
		t.Fatalf("gaps %+v with %d messages in flight", r.Gaps, stalled.Window.Messages)
	}
	s.wantGaps(d, fmt.Sprintf("%s [%d, 4001)", s.stream.Name, r.Gaps[0].From))
	s.end(d)
	have, err := s.topicCount(s.ctx)
	s.must(err)
	if want := 5000 - (4001 - r.Gaps[0].From); have < want || have > want+100 {
		t.Errorf("%d messages in the topic, want %d: what is in no gap was not lost", have, want)
	}
}

// S22: while nobody looks a stream is purged of everything, and nothing follows: the gap is told once all the
// same.
func TestPurgedStreamOfEverything(t *testing.T) {
	s := newScene(t, 5*time.Minute)
	s.create(nil)
	s.must(s.stream.Write(s.ctx, s.load, s.name, 0, 1000, 0))
	d := s.start(s.toTopic("", ""))
	s.passed(d)
	s.end(d)
	s.must(s.stream.Write(s.ctx, s.load, s.name, 1000, 3000, 0))
	s.must(s.stream.Purge(s.ctx, 3001))
	gap := fmt.Sprintf("%s [1001, 3001)", s.stream.Name)
	halting := s.start(s.toTopic("", "    on_gap: halt\n"))
	s.halts(halting, "gap")
	s.end(halting)
	for _, want := range [][]string{{gap}, nil} {
		d = s.start(s.toTopic("", ""))
		s.passed(d)
		s.wantGaps(d, want...)
		s.end(d)
	}
}

// S23: holes in a log are no gaps: compacted messages, aborted transactions, control batches.
func TestHolesAreNoGaps(t *testing.T) {
	s := newScene(t, 5*time.Minute)
	s.must(s.topic.Create(s.ctx, 1, map[string]string{
		"cleanup.policy": "compact", "segment.ms": "300", "min.cleanable.dirty.ratio": "0.001", "max.compaction.lag.ms": "500", "delete.retention.ms": "100",
	}))
	s.Cleanup(func() { _ = s.topic.Delete(context.WithoutCancel(s.ctx)) })
	s.createStream(nil)
	client, err := kgo.NewClient(kgo.SeedBrokers(s.topic.Addr), kgo.DefaultProduceTopic(s.topic.Name), kgo.TransactionalID(s.name))
	s.must(err)
	defer client.Close()
	kept := int64(0)
	for i := range 60 {
		s.must(client.BeginTransaction())
		for j := range 10 {
			m := s.load.Message(int64(i*10 + j))
			s.must(client.ProduceSync(s.ctx, &kgo.Record{Key: fmt.Appendf(nil, "k%d", j%7), Value: m.Value, Timestamp: m.Time}).FirstErr())
		}
		commit := kgo.TryCommit
		if i%5 == 4 {
			commit = kgo.TryAbort
		} else {
			kept += 10
		}
		s.must(client.EndTransaction(s.ctx, commit))
		if i%20 == 19 {
			s.sleep(700 * time.Millisecond) // segments roll, the cleaner works
		}
	}
	before := s.leftInLog()
	for before == kept {
		s.sleep(200 * time.Millisecond) // until the cleaner has taken some
		before = s.leftInLog()
	}
	d := s.start(s.toStream(""))
	s.passed(d)
	s.wantGaps(d)
	s.end(d)
	first, err := s.stream.Count(s.ctx)
	s.must(err)
	if left := s.leftInLog(); first < left || first > before {
		t.Errorf("%d messages in the stream; of %d that were committed %d were left before it was read, %d after", first, kept, before, left)
	}
	d = s.start(s.toStream(""))
	s.passed(d)
	s.wantGaps(d)
	s.end(d)
}

// leftInLog counts the committed messages of the topic's only partition, whose log ends with a control batch.
func (s *scene) leftInLog() (n int64) {
	s.Helper()
	_, ends, err := s.topic.Count(s.ctx)
	s.must(err)
	client, err := kgo.NewClient(kgo.SeedBrokers(s.topic.Addr), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{s.topic.Name: {0: kgo.NewOffset().AtStart()}}))
	s.must(err)
	defer client.Close()
	for last := int64(-1); last < ends[0]-1; {
		fetches := client.PollFetches(s.ctx)
		s.must(fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			last = r.Offset
			if !r.Attrs.IsControl() {
				n++
			}
		})
	}
	return n
}
