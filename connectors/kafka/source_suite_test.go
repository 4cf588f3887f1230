package kafka

import (
	"context"
	"net"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/connectortest"
)

// gate is in front of a cluster and can be shut: then connections are cut and refused.
type gate struct {
	mu    sync.Mutex
	shut  bool
	conns map[net.Conn]bool
}

func newGate() *gate { return &gate{conns: map[net.Conn]bool{}} }

func (g *gate) option() kfake.Opt {
	return kfake.ListenFn(func(network, address string) (net.Listener, error) {
		l, err := net.Listen(network, address)
		return &gatedListener{l, g}, err
	})
}

func (g *gate) set(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = shut
	if shut {
		for c := range g.conns {
			c.Close()
		}
		clear(g.conns)
	}
}

type gatedListener struct {
	net.Listener
	g *gate
}

func (l *gatedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		l.g.mu.Lock()
		shut := l.g.shut
		if !shut {
			l.g.conns[c] = true
		}
		l.g.mu.Unlock()
		if !shut {
			return c, nil
		}
		c.Close()
	}
}

func TestSourceConformance(t *testing.T) {
	t.Run("plain", func(t *testing.T) { sourceSuite(t, unsecured()) })
	t.Run("tls", func(t *testing.T) { sourceSuite(t, securedBy(t)) })
}

func sourceSuite(t *testing.T, by security) {
	connectortest.Source(t, connectortest.SourceHarness{Settings: connectortest.Settings{Goroutines: brokerGoroutines()}, New: func(t testing.TB) connectortest.Upstream {
		g := newGate()
		c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, "orders"), g.option(), by.cluster,
			kfake.GroupMinSessionTimeout(0), kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return connectortest.Upstream{
			Partitions: 3,
			Spec: func(t testing.TB) *connectors.SourceSpec {
				config := "brokers: [" + c.ListenAddrs()[0] + "]\ntopics: orders\ndial_timeout: 2s\n" + by.config
				spec := connectortest.SourceSpec(t, Plugin(), config)
				var cfg SourceConfig
				spec.Open = func(_ context.Context, env connectors.Env) (connectors.Source, error) {
					cfg = defaultSource(connectortest.About())
					if err := connectortest.Decode(config)(&cfg); err != nil {
						return nil, err
					}
					return newSource(cfg, env, testTiming()), nil
				}
				return spec
			},
			Put: func(t testing.TB, partition int, messages ...connectors.Message) {
				records := make([]*kgo.Record, len(messages))
				for i, m := range messages {
					r := &kgo.Record{Topic: "orders", Partition: int32(partition), Key: m.Key, Value: m.Value, Timestamp: m.Time}
					for _, h := range m.Headers {
						r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
					}
					records[i] = r
				}
				client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0), by.client)
				if err != nil {
					t.Fatal(err)
				}
				defer client.Close()
				if err := client.ProduceSync(context.Background(), records...).FirstErr(); err != nil {
					t.Fatal(err)
				}
			},
			Break: func(testing.TB) { g.set(true) },
			Mend:  func(testing.TB) { g.set(false) },
			Rebalance: func(testing.TB) {
				c.ControlKey(12, func(req kmsg.Request) (kmsg.Response, error, bool) {
					res := req.ResponseKind().(*kmsg.HeartbeatResponse)
					res.ErrorCode = int16(codeRebalanceInProgress)
					return res, nil, true
				})
			},
		}
	}})
}
