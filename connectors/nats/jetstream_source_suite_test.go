package nats

import (
	"context"
	"fmt"
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

// TestSourceIsAConnector runs the suite that defines what a source is, against streams that hold what
// a Sluice sink has written there.
func TestSourceIsAConnector(t *testing.T) {
	a := connectortest.NewAuthority(t)
	p := a.Issue(t, "server", time.Hour, "127.0.0.1")
	start := func() *server.Server {
		return securedServer(t, p, false, func(o *server.Options) { o.AllowNonTLS = true })
	}
	t.Run("beside", func(t *testing.T) { sourceSuite(t, start(), "plain: false") })
	t.Run("plain", func(t *testing.T) { sourceSuite(t, start(), "plain: true") })
	t.Run("tls", func(t *testing.T) { sourceSuite(t, start(), "tls: {ca_file: "+a.CAFile+"}") })
}

func sourceSuite(t *testing.T, srv *server.Server, link string) {
	st := &streamTest{t: t, server: srv}
	st.connectTo("nats://" + srv.Addr().String())
	var streams atomic.Int64
	connectortest.Source(t, connectortest.SourceHarness{
		New: func(t testing.TB) connectortest.Upstream {
			stream := fmt.Sprintf("C%d", streams.Add(1))
			if _, err := st.js.CreateStream(context.Background(), jetstream.StreamConfig{Name: stream, Subjects: []string{stream + ".>"}}); err != nil {
				t.Fatal(err)
			}
			p := newProxy(t, st.server.Addr().String())
			return connectortest.Upstream{
				Spec: func(t testing.TB) *connectors.SourceSpec {
					return connectortest.SourceSpec(t, JetStream(), "servers: ["+p.addr+"]", "stream: "+stream, link)
				},
				Put: func(t testing.TB, _ int, messages ...connectors.Message) {
					for i := range messages {
						putMessage(t, st.js, stream+".x", &messages[i])
					}
				},
				Break: func(testing.TB) { p.refuse(true) },
				Mend:  func(testing.TB) { p.refuse(false) },
			}
		},
		Settings: connectortest.Settings{Goroutines: []goleak.Option{
			goleak.IgnoreAnyFunction("github.com/sluice-bridge/sluice/connectors/nats.(*proxy).copy"),
			goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*client).readLoop"),
			goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*client).writeLoop"),
			goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*stream).internalLoop"),
			goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*consumer).loopAndGatherMsgs"),
			goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*consumer).processInboundAcks"),
			goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*consumer).processInboundNextMsgReqs"),
			goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*fileStore).flushLoop"),
			goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*msgBlock).flushLoop"),
			goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*consumerFileStore).flushLoop"),
		}},
	})
}

// putMessage stores a message as a Sluice sink writes it.
func putMessage(t testing.TB, js jetstream.JetStream, subject string, m *connectors.Message) {
	t.Helper()
	e := headerEncoder{add: true}
	block, err := e.append(nil, &connectors.Batch{}, m) // no origin: nothing is added that was not put
	if err != nil {
		t.Fatal(err)
	}
	var header nats.Header
	if len(block) > 0 {
		if header, err = nats.DecodeHeadersMsg(block); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := js.PublishMsg(context.Background(), &nats.Msg{Subject: subject, Header: header, Data: m.Value}); err != nil {
		t.Fatal(err)
	}
}
