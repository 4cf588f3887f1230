package kafka

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/connectortest"
)

func TestSinkConformance(t *testing.T) {
	t.Run("plain", func(t *testing.T) { sinkSuite(t, unsecured()) })
	t.Run("tls", func(t *testing.T) { sinkSuite(t, securedBy(t)) })
}

func sinkSuite(t *testing.T, by security) {
	connectortest.Sink(t, connectortest.SinkHarness{Settings: connectortest.Settings{Goroutines: []goleak.Option{
		// Those of the broker.
		goleak.IgnoreAnyFunction("github.com/twmb/franz-go/pkg/kfake.(*clientConn).read"),
		goleak.IgnoreAnyFunction("github.com/twmb/franz-go/pkg/kfake.(*clientConn).read.func1"),
		goleak.IgnoreAnyFunction("github.com/twmb/franz-go/pkg/kfake.(*clientConn).write"),
	}}, New: func(t testing.TB) connectortest.Downstream {
		g := newGate()
		c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "t"), g.option(), by.cluster)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return connectortest.Downstream{
			Spec: func(t testing.TB) *connectors.SinkSpec {
				return connectortest.SinkSpec(t, Plugin(), "brokers: ["+c.ListenAddrs()[0]+"]\ntopic: t\ndial_timeout: 1s\n"+by.config)
			},
			Read:     func(t testing.TB, n int) []connectors.Message { return readMessages(t, c.ListenAddrs(), n, by.client) },
			Break:    func(testing.TB) { g.set(true) },
			Mend:     func(testing.TB) { g.set(false) },
			Oversize: 1<<20 + 1,
		}
	}})
}

// readMessages reads topic t from its start, until there is nothing for a moment, and takes our header off.
func readMessages(t testing.TB, brokers []string, n int, opts ...kgo.Opt) []connectors.Message {
	client, err := kgo.NewClient(append(opts, kgo.SeedBrokers(brokers...), kgo.ConsumeTopics("t"), kgo.FetchMaxWait(50*time.Millisecond),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var all []connectors.Message
	patience := time.Minute
	for {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		fetches := client.PollFetches(ctx)
		waited := ctx.Err() != nil
		cancel()
		fetches.EachRecord(func(r *kgo.Record) {
			m := connectors.Message{Key: r.Key, Value: r.Value, Time: r.Timestamp, Offset: r.Offset}
			for _, h := range r.Headers {
				if h.Key != connectors.OriginHeader {
					m.Headers = append(m.Headers, connectors.Header{Key: h.Key, Value: h.Value})
				}
			}
			all = append(all, m)
		})
		if len(all) >= n {
			patience = 100 * time.Millisecond
		}
		if fetches.NumRecords() == 0 && waited {
			return all
		}
	}
}
