package failpoint

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/sluice-bridge/sluice/integration/proxy"
	"github.com/sluice-bridge/sluice/integration/truth"
)

// natsServer is a server in this process, the way to it for others, and what watches it.
type natsServer struct {
	*server.Server
	options *server.Options
	way     *proxy.Proxy
	watch   *nats.Conn
}

func newNATS(t testing.TB, change ...func(*server.Options)) *natsServer {
	t.Helper()
	s := &natsServer{options: &server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true,
	}}
	for _, f := range change {
		f(s.options)
	}
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	s.options.Port = s.Addr().(*net.TCPAddr).Port
	var err error
	if s.watch, err = nats.Connect(s.ClientURL(), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.watch.Close)
	if s.way, err = proxy.New("127.0.0.1:0", s.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.way.Close() })
	return s
}

func (s *natsServer) start() error {
	var err error
	if s.Server, err = server.NewServer(s.options.Clone()); err != nil {
		return err
	}
	go s.Server.Start()
	if !s.ReadyForConnections(time.Minute) {
		return errors.New("the server does not start")
	}
	return nil
}

// restart stops the server and starts it again at its port, which somebody may use for a moment.
func (s *natsServer) restart() (err error) {
	for range 10 {
		s.Shutdown()
		s.WaitForShutdown()
		if err = s.start(); err == nil {
			break
		}
	}
	return err
}

func (s *natsServer) cutAfter(n int64, do func()) { s.way.CutAfter(n, do) }

// settle returns when the server has seen the end of every connection of others.
func (s *natsServer) settle(ctx context.Context) error {
	return wait(ctx, func() (bool, error) { return s.NumClients() <= 1, nil })
}

// streamEnd is a stream and, as a source, its durable.
type streamEnd struct {
	*natsServer
	stream  truth.Stream
	prefix  string // of its subjects
	durable string

	mu   sync.Mutex
	high uint64   // highest stream sequence that was acknowledged
	back []string // acknowledgements that went back
}

// newStreamEnd creates the stream for "<name>.>", with fast-ingest batches or without.
func newStreamEnd(t testing.TB, name string, fast bool, change ...func(*server.Options)) *streamEnd {
	t.Helper()
	e := &streamEnd{natsServer: newNATS(t, change...), prefix: name, durable: "durable-" + name}
	e.stream = truth.Stream{URL: e.ClientURL(), Name: strings.ToUpper(name)}
	err := e.stream.Create(t.Context(), func(c *jetstream.StreamConfig) { c.AllowBatchPublish = fast }, name+".>")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.watch.Subscribe("$JS.ACK."+e.stream.Name+"."+e.durable+".>", e.observe); err != nil {
		t.Fatal(err)
	}
	if err := e.watch.Flush(); err != nil {
		t.Fatal(err)
	}
	return e
}

// observe looks at an acknowledgement: $JS.ACK.<stream>.<durable>.<deliveries>.<stream seq>.<consumer seq>...
func (e *streamEnd) observe(m *nats.Msg) {
	tokens := strings.Split(m.Subject, ".")
	seq, err := strconv.ParseUint(tokens[5], 10, 64)
	e.mu.Lock()
	defer e.mu.Unlock()
	if err != nil || seq < e.high {
		e.back = append(e.back, fmt.Sprintf("%s after %d", m.Subject, e.high))
	}
	e.high = max(e.high, seq)
}

func (e *streamEnd) backwards() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.back)
}

func (e *streamEnd) source() string {
	return fmt.Sprintf(`{jetstream: {servers: ["%s"], stream: "%s", durable: "%s"}}`, e.way.Addr, e.stream.Name, e.durable)
}

func (e *streamEnd) sink() string {
	return fmt.Sprintf(`{jetstream: {servers: ["%s"], stream: "%s", subject: "%s.{{ partition }}"}}`, e.way.Addr, e.stream.Name, e.prefix)
}

func (e *streamEnd) fill(ctx context.Context, load *truth.Load, from, to int64) error {
	return e.stream.Write(ctx, load, e.prefix, from, to, 0)
}

func (e *streamEnd) log(ctx context.Context, run string) ([]truth.Entry, error) {
	return e.stream.Log(ctx, run)
}

func (e *streamEnd) done(ctx context.Context) (func(*truth.Entry) bool, error) {
	info, err := e.stream.Durable(ctx, e.durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return func(*truth.Entry) bool { return false }, nil
	}
	if err != nil {
		return nil, err
	}
	return func(m *truth.Entry) bool { return m.Offset <= int64(info.AckFloor.Stream) }, nil
}

// settle returns when everything that others have sent is stored: a message that the stream refuses
// goes through the same queue as theirs.
func (e *streamEnd) settle(ctx context.Context) error {
	if err := e.natsServer.settle(ctx); err != nil {
		return err
	}
	fence := nats.NewMsg(e.prefix + ".fence")
	fence.Header.Set("Nats-Expected-Last-Sequence", "999999999")
	_, err := e.watch.RequestMsgWithContext(ctx, fence)
	return err
}

// subjectEnd is a subject without a stream, and who subscribes to it.
type subjectEnd struct {
	*natsServer
	subject string
	sub     *nats.Subscription
	have    []truth.Entry
}

func newSubjectEnd(t testing.TB, name string, change ...func(*server.Options)) *subjectEnd {
	t.Helper()
	e := &subjectEnd{natsServer: newNATS(t, change...), subject: name}
	var err error
	if e.sub, err = e.watch.SubscribeSync(name + ".>"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(e.sub.SetPendingLimits(-1, -1), e.watch.Flush()); err != nil {
		t.Fatal(err)
	}
	return e
}

func (e *subjectEnd) sink() string {
	return fmt.Sprintf(`{nats: {servers: ["%s"], subject: "%s.{{ partition }}"}}`, e.way.Addr, e.subject)
}

// log returns what has come so far.
func (e *subjectEnd) log(_ context.Context, run string) ([]truth.Entry, error) {
	var bad error
	err := e.read(func(msg *nats.Msg) {
		m, err := truth.Decode(msg.Subject, msg.Header, msg.Data, time.Time{})
		if err != nil {
			bad = err
			return
		}
		e.have = append(e.have, truth.NewEntry(run, m, 0, int64(len(e.have))))
	})
	return slices.Clone(e.have), errors.Join(err, bad)
}

// read gives what has come since the last read.
func (e *subjectEnd) read(visit func(*nats.Msg)) error {
	if err := e.watch.Flush(); err != nil {
		return err
	}
	for {
		n, _, err := e.sub.Pending()
		if err != nil || n == 0 {
			return err
		}
		msg, err := e.sub.NextMsg(time.Second)
		if err != nil {
			return err
		}
		visit(msg)
	}
}
