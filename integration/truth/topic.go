package truth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Topic is a Kafka topic seen by franz-go.
type Topic struct {
	Addr   string // host:port of brokers, separated by commas
	Name   string
	Copies int16 // for Create; 0: as many as is usual at the brokers
}

func (t Topic) seeds() kgo.Opt { return kgo.SeedBrokers(strings.Split(t.Addr, ",")...) }

// Create creates the topic with the given options. Nothing expires: the times of a load lie in the past.
func (t Topic) Create(ctx context.Context, partitions int32, options map[string]string) error {
	return t.admin(func(admin *kadm.Client) error {
		forever := "-1"
		config := map[string]*string{"retention.ms": &forever}
		for k, v := range options {
			config[k] = &v
		}
		answer, err := admin.CreateTopic(ctx, partitions, cmp.Or(t.Copies, -1), config, t.Name)
		if err != nil {
			return err
		}
		if answer.Err != nil {
			return answer.Err
		}
		// Created is not yet led; a client that asks at once would get an error that is no finding.
		for {
			topics, err := admin.ListTopics(ctx, t.Name)
			if err == nil && topics.Error() == nil && len(topics[t.Name].Partitions) == int(partitions) {
				led := true
				for _, p := range topics[t.Name].Partitions {
					led = led && p.Leader >= 0 && p.Err == nil
				}
				if led {
					return nil
				}
			}
			if err := pause(ctx, 20*time.Millisecond); err != nil {
				return err
			}
		}
	})
}

// Delete deletes the topic.
func (t Topic) Delete(ctx context.Context) error {
	return t.admin(func(admin *kadm.Client) error {
		_, err := admin.DeleteTopics(ctx, t.Name)
		return err
	})
}

// Count returns how many offsets the partitions have in all, and the end of each.
func (t Topic) Count(ctx context.Context) (total int64, ends map[int32]int64, err error) {
	ends = map[int32]int64{}
	err = t.admin(func(admin *kadm.Client) error {
		end, err := admin.ListEndOffsets(ctx, t.Name)
		if err != nil {
			return err
		}
		if err := end.Error(); err != nil {
			return err
		}
		start, err := admin.ListStartOffsets(ctx, t.Name)
		if err != nil {
			return err
		}
		end.Each(func(o kadm.ListedOffset) {
			ends[o.Partition] = o.Offset
			total += o.Offset
			if s, ok := start.Lookup(t.Name, o.Partition); ok {
				total -= s.Offset
			}
		})
		return nil
	})
	return total, ends, err
}

// Committed returns the offsets that a group has committed on the topic.
func (t Topic) Committed(ctx context.Context, group string) (map[int32]int64, error) {
	committed := map[int32]int64{}
	err := t.admin(func(admin *kadm.Client) error {
		offsets, err := admin.FetchOffsets(ctx, group)
		if err != nil {
			return err
		}
		for p, o := range offsets[t.Name] {
			if o.Err != nil {
				return o.Err
			}
			committed[p] = o.At
		}
		return nil
	})
	return committed, err
}

// Members returns the state of a group and the ids of its members.
func (t Topic) Members(ctx context.Context, group string) (members string, err error) {
	err = t.admin(func(admin *kadm.Client) error {
		described, err := admin.DescribeGroups(ctx, group)
		if err != nil {
			return err
		}
		g := described[group]
		members = g.State
		for i := range g.Members {
			members += " " + g.Members[i].MemberID
		}
		return g.Err
	})
	return members, err
}

// Expire deletes what a partition holds before an offset, as its retention would.
func (t Topic) Expire(ctx context.Context, partition int32, before int64) error {
	return t.admin(func(admin *kadm.Client) error {
		var upTo kadm.Offsets
		upTo.AddOffset(t.Name, partition, before, -1)
		answer, err := admin.DeleteRecords(ctx, upTo)
		return errors.Join(err, answer.Error())
	})
}

// Forget deletes a group with all its positions, as the broker does a week after its last member has left; or
// only those in some partitions.
func (t Topic) Forget(ctx context.Context, group string, partitions ...int32) error {
	return t.admin(func(admin *kadm.Client) error {
		if len(partitions) == 0 {
			answer, err := admin.DeleteGroup(ctx, group)
			return errors.Join(err, answer.Err)
		}
		var some kadm.TopicsSet
		some.Add(t.Name, partitions...)
		answer, err := admin.DeleteOffsets(ctx, group, some)
		return errors.Join(err, answer.Error())
	})
}

// Write writes messages [from, to) of a load and returns when all are acknowledged. perSecond 0: as
// fast as it goes.
func (t Topic) Write(ctx context.Context, load *Load, from, to int64, perSecond int) error {
	client, err := kgo.NewClient(t.seeds(), kgo.DefaultProduceTopic(t.Name),
		kgo.MaxBufferedRecords(20_000), kgo.ProducerBatchMaxBytes(900_000), kgo.ProducerLinger(2*time.Millisecond),
		kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	begin := time.Now()
	for n := from; n < to; n++ {
		if err := keepPace(ctx, begin, n-from, perSecond); err != nil {
			return err
		}
		m := load.Message(n)
		client.Produce(ctx, recordOf(&m), func(_ *kgo.Record, err error) {
			if err != nil {
				cancel(err)
			}
		})
	}
	return errors.Join(client.Flush(ctx), context.Cause(ctx))
}

func recordOf(m *Message) *kgo.Record {
	r := &kgo.Record{Key: m.Key, Value: m.Value, Timestamp: m.Time}
	for _, h := range m.Headers {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Name, Value: h.Value})
	}
	return r
}

// WriteMessages writes messages to one partition, in order.
func (t Topic) WriteMessages(ctx context.Context, partition int32, messages ...Message) error {
	client, err := kgo.NewClient(t.seeds(), kgo.DefaultProduceTopic(t.Name), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return err
	}
	defer client.Close()
	records := make([]*kgo.Record, len(messages))
	for i := range messages {
		records[i] = recordOf(&messages[i])
		records[i].Partition = partition
	}
	return client.ProduceSync(ctx, records...).FirstErr()
}

// Read gives every message up to the present end of each partition to visit, in order within a
// partition: those of transactions that were committed, and none of control's. The message is visit's to
// keep.
func (t Topic) Read(ctx context.Context, visit func(m *Message, partition int32, offset int64)) error {
	_, ends, err := t.Count(ctx)
	if err != nil {
		return err
	}
	starts := map[int32]kgo.Offset{}
	left := map[int32]bool{}
	for p, end := range ends {
		if end > 0 {
			starts[p], left[p] = kgo.NewOffset().AtStart(), true
		}
	}
	if len(left) == 0 {
		return nil
	}
	client, err := kgo.NewClient(t.seeds(), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{t.Name: starts}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(200*time.Millisecond), kgo.FetchMaxBytes(8<<20),
		kgo.KeepControlRecords()) // the last offset may be one
	if err != nil {
		return err
	}
	defer client.Close()
	for len(left) > 0 {
		patience, cancel := context.WithTimeout(ctx, time.Minute)
		fetches := client.PollFetches(patience)
		cancel()
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("read %s: %w", t.Name, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset >= ends[r.Partition] {
				return
			}
			if !r.Attrs.IsControl() {
				m := Message{Subject: r.Topic, Key: r.Key, Value: r.Value, Time: r.Timestamp}
				for _, h := range r.Headers {
					m.Headers = append(m.Headers, Header{h.Key, h.Value})
				}
				visit(&m, r.Partition, r.Offset)
			}
			if r.Offset == ends[r.Partition]-1 {
				delete(left, r.Partition)
			}
		})
	}
	return nil
}

// Log reads the topic into entries, without the headers by which a bridge marks what it wrote, or refused.
func (t Topic) Log(ctx context.Context, run string) ([]Entry, error) {
	var log []Entry
	err := t.Read(ctx, func(m *Message, partition int32, offset int64) {
		m.Headers = withoutMarks(m.Headers)
		log = append(log, NewEntry(run, m, partition, offset))
	})
	return log, err
}

func (t Topic) admin(do func(*kadm.Client) error) error {
	client, err := kgo.NewClient(t.seeds(), kgo.MetadataMinAge(50*time.Millisecond))
	if err != nil {
		return err
	}
	defer client.Close()
	return do(kadm.NewClient(client))
}

// keepPace waits until the n-th message is due.
func keepPace(ctx context.Context, begin time.Time, n int64, perSecond int) error {
	if perSecond == 0 {
		return context.Cause(ctx)
	}
	if ahead := time.Until(begin.Add(time.Duration(n) * time.Second / time.Duration(perSecond))); ahead > time.Millisecond {
		return pause(ctx, ahead)
	}
	return context.Cause(ctx)
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
