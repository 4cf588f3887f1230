package kafka

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/kafka/wire"
)

// metadata is what a cluster told of itself. It is never changed once it is visible.
type metadata struct {
	ClusterID string
	Brokers   map[int32]string  // address by id
	Topics    map[string]*topic // those that were asked for
}

// topic is what the cluster told of one topic.
type topic struct {
	Name       string
	Code       code     // codeNone, or why there is nothing to tell
	ID         [16]byte // zero before Kafka 2.8; a recreated topic has another one (KIP-516)
	Partitions []partition
	Make       string // the command that makes it; empty unless it does not exist
}

// partition is one partition; its place in topic.Partitions is its number.
type partition struct {
	Leader   int32 // broker id, -1: none
	Epoch    int32 // of the leader, -1: unknown
	Replicas int
	Missing  []int32 // replicas that are not in sync
}

// err says what is wrong with the topic, nil for nothing.
func (t *topic) err() error {
	if t.Make == "" {
		return codeError(t.Code, "topic %s", t.Name)
	}
	return &brokerError{code: t.Code, doing: "topic " + t.Name, way: "create the topic, it is waited for: " + t.Make}
}

// makeCommands adds to topics that do not exist how they are made.
func (m *metadata) makeCommands() {
	var brokers []string
	for _, id := range slices.Sorted(maps.Keys(m.Brokers)) {
		brokers = append(brokers, m.Brokers[id])
	}
	for _, t := range m.Topics {
		if t.Code == codeUnknownTopicOrPartition && len(brokers) > 0 {
			t.Make = topicCommand(brokers[0], t.Name, len(brokers))
		}
	}
}

// topicCommand is a command line that makes a topic.
func topicCommand(broker, name string, brokers int) string {
	return connectors.CommandLine("kafka-topics.sh --bootstrap-server %s --create --topic %s --partitions 4 --replication-factor %d", broker, name, min(3, brokers))
}

// recreated reports whether the topic now called so is another one than before.
func (t *topic) recreated(before *topic) bool {
	return before != nil && t.ID != before.ID && t.ID != [16]byte{} && before.ID != [16]byte{}
}

// moved reports whether a broker has another address than before.
func (m *metadata) moved(before *metadata) bool {
	for id, at := range before.Brokers {
		if now, ok := m.Brokers[id]; ok && now != at {
			return true
		}
	}
	return false
}

// leader returns the broker that leads a partition, -1 while there is none.
func (m *metadata) leader(name string, number int32) int32 {
	if t := m.Topics[name]; t != nil && int(number) < len(t.Partitions) {
		return t.Partitions[number].Leader
	}
	return -1
}

// cached returns what the latest refresh told, merged with those before it; nil before the first.
func (c *conn) cached() *metadata { return c.cache.Load() }

const (
	metadataKey     = 3
	metadataWithID  = 11 // Kafka 2.8: topic ids
	metadataPlain   = 8  // Kafka 2.3
	maxBrokersToAsk = 3
)

// refresh asks the cluster for the topics, and only for them, and reports Connected or Disconnected by
// the outcome. A topic that does not exist is not an error here: see topic.err. The answer also holds
// what is known of topics that were not asked for.
func (c *conn) refresh(ctx context.Context, topics ...string) (*metadata, error) {
	m, err := c.fetchMetadata(ctx, topics)
	if err != nil {
		if ctx.Err() == nil {
			c.disconnected(err)
		}
		return nil, err
	}
	for {
		before := c.cache.Load()
		merged := *m
		if before != nil {
			merged.Topics = maps.Clone(before.Topics)
			maps.Copy(merged.Topics, m.Topics)
		}
		if c.cache.CompareAndSwap(before, &merged) {
			if before != nil && merged.moved(before) {
				c.transport.CloseIdleConnections() // else it would keep something of every address that ever was
			}
			c.connected()
			return &merged, nil
		}
	}
}

// fetchMetadata asks a configured broker, and if none answers some of those it once told of.
func (c *conn) fetchMetadata(ctx context.Context, topics []string) (*metadata, error) {
	ranges, err := c.negotiate(ctx)
	if err != nil {
		return nil, err
	}
	version := int16(metadataPlain)
	if ranges[metadataKey].high >= metadataWithID {
		version = metadataWithID
	}
	nodes := []int32{wire.AnyBroker}
	if known := c.cached(); known != nil {
		nodes = append(nodes, slices.Sorted(maps.Keys(known.Brokers))...)
	}
	var first error
	for _, node := range nodes[:min(len(nodes), maxBrokersToAsk)] {
		answer, err := c.call(ctx, c.timeout, &wire.Call{
			Key: metadataKey, Version: version, Flexible: version == metadataWithID, Node: node,
			Body: appendMetadataRequest(nil, version, topics),
		})
		if err == nil {
			m, err := readMetadata(answer.Body, version)
			if err == nil {
				m.makeCommands()
			}
			return m, err
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

// appendMetadataRequest never asks for a topic to be created.
func appendMetadataRequest(b []byte, version int16, topics []string) []byte {
	if version == metadataPlain {
		b = wire.AppendInt32(b, int32(len(topics)))
		for _, t := range topics {
			b = wire.AppendString(b, t)
		}
		return append(b, 0, 0, 0) // no creation, no lists of operations
	}
	b = wire.AppendUvarint(b, uint64(len(topics))+1)
	for _, t := range topics {
		b = append(b, make([]byte, 16)...) // by name, not by id
		b = wire.AppendCompactString(b, t)
		b = append(b, 0)
	}
	return append(b, 0, 0, 0) // no creation, no list of operations, no tags
}

// metadataReader hides the difference between plain and flexible versions.
type metadataReader struct {
	wire.Fields
	flexible bool
}

func (r *metadataReader) text() string {
	if r.flexible {
		return r.CompactString()
	}
	return r.String()
}

func (r *metadataReader) count(size int) int {
	if r.flexible {
		return r.CompactCount(size)
	}
	return r.Count(size)
}

func (r *metadataReader) tags() {
	if r.flexible {
		r.Tags()
	}
}

func (r *metadataReader) ids() (ids []int32) {
	for range r.count(4) {
		ids = append(ids, r.Int32())
	}
	return ids
}

func readMetadata(body []byte, version int16) (*metadata, error) {
	r := metadataReader{Fields: wire.Fields{B: body}, flexible: version == metadataWithID}
	m := &metadata{Brokers: map[int32]string{}, Topics: map[string]*topic{}}
	r.Int32() // throttle
	for range r.count(10) {
		id, host, port := r.Int32(), r.text(), r.Int32()
		r.text() // rack
		r.tags()
		m.Brokers[id] = net.JoinHostPort(host, strconv.Itoa(int(port)))
	}
	m.ClusterID = r.text()
	r.Int32() // controller
	for range r.count(8) {
		if t := r.topic(); r.Err == nil {
			m.Topics[t.Name] = t
		}
	}
	if r.Err != nil {
		return nil, fmt.Errorf("metadata: %w", r.Err)
	}
	return m, nil
}

func (r *metadataReader) topic() *topic {
	t := &topic{Code: code(r.Int16()), Name: r.text()}
	if r.flexible {
		for i := range t.ID {
			t.ID[i] = byte(r.Int8())
		}
	}
	r.Int8() // internal
	n := r.count(18)
	t.Partitions = make([]partition, n)
	for i := range t.Partitions {
		t.Partitions[i].Leader = -1
	}
	for range n {
		r.Int16() // a partition's error says no more than its leader
		number, p := r.Int32(), partition{Leader: r.Int32(), Epoch: r.Int32()}
		p.Missing = r.ids()
		p.Replicas = len(p.Missing)
		inSync := r.ids()
		p.Missing = slices.DeleteFunc(p.Missing, func(id int32) bool { return slices.Contains(inSync, id) })
		r.ids() // offline: those that the cluster does not list
		r.tags()
		if number >= 0 && int(number) < n {
			t.Partitions[number] = p
		}
	}
	r.Int32() // allowed operations
	r.tags()
	return t
}
