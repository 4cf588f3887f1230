package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/sluice-bridge/sluice/connectors"
)

const (
	connectTimeout = 5 * time.Second
	reconnectWait  = 250 * time.Millisecond
	maxLoginWait   = 10 * time.Second // the same where the login was refused; up to as much again
	// pingEvery and maxPings declare a silent connection dead after two minutes; a server that is
	// frozen for less costs no reconnect.
	pingEvery = 30 * time.Second
	maxPings  = 4
	// flushTimeout bounds how long a dead TCP connection holds nats.go's lock. A server that is frozen
	// under load lets the socket fill up, so this is no shorter than the silence that means death.
	flushTimeout = pingEvery * maxPings
	// requestTimeout is how long a request waits for its answer.
	requestTimeout = 5 * time.Second
)

// conn is a connection that is made in the background and never given up. Nothing is buffered while
// the server is away: a publish fails then. Safe for any goroutine.
type conn struct {
	name    string // of the connection, for the server's monitoring
	servers string // for people, without passwords
	options nats.Options
	host    connectors.Host
	silent  bool // Connected is reported by the owner, who waits for more than a connection
	sockets *sockets
	plain   bool   // no link beside nats.go
	creds   string // a file; empty: none
	nkey    string // the file of a seed; empty: none
	stop    context.CancelFunc
	done    chan struct{}

	mu      sync.Mutex
	nc      *nats.Conn
	up      bool
	closing bool          // close was called: what ends now is not news
	err     error         // why it is not up; nil before the first attempt has failed
	changed chan struct{} // closed and replaced when up or err changes
	life    chan struct{} // closed when this life of the connection ends
	waiting map[*waiter]struct{}
	denials uint64
	denied  *DeniedError // the last one
	refused map[string]denial
	seen    error // the last that asyncError was told
	unread  error // why the password could not be read, at the last attempt
}

// waiter is a request that is out.
type waiter struct {
	subject string
	cancel  context.CancelCauseFunc
}

// dial starts connecting and returns at once. With silent only the loss of the connection is reported.
func dial(cfg *Connection, env *connectors.Env, silent bool) *conn {
	c := &conn{
		name: cfg.Name, host: env.Host, silent: silent, sockets: newSockets(), plain: cfg.Plain, creds: cfg.Creds, nkey: cfg.NKey,
		done: make(chan struct{}), changed: make(chan struct{}), waiting: map[*waiter]struct{}{},
	}
	if c.name == "" {
		c.name = "sluice/" + env.Route
	}
	c.options = c.natsOptions(cfg)
	if env.Host != nil {
		cfg.warn(&env.Logger)
	}
	ctx, stop := context.WithCancel(context.Background())
	c.stop = stop
	go c.run(ctx)
	return c
}

func (c *conn) natsOptions(cfg *Connection) nats.Options {
	o := nats.GetDefaultOptions()
	shown := make([]string, len(cfg.Servers))
	for i, s := range cfg.Servers {
		if !strings.Contains(s, "://") {
			s = "nats://" + s
		}
		if address, secured := withoutTLS(s); secured {
			s = "nats://" + address // nats.go has no part in the handshake
		}
		o.Servers = append(o.Servers, s)
		if u, err := url.Parse(s); err == nil {
			shown[i] = u.Host
		}
	}
	c.servers = strings.Join(shown, ",")
	if c.sockets.tls = cfg.secured(); c.sockets.tls.On {
		c.sockets.first, c.sockets.servers = cfg.TLSFirst, o.Servers
		o.SkipHostLookup = true // a certificate is for a name, which Dial has to know
	}
	o.Name = c.name
	if cfg.User != "" {
		o.UserInfo = func() (string, string) { return cfg.User, c.reveal(cfg.Password) }
	}
	if cfg.Token != "" {
		o.TokenHandler = func() string { return c.reveal(cfg.Token) }
	}
	o.Timeout = connectTimeout
	o.RetryOnFailedConnect = true
	o.AllowReconnect = true
	o.MaxReconnect = -1
	o.CustomReconnectDelayCB = c.delay
	// Without it the connection closes for good when the server refuses the same user twice.
	o.IgnoreAuthErrorAbort = true
	// With a buffer, publishes that have failed would be stored later nevertheless.
	o.ReconnectBufSize = -1
	o.PingInterval, o.MaxPingsOut = pingEvery, maxPings
	o.FlusherTimeout = flushTimeout
	o.CustomDialer = c.sockets
	o.ReconnectOnFlusherError = true
	o.ConnectedCB = func(*nats.Conn) { c.setUp() }
	o.ReconnectedCB = func(*nats.Conn) { c.setUp() }
	o.DisconnectedErrCB = func(_ *nats.Conn, err error) { c.setDown(err) }
	o.ReconnectErrCB = func(_ *nats.Conn, err error) { c.setDown(err) }
	o.AsyncErrorCB = func(_ *nats.Conn, _ *nats.Subscription, err error) { c.asyncError(err) }
	return o
}

// reveal looks the password or token up, at each connection.
func (c *conn) reveal(s connectors.Secret) string {
	password, err := s.Reveal()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unread = err // shown by setDown, for the server will refuse us
	return password
}

// delay spaces attempts to connect. A server that refuses the login is asked ever more rarely, so that it
// need not lock the user out.
func (c *conn) delay(attempts int) time.Duration {
	c.mu.Lock()
	refused := errors.Is(c.err, errLogin)
	c.mu.Unlock()
	bound := reconnectWait
	if refused {
		bound = min(maxLoginWait, reconnectWait<<min(attempts, 10))
	}
	return bound + rand.N(bound)
}

// run holds a connection until ctx ends. nats.go reconnects by itself, but for what a server answers
// by closing for good (a protocol line too long); then a new connection takes its place.
func (c *conn) run(ctx context.Context) {
	defer close(c.done)
	for ctx.Err() == nil {
		closed := make(chan struct{})
		o := c.options
		o.ClosedCB = func(*nats.Conn) { close(closed) }
		err := c.identify(&o)
		var nc *nats.Conn
		if err == nil {
			nc, err = o.Connect()
		}
		if err != nil {
			c.setDown(err)
			wait(ctx, time.Second)
			continue
		}
		c.mu.Lock()
		c.nc = nc
		c.notify()
		c.mu.Unlock()
		select {
		case <-closed:
			c.setDown(fmt.Errorf("connection closed by the server: %w", cmpError(nc.LastError())))
			wait(ctx, time.Second)
		case <-ctx.Done():
			nc.Close()
			<-closed
		}
	}
}

func cmpError(err error) error {
	if err == nil {
		return nats.ErrConnectionClosed
	}
	return err
}

// wait waits for d or the end of ctx.
func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// notify is called with c.mu held.
func (c *conn) notify() {
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *conn) setUp() {
	c.mu.Lock()
	c.up, c.err = true, nil
	c.life = make(chan struct{})
	c.notify()
	c.mu.Unlock()
	if !c.silent {
		c.host.Report(connectors.Event{Kind: connectors.Connected})
	}
}

func (c *conn) setDown(err error) {
	if err == nil {
		err = errors.New("connection lost")
	}
	c.mu.Lock()
	if c.unread != nil {
		err = fmt.Errorf("the password cannot be read: %w", c.unread)
	}
	err = fmt.Errorf("nats %s: %w", c.servers, explain(err))
	known := !c.up && c.err != nil && c.err.Error() == err.Error()
	if c.up {
		close(c.life)
	}
	c.up, c.err = false, err
	if !known {
		c.notify()
	}
	for w := range c.waiting {
		w.cancel(err)
	}
	closing := c.closing
	c.mu.Unlock()
	if !known && !closing {
		c.host.Report(connectors.Event{Kind: connectors.Disconnected, Err: err})
	}
}

// asyncError is told what the server refuses beside the connection.
func (c *conn) asyncError(err error) {
	if isLogin(err) && !c.isUp() {
		c.setDown(err) // a login that is refused while nats.go reconnects is told nowhere else
		return
	}
	if !errors.Is(err, nats.ErrPermissionViolation) {
		c.mu.Lock()
		c.seen = err
		c.mu.Unlock()
		return
	}
	denied := &DeniedError{Subject: deniedSubject(err.Error()), Text: err.Error()}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.denials++
	c.denied, c.seen = denied, err
	if c.refused == nil || len(c.refused) >= maxRefused {
		c.refused = map[string]denial{}
	}
	c.refused[denied.Subject] = denial{c.denials, denied}
	for w := range c.waiting {
		// Without the right to its inbox no request can ever be answered.
		if w.subject == denied.Subject || strings.HasPrefix(denied.Subject, nats.InboxPrefix) {
			w.cancel(denied)
		}
	}
}

// violations returns how many permission violations the server has reported, and the last one.
func (c *conn) violations() (uint64, *DeniedError) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.denials, c.denied
}

// await returns the connection once it is up, and a channel that is closed when it is lost. When ctx
// ends first, the error names the cause too.
func (c *conn) await(ctx context.Context) (*nats.Conn, <-chan struct{}, error) {
	for {
		c.mu.Lock()
		nc, up, life, err, changed := c.nc, c.up, c.life, c.err, c.changed
		c.mu.Unlock()
		if up && nc != nil {
			return nc, life, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			if err != nil {
				return nil, nil, fmt.Errorf("%w: %w", ctx.Err(), err)
			}
			return nil, nil, ctx.Err()
		}
	}
}

func (c *conn) isUp() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.up
}

// maxPayload returns the largest message the server takes, headers included; 1 MiB while unknown.
func (c *conn) maxPayload() int64 {
	c.mu.Lock()
	nc := c.nc
	c.mu.Unlock()
	if nc != nil {
		if n := nc.MaxPayload(); n > 0 {
			return n
		}
	}
	return 1 << 20
}

// lives returns the connection and a context that ends with it, at a refusal of subject by the server,
// or after requestTimeout. The caller calls done.
func (c *conn) lives(ctx context.Context, subject string) (nc *nats.Conn, lctx context.Context, done func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.up || c.nc == nil {
		if c.err != nil {
			return nil, nil, nil, c.err
		}
		return nil, nil, nil, fmt.Errorf("nats %s: not connected yet", c.servers)
	}
	lctx, cancel := context.WithCancelCause(ctx)
	lctx, stop := context.WithTimeoutCause(lctx, requestTimeout, errNoAnswer)
	w := &waiter{subject, cancel}
	c.waiting[w] = struct{}{}
	return c.nc, lctx, func() {
		c.mu.Lock()
		delete(c.waiting, w)
		c.mu.Unlock()
		cancel(nil)
		stop()
	}, nil
}

var errNoAnswer = errors.New("no answer within " + requestTimeout.String())

// request sends data and waits for the answer, at most requestTimeout. It fails at once when the
// connection is lost or the server refuses the subject.
func (c *conn) request(ctx context.Context, subject string, data []byte) (*nats.Msg, error) {
	nc, lctx, done, err := c.lives(ctx, subject)
	if err != nil {
		return nil, err
	}
	defer done()
	m, err := nc.RequestWithContext(lctx, subject, data)
	switch {
	case err == nil:
		return m, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case lctx.Err() != nil:
		err = context.Cause(lctx)
		if !errors.Is(err, errNoAnswer) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("nats %s: %s: %w", c.servers, subject, explain(err))
}

// reach returns once the server has read what was sent before. It fails at once when the connection is
// lost.
func (c *conn) reach(ctx context.Context) error {
	nc, lctx, done, err := c.lives(ctx, "")
	if err != nil {
		return err
	}
	defer done()
	if err := nc.FlushWithContext(lctx); err != nil {
		return fmt.Errorf("nats %s: flush: %w", c.servers, explain(err))
	}
	return nil
}

// api calls the JetStream API with body as JSON (nil: empty) and reads the answer into into, which
// may be nil. A refusal is an *apiError.
func (c *conn) api(ctx context.Context, subject string, body, into any) error {
	var data []byte
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			return fmt.Errorf("nats: %s: %w", subject, err)
		}
	}
	m, err := c.request(ctx, apiPrefix+subject, data)
	if errors.Is(err, nats.ErrNoResponders) {
		return fmt.Errorf("nats %s: %w", c.servers, errNoJetStream)
	}
	if err != nil {
		return err
	}
	if err := decodeAPI(m.Data, into); err != nil {
		return fmt.Errorf("nats %s: %s: %w", c.servers, subject, err)
	}
	return nil
}

// apiPrefix is where the JetStream API listens; a domain would have its own.
const apiPrefix = "$JS.API."

// close ends the connection. What was published before is flushed as far as ctx allows.
func (c *conn) close(ctx context.Context) {
	c.mu.Lock()
	c.closing = true
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	// Without it a full socket would hold nats.go's lock, and so this call, for flushTimeout.
	stop := context.AfterFunc(ctx, c.sockets.close)
	defer stop()
	_ = c.reach(ctx) // a lost connection has nothing to flush
	c.stop()
	<-c.done
}
