package kafka

import (
	"context"
	"errors"
	"math"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// counted counts the connections that a listener accepts.
type counted struct {
	net.Listener
	accepted *atomic.Int64
}

func (l counted) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.accepted.Add(1)
	}
	return c, err
}

// TestRestartOfADeafBroker: a broker that tells of messages and sends none over the connections there are
// sends them over new ones.
func TestRestartOfADeafBroker(t *testing.T) {
	t.Parallel()
	var accepted, deafUntil atomic.Int64
	c := newCluster(t, kfake.SeedTopics(1, "orders"), kfake.ListenFn(func(network, address string) (net.Listener, error) {
		l, err := net.Listen(network, address)
		return counted{l, &accepted}, err
	}))
	client := newClient(t, c)
	produce(t, client, "orders", 1, 0, 100)
	h := newHost()
	s := open(t, c, h)
	drain(t, s, h, 100)
	if s.Restart(errors.New("why")) {
		t.Error("a source that is not behind was restarted")
	}

	c.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if accepted.Load() > deafUntil.Load() {
			return nil, nil, false
		}
		c.SleepControl(func() { time.Sleep(5 * time.Millisecond) })
		fetch := req.(*kmsg.FetchRequest)
		answer := fetch.ResponseKind().(*kmsg.FetchResponse)
		for _, topic := range fetch.Topics {
			to := kmsg.NewFetchResponseTopic()
			to.Topic = topic.Topic
			for _, p := range topic.Partitions {
				part := kmsg.NewFetchResponseTopicPartition()
				part.Partition, part.HighWatermark, part.LastStableOffset = p.Partition, 110, 110
				to.Partitions = append(to.Partitions, part)
			}
			answer.Topics = append(answer.Topics, to)
		}
		return answer, nil, true
	})
	deafUntil.Store(math.MaxInt64)
	produce(t, client, "orders", 1, 100, 10)
	for lag, known := s.Lag(); lag != 10 || !known; lag, known = s.Lag() {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if b, err := s.Fetch(ctx, wide); err == nil {
			t.Fatalf("the deaf broker has sent %d messages", len(b.Messages))
		}
		cancel()
	}
	deafUntil.Store(accepted.Load())
	if !s.Restart(errors.New("why")) {
		t.Error("a source that is behind was not restarted")
	}
	checkOrder(t, drain(t, s, h, 10), 1, 100, 10)
}
