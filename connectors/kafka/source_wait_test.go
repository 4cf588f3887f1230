package kafka

import (
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-bridge/sluice/connectors"
)

// A request that a broker holds for as long as there is nothing does not hold back a partition that is not
// in it.
func TestSourceGivesUpARequestThatIsHeld(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "orders"))
	produce(t, newClient(t, c), "orders", 1, 0, 10)
	h := newHost()
	s := open(t, c, h, func(_ *SourceConfig, ti *timing) { ti.wait, ti.request = 50*time.Second, time.Minute })
	drain(t, s, h, 10)
	go func() {
		if _, err := admin(t, c).CreatePartitions(t.Context(), 1, "orders"); err != nil {
			t.Error(err)
		}
		h.await(t, kind(connectors.Rebalancing))
		if err := newClient(t, c).ProduceSync(t.Context(), &kgo.Record{Topic: "orders", Partition: 1, Value: []byte("new")}).FirstErr(); err != nil {
			t.Error(err)
		}
	}()
	begin := time.Now()
	if got := drain(t, s, h, 1); got[0].value != "new" {
		t.Errorf("%+v", got)
	}
	if took := time.Since(begin); took > 25*time.Second {
		t.Errorf("the new partition was read after %v", took)
	}
}

// forwarder is another address of a broker, for as long as it is open.
type forwarder struct {
	net.Listener
	mu    sync.Mutex
	conns []net.Conn
}

func forward(t *testing.T, to string) *forwarder {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &forwarder{Listener: l}
	t.Cleanup(f.close)
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			broker, err := net.Dial("tcp", to)
			if err != nil {
				return
			}
			f.mu.Lock()
			f.conns = append(f.conns, from, broker)
			f.mu.Unlock()
			go func() { _, _ = io.Copy(broker, from) }()
			go func() { _, _ = io.Copy(from, broker) }()
		}
	}()
	return f
}

func (f *forwarder) port() int32 { return int32(f.Addr().(*net.TCPAddr).Port) }

func (f *forwarder) close() {
	_ = f.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.conns {
		_ = c.Close()
	}
}

// A broker that comes back at another address is found there, as leader and as coordinator.
func TestSourceFollowsABrokerThatMoves(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "orders"))
	client := newClient(t, c)
	ask := kmsg.NewPtrMetadataRequest()
	ask.Topics = append(ask.Topics, kmsg.MetadataRequestTopic{Topic: kmsg.StringPtr("orders")})
	truth, err := ask.RequestWith(t.Context(), client)
	if err != nil {
		t.Fatal(err)
	}
	produce(t, client, "orders", 1, 0, 10)

	before := forward(t, c.ListenAddrs()[0])
	var port atomic.Int32
	port.Store(before.port())
	c.ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		answer := req.ResponseKind().(*kmsg.MetadataResponse)
		version := answer.Version
		*answer = *truth
		answer.Version = version
		answer.Brokers = []kmsg.MetadataResponseBroker{truth.Brokers[0]}
		answer.Brokers[0].Port = port.Load()
		if len(req.(*kmsg.MetadataRequest).Topics) == 0 {
			answer.Topics = nil
		}
		return answer, nil, true
	})
	h := newHost()
	s := open(t, c, h)
	drain(t, s, h, 10)

	_, at, _ := net.SplitHostPort(c.ListenAddrs()[0])
	n, _ := strconv.Atoi(at)
	port.Store(int32(n))
	before.close()
	produce(t, newClient(t, c), "orders", 1, 10, 10)
	begin := time.Now()
	checkOrder(t, drain(t, s, h, 10), 1, 10, 10) // and commits, which is the coordinator's
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("the broker was found after %v", took)
	}
}
