package failpoint

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-bridge/sluice/integration/truth"
)

// kafkaEnd is a topic of a cluster in this process.
type kafkaEnd struct {
	cluster *kfake.Cluster
	conns   *listeners
	topic   truth.Topic
	group   string

	mu                sync.Mutex
	committed, before map[int32]int64 // highest, as the brokers were told: with and without the latest request
	expels            bool            // its members: what a former one commits late is refused, which does not show here
	member            string          // that committed last, and its generation
	back              []string        // commits that went back
}

func newKafkaEnd(t testing.TB, name string, partitions int32, more ...kfake.Opt) *kafkaEnd {
	t.Helper()
	e := &kafkaEnd{conns: &listeners{}, group: "group-" + name, committed: map[int32]int64{}}
	cluster, err := kfake.NewCluster(append(more, kfake.NumBrokers(2), kfake.SeedTopics(partitions, name),
		kfake.ListenFn(e.conns.listen), kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	e.cluster, e.topic = cluster, truth.Topic{Addr: cluster.ListenAddrs()[0], Name: name}
	cluster.ControlKey(int16(kmsg.OffsetCommit), func(r kmsg.Request) (kmsg.Response, error, bool) {
		e.observe(r.(*kmsg.OffsetCommitRequest))
		return nil, nil, false
	})
	return e
}

func (e *kafkaEnd) observe(r *kmsg.OffsetCommitRequest) {
	e.mu.Lock()
	defer e.mu.Unlock()
	member := fmt.Sprint(r.MemberID, r.Generation)
	if e.expels && e.member != member {
		clear(e.committed)
	}
	e.member, e.before = member, maps.Clone(e.committed)
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			if before := e.committed[p.Partition]; p.Offset < before {
				e.back = append(e.back, fmt.Sprintf("partition %d: commit of %d after %d", p.Partition, p.Offset, before))
			}
			e.committed[p.Partition] = max(e.committed[p.Partition], p.Offset)
		}
	}
}

// refused forgets the latest commit.
func (e *kafkaEnd) refused() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.committed = maps.Clone(e.before)
}

func (e *kafkaEnd) backwards() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.back)
}

func (e *kafkaEnd) brokers() string { return `"` + strings.Join(e.cluster.ListenAddrs(), `", "`) + `"` }

func (e *kafkaEnd) source() string {
	return fmt.Sprintf(`{kafka: {brokers: [%s], topics: "%s", group: "%s", instance_id: one}}`, e.brokers(), e.topic.Name, e.group)
}

func (e *kafkaEnd) sink() string {
	return fmt.Sprintf(`{kafka: {brokers: [%s], topic: "%s"}}`, e.brokers(), e.topic.Name)
}

// fill writes the load in record batches of all sizes, smaller and larger than a window.
func (e *kafkaEnd) fill(ctx context.Context, load *truth.Load, from, to int64) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(e.topic.Addr), kgo.DefaultProduceTopic(e.topic.Name),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
	if err != nil {
		return err
	}
	defer client.Close()
	partitions := len(e.cluster.PartitionInfos(e.topic.Name))
	sizes := []int64{1, 7, 2, 30, 64, 13}
	for id, i := from, 0; id < to; i++ {
		var batch []*kgo.Record
		for range min(sizes[i%len(sizes)], to-id) {
			m := load.Message(id)
			r := &kgo.Record{Key: m.Key, Value: m.Value, Timestamp: m.Time, Partition: int32(i % partitions)}
			for _, h := range m.Headers {
				r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Name, Value: h.Value})
			}
			batch = append(batch, r)
			id++
		}
		if err := client.ProduceSync(ctx, batch...).FirstErr(); err != nil {
			return err
		}
	}
	return nil
}

func (e *kafkaEnd) log(ctx context.Context, run string) ([]truth.Entry, error) {
	return e.topic.Log(ctx, run)
}

func (e *kafkaEnd) done(ctx context.Context) (func(*truth.Entry) bool, error) {
	at, err := e.topic.Committed(ctx, e.group)
	if errors.Is(err, kerr.GroupIDNotFound) {
		err = nil
	}
	return func(m *truth.Entry) bool { return m.Offset < at[m.Partition] }, err
}

// allDone tells whether the group has committed n messages.
func (e *kafkaEnd) allDone(ctx context.Context, n int64) bool {
	at, err := e.topic.Committed(ctx, e.group)
	for _, offset := range at {
		n -= offset
	}
	return err == nil && n == 0 // the error is that there is no group yet
}

// settle returns when the brokers have seen the end of every connection, and so have handled what came
// over it: nobody else is connected.
func (e *kafkaEnd) settle(ctx context.Context) error {
	return wait(ctx, func() (bool, error) { return e.conns.open() == 0, nil })
}

func (e *kafkaEnd) cutAfter(n int64, do func()) { e.conns.cutAfter(n, do) }

// listeners listen for the brokers and know what is connected.
type listeners struct {
	mu    sync.Mutex
	conns int
	left  int64         // bytes until cut
	cut   func()        // nil: nothing is planned
	lose  map[int16]int // by API key: how many answers are lost
}

// loseAnswers closes connections instead of passing on the answers to the next requests of a key, which
// the broker has handled. What it returns tells how many were lost.
func (l *listeners) loseAnswers(key kmsg.Key, times int) (lost func() int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lose = map[int16]int{int16(key): times}
	return func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return times - l.lose[int16(key)]
	}
}

func (l *listeners) open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.conns
}

func (l *listeners) cutAfter(n int64, do func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.left, l.cut = n, do
}

func (l *listeners) listen(network, address string) (net.Listener, error) {
	inner, err := net.Listen(network, address)
	return &listener{inner, l}, err
}

type listener struct {
	net.Listener
	all *listeners
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.all.mu.Lock()
	defer l.all.mu.Unlock()
	l.all.conns++
	return &serverConn{Conn: c, all: l.all}, nil
}

// serverConn is a broker's side of a connection.
type serverConn struct {
	net.Conn
	all  *listeners
	once sync.Once

	head []byte // of the request that is being read: its length and API key
	rest int    // bytes of it behind those
	key  int16  // of the latest request; the brokers answer one before they read the next
}

// follow looks at what the client says. It is called with the listeners' lock.
func (c *serverConn) follow(b []byte) {
	for len(b) > 0 {
		if c.rest > 0 {
			n := min(c.rest, len(b))
			b, c.rest = b[n:], c.rest-n
			continue
		}
		n := min(6-len(c.head), len(b))
		c.head, b = append(c.head, b[:n]...), b[n:]
		if len(c.head) == 6 {
			c.rest = int(binary.BigEndian.Uint32(c.head)) - 2
			c.key = int16(binary.BigEndian.Uint16(c.head[4:]))
			c.head = c.head[:0]
		}
	}
}

func (c *serverConn) Write(b []byte) (int, error) {
	c.all.mu.Lock()
	lost := c.all.lose[c.key] > 0
	if lost {
		c.all.lose[c.key]--
	}
	c.all.mu.Unlock()
	if lost {
		return 0, errors.Join(net.ErrClosed, c.Close())
	}
	return c.Conn.Write(b)
}

func (c *serverConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.all.mu.Lock()
	defer c.all.mu.Unlock()
	c.follow(b[:n])
	if c.all.cut == nil {
		return n, err
	}
	if c.all.left -= int64(n); c.all.left > 0 {
		return n, err
	}
	c.all.cut()
	c.all.cut = nil
	n = max(0, n+int(c.all.left))
	return n, net.ErrClosed
}

func (c *serverConn) Close() error {
	c.once.Do(func() {
		c.all.mu.Lock()
		defer c.all.mu.Unlock()
		c.all.conns--
	})
	return c.Conn.Close()
}
