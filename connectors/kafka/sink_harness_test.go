package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/connectortest"
)

// cutter listens for kfake and cuts connections instead of passing an answer to a produce request on: the
// broker has written, the producer does not know.
type cutter struct {
	net.Listener
	left *atomic.Int64 // answers still to be cut
}

func cutting(left *atomic.Int64) kfake.Opt {
	return kfake.ListenFn(func(network, address string) (net.Listener, error) {
		l, err := net.Listen(network, address)
		return &cutter{l, left}, err
	})
}

func (l *cutter) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &cutConn{Conn: c, left: l.left}, nil
}

type cutConn struct {
	net.Conn
	left *atomic.Int64

	mu      sync.Mutex
	frame   []byte // what was read of the head of a request
	rest    int    // bytes of the request behind its head
	produce bool   // the last request was to produce
}

func (c *cutConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	for in := b[:n]; len(in) > 0; {
		if c.rest > 0 {
			skip := min(c.rest, len(in))
			in, c.rest = in[skip:], c.rest-skip
			continue
		}
		take := min(6-len(c.frame), len(in))
		c.frame, in = append(c.frame, in[:take]...), in[take:]
		if len(c.frame) == 6 {
			c.rest = int(binary.BigEndian.Uint32(c.frame)) - 2
			c.produce = binary.BigEndian.Uint16(c.frame[4:]) == 0
			c.frame = nil
		}
	}
	return n, err
}

func (c *cutConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	produce := c.produce
	c.mu.Unlock()
	if produce && c.left.Add(-1) >= 0 {
		c.Close()
		return 0, net.ErrClosed
	}
	return c.Conn.Write(b)
}

// openTestSink opens a sink on a cluster; change may alter its configuration.
func openTestSink(t *testing.T, brokers []string, topic string, change func(*SinkConfig, *connectors.Env)) (*sink, *connectortest.Host) {
	t.Helper()
	host := connectortest.NewHost()
	config := defaultSink(connectors.About{})
	config.Brokers, config.Topic = brokers, topic
	config.DialTimeout = connectors.Duration(time.Minute) // a busy machine
	env := connectors.Env{
		Route: "test", Host: host, Headers: true, Logger: zerolog.New(zerolog.NewTestWriter(t)),
		Window: connectors.Room{Messages: 8192, Bytes: 64 << 20},
	}
	if change != nil {
		change(&config, &env)
	}
	if err := config.Validate(); err != nil {
		t.Fatal(err)
	}
	opened, err := openSink(config, env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := opened.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return opened.(*sink), host
}

// batchOf makes a batch of a JetStream stream whose messages have consecutive offsets from first on.
func batchOf(stream string, first int64, messages ...connectors.Message) *connectors.Batch {
	for i := range messages {
		messages[i].Offset = first + int64(i)
		if messages[i].Time.IsZero() {
			messages[i].Time = time.UnixMilli(1_700_000_000_000 + first + int64(i))
		}
	}
	return &connectors.Batch{
		Partition: stream, Origin: "nats:test/" + stream, Messages: messages, Next: first + int64(len(messages)),
	}
}

// keyed makes n messages with keys from a set of some; the value tells lane and number.
func keyed(lane string, first, n int) []connectors.Message {
	messages := make([]connectors.Message, n)
	for i := range messages {
		messages[i] = connectors.Message{
			Subject: "s." + lane, Key: fmt.Appendf(nil, "%s-k%d", lane, (first+i)%7), Value: fmt.Appendf(nil, "%s:%d", lane, first+i),
		}
	}
	return messages
}

// readAll reads topics with an independent client until n records have come, or the test's patience ends,
// and a little longer to see whether there are more.
func readAll(t *testing.T, brokers []string, n int, topics ...string) []*kgo.Record {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topics...), kgo.FetchMaxWait(50*time.Millisecond),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var all []*kgo.Record
	patience := time.Minute
	for {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		fetches := client.PollFetches(ctx)
		waited := ctx.Err() != nil
		cancel()
		fetches.EachError(func(topic string, p int32, err error) {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("read %s/%d: %v", topic, p, err)
			}
		})
		all = append(all, fetches.Records()...)
		if len(all) >= n {
			patience = 150 * time.Millisecond
		}
		if fetches.NumRecords() == 0 && waited {
			return all
		}
	}
}

// checkLanes verifies that each of the lanes' n messages is there once and in order within its partition.
func checkLanes(t *testing.T, records []*kgo.Record, lanes map[string]int) {
	t.Helper()
	seen := map[string]map[int]int{}
	last := map[string]int{} // by lane and partition
	for _, r := range records {
		var lane string
		var i int
		if _, err := fmt.Sscanf(string(r.Value), "%1s:%d", &lane, &i); err != nil {
			t.Fatalf("value %q: %v", r.Value, err)
		}
		if seen[lane] == nil {
			seen[lane] = map[int]int{}
		}
		seen[lane][i]++
		place := fmt.Sprint(lane, "/", r.Partition)
		if before, ok := last[place]; ok && i <= before {
			t.Errorf("lane %s partition %d: %d comes behind %d", lane, r.Partition, i, before)
		}
		last[place] = i
	}
	for lane, n := range lanes {
		lost, doubled := 0, 0
		for i := range n {
			switch seen[lane][i] {
			case 0:
				lost++
			case 1:
			default:
				doubled++
			}
		}
		if lost+doubled > 0 || len(seen[lane]) != n {
			t.Errorf("lane %s: %d lost, %d doubled, %d different ones of %d", lane, lost, doubled, len(seen[lane]), n)
		}
	}
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}
