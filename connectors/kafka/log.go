package kafka

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-bridge/sluice/connectors"
)

const (
	// maxLogTopics bounds how many topics a sink's mapping may have filled for its log to be read.
	maxLogTopics = 1000
	// maxLogBatch is how large a batch may be once it is decompressed.
	maxLogBatch = 128 << 20
)

// topicLog reads topics again, with franz-go, which nothing else here uses: a fault of our own requests
// and of our own decoder does not hide itself. One caller.
type topicLog struct {
	client    *kgo.Client
	admin     *kadm.Client
	sockets   *sockets
	unpack    kgo.Decompressor
	topics    func(context.Context) ([]string, error)
	isolation kgo.IsolationLevel
	sink      *mapper // what a sink's log was filled by; nil for a source's
	leaders   kadm.TopicDetails
}

// openSourceLog opens what a source reads. It connects to nothing: that happens at the first call.
func openSourceLog(c *SourceConfig) (connectors.Log, error) {
	isolation := kgo.ReadCommitted()
	if c.Isolation == readUncommitted {
		isolation = kgo.ReadUncommitted()
	}
	l, err := openLog(&c.Connection, isolation)
	if err != nil {
		return nil, err
	}
	l.topics = func(context.Context) ([]string, error) { return slices.Clone(c.Topics), nil }
	return l, nil
}

// openSinkLog opens what a sink has written: its topic, or those whose names begin as its mapping does.
func openSinkLog(c *SinkConfig, m *mapper) (connectors.Log, error) {
	l, err := openLog(&c.Connection, kgo.ReadCommitted())
	if err != nil {
		return nil, err
	}
	l.sink = m
	l.topics = l.written
	return l, nil
}

func openLog(c *Connection, isolation kgo.IsolationLevel) (*topicLog, error) {
	timeout := time.Duration(c.DialTimeout)
	l := &topicLog{sockets: newSockets(c), isolation: isolation}
	options := []kgo.Opt{
		kgo.SeedBrokers(c.Brokers...), kgo.ClientID(c.ClientID), kgo.Dialer(l.sockets.dial), kgo.MetadataMinAge(50 * time.Millisecond),
		kgo.RetryTimeout(2 * timeout), kgo.MaxDecompressBatchBytes(maxLogBatch),
	}
	if l := newLogin(c); l != nil {
		options = append(options, kgo.SASL(logLogin(l)))
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		return nil, err
	}
	l.client, l.admin = client, kadm.NewClient(client)
	l.unpack = client.OptValue(kgo.WithDecompressor).(kgo.Decompressor)
	return l, nil
}

// Close implements connectors.Log.
func (l *topicLog) Close(context.Context) error {
	l.client.Close()
	l.sockets.close()
	return nil
}

// written returns the topics that a sink may have written to and that exist.
func (l *topicLog) written(ctx context.Context) ([]string, error) {
	if l.sink.topics == nil {
		return []string{l.sink.topic}, nil
	}
	all, err := l.admin.ListTopics(ctx)
	if err != nil {
		return nil, l.explain(err)
	}
	prefix := l.sink.topics.Prefix()
	var names []string
	for name := range all {
		if strings.HasPrefix(name, prefix) && (!strings.HasPrefix(name, "__") || strings.HasPrefix(prefix, "__")) {
			names = append(names, name)
		}
	}
	if len(names) > maxLogTopics {
		return nil, fmt.Errorf("%d topics begin with %q as map.topic %q does, at most %d can be read again; begin map.topic with text that only its own topics have",
			len(names), prefix, l.sink.topics.String(), maxLogTopics)
	}
	return names, nil
}

// Ranges implements connectors.Log, sorted by topic and number. A topic that a source names and that does not exist is an error; one
// that a sink has not written to yet holds nothing.
func (l *topicLog) Ranges(ctx context.Context) ([]connectors.Range, error) {
	names, err := l.topics(ctx)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	known, err := l.admin.Metadata(ctx, names...)
	if err != nil {
		return nil, l.explain(err)
	}
	l.leaders = known.Topics
	starts, ends, err := l.bounds(ctx, names...)
	if err != nil {
		return nil, err
	}
	compacted, err := l.compacted(ctx, names...)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	var all []connectors.Range
	for _, name := range names {
		if err := known.Topics[name].Err; err != nil {
			if l.sink != nil && errors.Is(err, kerr.UnknownTopicOrPartition) {
				continue
			}
			return nil, forbidden(fmt.Errorf("topic %s: %w", name, err))
		}
		for _, n := range known.Topics[name].Partitions.Numbers() {
			first, err := offsetOf(starts, name, n)
			end, err2 := offsetOf(ends, name, n)
			if err := errors.Join(err, err2); err != nil {
				return nil, err
			}
			part := partName(name, n)
			all = append(all, connectors.Range{
				Partition: part, Origin: originOf(known.Cluster, part), First: first, End: max(first, end), Sparse: compacted[name],
			})
		}
	}
	return all, nil
}

// bounds asks where the partitions of topics begin and end.
func (l *topicLog) bounds(ctx context.Context, topics ...string) (starts, ends kadm.ListedOffsets, err error) {
	starts, err = l.admin.ListStartOffsets(ctx, topics...)
	if err == nil && l.isolation == kgo.ReadCommitted() {
		ends, err = l.admin.ListCommittedOffsets(ctx, topics...)
	} else if err == nil {
		ends, err = l.admin.ListEndOffsets(ctx, topics...)
	}
	return starts, ends, l.explain(err)
}

// compacted tells which topics are compacted. A source's whose configuration may not be seen counts as
// such: what it lacks may have been there. A sink's does not: what it lacks is missing.
func (l *topicLog) compacted(ctx context.Context, topics ...string) (map[string]bool, error) {
	all, err := l.admin.DescribeTopicConfigs(ctx, topics...)
	if err != nil {
		return nil, l.explain(err)
	}
	is := map[string]bool{}
	for _, one := range all {
		is[one.Name] = one.Err != nil && l.sink == nil
		for _, c := range one.Configs {
			if c.Key == "cleanup.policy" && c.Value != nil && strings.Contains(*c.Value, "compact") {
				is[one.Name] = true
			}
		}
	}
	return is, nil
}

func offsetOf(all kadm.ListedOffsets, topic string, n int32) (int64, error) {
	o, ok := all.Lookup(topic, n)
	switch {
	case !ok:
		return 0, fmt.Errorf("%s: the broker told no offset", partName(topic, n))
	case o.Err != nil:
		return 0, forbidden(fmt.Errorf("%s: %w", partName(topic, n), o.Err))
	}
	return o.Offset, nil
}

// Find implements connectors.Log. Kafka goes by the time that a message carries.
func (l *topicLog) Find(ctx context.Context, partition string, t time.Time) (int64, error) {
	topic, n, err := cutPartition(partition)
	if err != nil {
		return 0, err
	}
	starts, ends, err := l.bounds(ctx, topic)
	if err != nil {
		return 0, err
	}
	first, err := offsetOf(starts, topic, n)
	if err != nil {
		return 0, err
	}
	end, err := offsetOf(ends, topic, n)
	if err != nil {
		return 0, err
	}
	ms := t.Add(time.Millisecond - 1).UnixMilli() // Kafka keeps milliseconds: the next whole one
	if t.Year() < 1971 {
		return first, nil // negative times mean something else in the request
	}
	listed, err := l.admin.ListOffsetsAfterMilli(ctx, ms, topic)
	if err != nil {
		return 0, l.explain(err)
	}
	at, err := offsetOf(listed, topic, n)
	return max(first, min(at, end)), err
}

// cutPartition takes a partition's name apart.
func cutPartition(name string) (topic string, n int32, err error) {
	i := strings.LastIndexByte(name, '/')
	number, err := strconv.ParseUint(name[i+1:], 10, 31)
	if i < 1 || err != nil || number > math.MaxInt32 {
		return "", 0, fmt.Errorf("%q is not a partition; write TOPIC/NUMBER, such as orders/3", name)
	}
	return name[:i], int32(number), nil
}

// Expect implements connectors.Expecter: the key as it is mapped, the time as Kafka keeps it.
func (l *topicLog) Expect(b *connectors.Batch, m *connectors.Message) {
	m.Key, _ = l.sink.keyOf(b, m, nil)
	if !m.Time.IsZero() {
		m.Time = time.UnixMilli(m.Time.UnixMilli())
	}
}

// explain names the brokers in an error that does not.
func (l *topicLog) explain(err error) error {
	if err == nil {
		return nil
	}
	return forbidden(fmt.Errorf("brokers %v: %w", l.client.OptValue(kgo.SeedBrokers), err))
}

// forbidden marks as Permanent what the user may not do.
func forbidden(err error) error {
	for _, refused := range []error{kerr.TopicAuthorizationFailed, kerr.GroupAuthorizationFailed, kerr.ClusterAuthorizationFailed} {
		if errors.Is(err, refused) {
			return connectors.Permanent(err)
		}
	}
	return err
}
