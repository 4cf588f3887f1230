package nats

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/connectortest"
)

// serverGoroutines are those of the embedded server and of the proxy, which come and go.
func serverGoroutines() []goleak.Option {
	var all []goleak.Option
	for _, name := range []string{
		"connectors/nats.(*proxy).copy", "connectors/nats.(*proxy).accept",
	} {
		all = append(all, goleak.IgnoreAnyFunction("github.com/sluice-bridge/sluice/"+name))
	}
	for _, name := range []string{
		"(*client).readLoop", "(*client).writeLoop", "(*stream).internalLoop", "(*consumer).loopAndGatherMsgs",
		"(*consumer).processInboundAcks", "(*consumer).processInboundNextMsgReqs", "(*fileStore).flushLoop",
		"(*msgBlock).flushLoop", "(*consumerFileStore).flushLoop",
	} {
		all = append(all, goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server."+name))
	}
	return all
}

// arrived makes the message that came out of NATS, without what the sink added to say where it is from.
func arrived(subject string, h nats.Header, data []byte) connectors.Message {
	m := connectors.Message{Subject: subject, Value: append([]byte{}, data...)}
	restore(&m, h)
	m.Headers = slices.DeleteFunc(m.Headers, func(h connectors.Header) bool { return h.Key == headerOrigin })
	return m
}

// TestJetStreamSinkIsAConnector runs the suite that defines what a sink is.
func TestJetStreamSinkIsAConnector(t *testing.T) {
	a := connectortest.NewAuthority(t)
	p := a.Issue(t, "server", time.Hour, "127.0.0.1")
	suite := func(t *testing.T, link string, change func(*jetstream.StreamConfig)) {
		srv := securedServer(t, p, false, func(o *server.Options) { o.AllowNonTLS = true })
		js, err := jetstream.New(client(t, "nats://"+srv.Addr().String()))
		if err != nil {
			t.Fatal(err)
		}
		var streams atomic.Int64
		connectortest.Sink(t, connectortest.SinkHarness{
			New: func(t testing.TB) connectortest.Downstream {
				c := jetstream.StreamConfig{Name: fmt.Sprintf("C%d", streams.Add(1))}
				c.Subjects = []string{c.Name + ".>"}
				change(&c)
				stream, err := js.CreateStream(context.Background(), c)
				if err != nil {
					t.Fatal(err)
				}
				p := newProxy(t, srv.Addr().String())
				return connectortest.Downstream{
					Spec: func(t testing.TB) *connectors.SinkSpec {
						return connectortest.SinkSpec(t, JetStream(), "servers: ["+p.addr+"]", "stream: "+c.Name, "subject: '"+c.Name+".{{ topic }}'", link)
					},
					Read:     func(t testing.TB, n int) []connectors.Message { return readStream(t, stream, n) },
					Break:    func(testing.TB) { p.refuse(true) },
					Mend:     func(testing.TB) { p.refuse(false) },
					Oversize: 1 << 20,
				}
			},
			Settings: connectortest.Settings{Goroutines: serverGoroutines()},
		})
	}
	// One after the other: the suite looks for goroutines that are left.
	stock := func(*jetstream.StreamConfig) {}
	t.Run("fast", func(t *testing.T) { suite(t, "plain: false", batched) })
	t.Run("fast tls", func(t *testing.T) { suite(t, "tls: {ca_file: "+a.CAFile+"}", batched) })
	t.Run("pipelined", func(t *testing.T) { suite(t, "plain: false", stock) })
	t.Run("fast plain", func(t *testing.T) { suite(t, "plain: true", batched) })
	t.Run("pipelined plain", func(t *testing.T) { suite(t, "plain: true", stock) })
}

// readStream returns all messages of a stream once there are n.
func readStream(t testing.TB, stream jetstream.Stream, n int) (all []connectors.Message) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		info, err := stream.Info(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if n = max(n, int(info.State.Msgs)); int(info.State.Msgs) == n {
			break
		}
		wait(ctx, 5*time.Millisecond)
	}
	for seq := range n {
		m, err := stream.GetMsg(ctx, uint64(seq+1))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, arrived(m.Subject, m.Header, m.Data))
	}
	return all
}

// TestCoreSinkIsAConnector runs the suite against a subscriber that misses nothing.
func TestCoreSinkIsAConnector(t *testing.T) {
	srv := startServer(t, nil)
	nc := client(t, srv.ClientURL())
	var subjects atomic.Int64
	connectortest.Sink(t, connectortest.SinkHarness{
		New: func(t testing.TB) connectortest.Downstream {
			prefix := fmt.Sprintf("c%d", subjects.Add(1))
			var mu sync.Mutex
			var got []connectors.Message
			sub, err := nc.Subscribe(prefix+".>", func(m *nats.Msg) {
				mu.Lock()
				defer mu.Unlock()
				got = append(got, arrived(m.Subject, m.Header, m.Data))
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = sub.Unsubscribe() })
			p := newProxy(t, srv.Addr().String())
			return connectortest.Downstream{
				Spec: func(t testing.TB) *connectors.SinkSpec {
					return connectortest.SinkSpec(t, Core(), "servers: ["+p.addr+"]", "subject: '"+prefix+".{{ topic }}'")
				},
				Read: func(t testing.TB, n int) []connectors.Message {
					for {
						if err := nc.Flush(); err != nil {
							t.Fatal(err)
						}
						pending, _, err := sub.Pending()
						if err != nil {
							t.Fatal(err)
						}
						mu.Lock()
						have := slices.Clone(got)
						mu.Unlock()
						if pending == 0 && len(have) >= n {
							return have
						}
						wait(t.Context(), 5*time.Millisecond)
						if t.Context().Err() != nil {
							t.Fatalf("%d of %d messages arrived", len(have), n)
						}
					}
				},
				Break:    func(testing.TB) { p.refuse(true) },
				Mend:     func(testing.TB) { p.refuse(false) },
				Oversize: 1 << 20,
			}
		},
		Settings: connectortest.Settings{Goroutines: serverGoroutines()},
	})
}

// TestCoreSourceIsAConnector runs the suite as far as core NATS goes.
func TestCoreSourceIsAConnector(t *testing.T) {
	srv := startServer(t, nil)
	nc := client(t, srv.ClientURL())
	var subjects atomic.Int64
	connectortest.Source(t, connectortest.SourceHarness{
		New: func(t testing.TB) connectortest.Upstream {
			prefix := fmt.Sprintf("s%d", subjects.Add(1))
			p := newProxy(t, srv.Addr().String())
			return connectortest.Upstream{
				Spec: func(t testing.TB) *connectors.SourceSpec {
					return connectortest.SourceSpec(t, Core(), "servers: ["+p.addr+"]", "subjects: ["+prefix+".>]")
				},
				Put: func(t testing.TB, _ int, messages ...connectors.Message) {
					for i := range messages {
						e := headerEncoder{add: true}
						block, err := e.append(nil, &connectors.Batch{}, &messages[i])
						if err != nil {
							t.Fatal(err)
						}
						m := &nats.Msg{Subject: prefix + ".x", Data: messages[i].Value}
						if len(block) > 0 {
							if m.Header, err = nats.DecodeHeadersMsg(block); err != nil {
								t.Fatal(err)
							}
						}
						if err := nc.PublishMsg(m); err != nil {
							t.Fatal(err)
						}
					}
					if err := nc.Flush(); err != nil {
						t.Fatal(err)
					}
				},
				Break: func(testing.TB) { p.refuse(true) },
				Mend:  func(testing.TB) { p.refuse(false) },
			}
		},
		Settings: connectortest.Settings{Lacks: connectortest.Redelivery | connectortest.Backlog, Goroutines: serverGoroutines()},
	})
}
