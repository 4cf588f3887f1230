package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	kafkago "github.com/segmentio/kafka-go"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/kafka/wire"
)

// conn is one end's access to a cluster: a Transport, what is known of the cluster, and whether it
// answers. All methods may be called from any goroutine.
type conn struct {
	transport *kafkago.Transport
	bootstrap net.Addr
	clientID  string
	timeout   time.Duration // for a connection and for a small request
	stop      context.CancelFunc
	dialled   *sockets
	report    func(connectors.Event)
	log       zerolog.Logger

	cache     atomic.Pointer[metadata]
	throttled atomic.Int64 // until when a broker asked a producer to wait, in Unix nanoseconds

	mu       sync.Mutex
	state    linkState
	refusal  string                 // of the last Disconnected: another one is news, another wording is not
	held     map[string]bool        // see hold
	versions map[int16]versionRange // nil until the brokers have told
}

type linkState uint8

const (
	linkUnknown linkState = iota
	linkUp
	linkDown
)

const (
	// transportTTL is how often at least the Transport asks each address for the list of brokers. We know
	// better where brokers are, so it need not; but it waits for the first answer for so long.
	// MetadataTopics is empty, not nil, which would mean all topics.
	transportTTL = time.Minute
	// restTimeout is how long a connection is kept that nothing is sent over: longer than metadata is not
	// asked for, and shorter than what lies between us and a broker forgets it.
	restTimeout = refreshEvery + 15*time.Second
)

// newConn prepares access. It connects to nothing: that happens at the first call.
func newConn(c *Connection, env *connectors.Env) *conn {
	ctx, stop := context.WithCancel(context.Background())
	dialled := newSockets(c)
	t := &kafkago.Transport{
		DialTimeout:    time.Duration(c.DialTimeout), //nolint:forbidigo // a field of the Transport, not the function
		Dial:           dialled.dial,                 //nolint:forbidigo // the same
		IdleTimeout:    restTimeout,
		MetadataTTL:    transportTTL,
		MetadataTopics: []string{},
		ClientID:       c.ClientID,
		Context:        ctx,
	}
	if l := newLogin(c); l != nil {
		t.SASL = l
	}
	report := func(connectors.Event) {}
	if env.Host != nil {
		report = env.Host.Report
		c.warn(&env.Logger)
	}
	return &conn{
		transport: t, bootstrap: kafkago.TCP(c.Brokers...), clientID: c.ClientID,
		timeout: time.Duration(c.DialTimeout), stop: stop, report: report, log: env.Logger, dialled: dialled,
		held: map[string]bool{},
	}
}

// close ends every connection. Calls still under way fail.
func (c *conn) close() {
	c.stop()
	c.transport.CloseIdleConnections()
	c.dialled.close()
}

// renew drops every connection, so that what comes next has new ones. Calls under way fail.
func (c *conn) renew() {
	c.transport.CloseIdleConnections()
	c.dialled.hangUp()
}

// call sends one request to the broker it names and waits at most timeout for the answer. While ctx
// lives, an error means that it is not known whether the broker has acted on the request, unless
// req.Begun is false.
func (c *conn) call(ctx context.Context, timeout time.Duration, req *wire.Call) (*wire.Answer, error) {
	req.ClientID = c.clientID
	// A context that only ends would leave the connection waiting for its answer; a deadline closes it.
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	address, err := c.address(limited, req.Node)
	var res kafkago.Response
	if err == nil {
		res, err = c.transport.RoundTrip(limited, address, req)
	}
	switch {
	case err == nil:
		return res.(*wire.Answer), nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case limited.Err() != nil, errors.Is(err, os.ErrDeadlineExceeded) && !isTLS(err):
		err = fmt.Errorf("no answer within %v", timeout)
	}
	return nil, c.explain(req.Node, err)
}

// address returns where a broker listens, as the cluster told last; it is asked if it has not told.
func (c *conn) address(ctx context.Context, node int32) (net.Addr, error) {
	if node == wire.AnyBroker {
		return c.bootstrap, nil
	}
	known := c.cached()
	if known == nil || known.Brokers[node] == "" {
		var err error
		if known, err = c.refresh(ctx); err != nil {
			return nil, err
		}
	}
	if at := known.Brokers[node]; at != "" {
		return kafkago.TCP(at), nil
	}
	return nil, kafkago.BrokerNotAvailable
}

// explain names the broker, and the way out where an error of the library has none.
func (c *conn) explain(node int32, err error) error {
	if refused, ok := errors.AsType[kafkago.Error](err); ok && refused != kafkago.BrokerNotAvailable {
		return codeError(code(refused), "connect to %s", c.brokerName(node))
	}
	closed := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	switch {
	case closed && c.login() != nil && c.login().open.Load():
		return fmt.Errorf("%s: %w: %w", c.brokerName(node), errLogin, err)
	case closed && c.cached() == nil:
		want := "TLS (tls: true) or a login (sasl)"
		if c.dialled.tls.On {
			want = "a login (sasl), or a client certificate (tls.cert_file)"
		}
		return fmt.Errorf("%s: connection closed at once; does this port want %s?: %w", c.brokerName(node), want, err)
	}
	return fmt.Errorf("%s: %w", c.brokerName(node), err)
}

func isTLS(err error) bool {
	_, ok := errors.AsType[*connectors.TLSError](err)
	return ok
}

// login is how we log in, nil if we do not.
func (c *conn) login() *login {
	l, _ := c.transport.SASL.(*login)
	return l
}

// brokerName names a broker for people.
func (c *conn) brokerName(node int32) string {
	if node == wire.AnyBroker {
		return "brokers " + c.bootstrap.String()
	}
	if m := c.cache.Load(); m != nil {
		if addr, ok := m.Brokers[node]; ok {
			return fmt.Sprintf("broker %d (%s)", node, addr)
		}
	}
	return fmt.Sprintf("broker %d", node)
}

// connected and disconnected report the cluster's state when it changes.
func (c *conn) connected() { c.link(linkUp, connectors.Event{Kind: connectors.Connected}) }

func (c *conn) disconnected(err error) {
	c.link(linkDown, connectors.Event{Kind: connectors.Disconnected, Err: err})
}

// hold makes err count as a disconnection, although brokers answer, until the same who calls with nil:
// nothing can be read, and err says what can be done about it.
func (c *conn) hold(who string, err error) {
	c.mu.Lock()
	held := c.held[who]
	c.held[who] = err != nil
	c.mu.Unlock()
	switch {
	case err != nil:
		c.disconnected(err)
	case held:
		c.connected()
	}
}

func (c *conn) link(state linkState, e connectors.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, held := range c.held {
		if held && state == linkUp {
			return
		}
	}
	refusal := refusalOf(e.Err)
	if c.state != state || c.refusal != refusal {
		c.state, c.refusal = state, refusal
		c.report(e) // never blocks; under the lock, so that the order of events is that of the changes
	}
}

type versionRange struct{ low, high int16 }

// negotiate asks once which versions the brokers speak and refuses a cluster that is too old or too new
// with words, where a broker would only close the connection.
func (c *conn) negotiate(ctx context.Context) (map[int16]versionRange, error) {
	c.mu.Lock()
	known := c.versions
	c.mu.Unlock()
	if known != nil {
		return known, nil
	}
	answer, err := c.call(ctx, c.timeout, &wire.Call{Key: 18, Node: wire.AnyBroker, Limit: 1 << 20})
	if err != nil {
		return nil, err
	}
	f := wire.Fields{B: answer.Body}
	failed := code(f.Int16())
	known = map[int16]versionRange{}
	for range f.Count(6) {
		known[f.Int16()] = versionRange{f.Int16(), f.Int16()}
	}
	if err := errors.Join(f.Err, codeError(failed, "ask %s for its versions", c.brokerName(wire.AnyBroker))); err != nil {
		return nil, err
	}
	// What the other end has to speak, all of it since Kafka 2.4; the version of Metadata is chosen.
	needs := []struct {
		key, version int16
		name         string
	}{
		{wire.ProduceKey, wire.ProduceVersion, "Produce"},
		{wire.FetchKey, wire.FetchVersion, "Fetch"},
		{wire.InitProducerIDKey, wire.InitProducerIDVersion, "InitProducerId"},
	}
	for _, n := range needs {
		if r, ok := known[n.key]; !ok || n.version < r.low || n.version > r.high {
			return nil, fmt.Errorf("%s: speak %s %d to %d, version %d is needed (Kafka 2.4 or later)",
				c.brokerName(wire.AnyBroker), n.name, r.low, r.high, n.version)
		}
	}
	c.mu.Lock()
	c.versions = known
	c.mu.Unlock()
	return known, nil
}
