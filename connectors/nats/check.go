package nats

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/sluice-bridge/sluice/connectors"
)

// examiner looks at a server for an operator, by the connection that a source or sink would have.
type examiner struct {
	cfg     *Connection
	conn    *conn
	about   string                           // the server, for people
	largest atomic.Pointer[connectors.Limit] // see bound
}

func newExaminer(cfg *Connection, c *conn) *examiner {
	e := &examiner{cfg: cfg, conn: c, about: "nats " + c.servers}
	if user := e.user(); user != "" {
		e.about += " as " + user
	}
	return e
}

// user is who we are to the server, as far as the configuration says. A name alone in a URL is a token, which is
// nobody's business.
func (e *examiner) user() string {
	if e.cfg.User != "" {
		return e.cfg.User
	}
	for _, s := range e.conn.options.Servers {
		if u, err := url.Parse(s); err == nil {
			if _, named := u.User.Password(); named {
				return u.User.Username()
			}
		}
	}
	return ""
}

// addresses are the configured servers with their ports.
func (e *examiner) addresses() (all []string) {
	for _, s := range e.conn.options.Servers {
		if address, ok := hostPort(s); ok { // else Validate has told
			all = append(all, address)
		}
	}
	return all
}

// examination puts the checks of the connection before those of an end.
func (e *examiner) examination(checks ...connectors.Check) *connectors.Examination {
	all := connectors.Reachable("nats", e.about, "servers", e.addresses())
	if d := e.conn.sockets; d.tls.On {
		all = append(all, connectors.Secured("nats", e.about, e.addresses(), &d.tls, d.try))
	}
	all = append(all, connectors.Check{Code: "nats.login", About: e.about, Connection: true, After: []string{all[len(all)-1].Code}, Ask: e.askLogin})
	return &connectors.Examination{
		Checks: append(all, checks...), Close: e.conn.close,
		Largest: func() (connectors.Limit, bool) {
			if l := e.largest.Load(); l != nil {
				return *l, true
			}
			return connectors.Limit{}, false
		},
	}
}

// of is a check about something at the server.
func (e *examiner) of(what, code, after string, ask func(context.Context) []connectors.Finding) connectors.Check {
	return connectors.Check{Code: code, About: what + " at " + e.about, After: []string{after}, Ask: func(ctx context.Context) []connectors.Finding {
		if _, _, err := e.conn.await(ctx); err != nil { // what was found well is another end's connection
			return e.refused(err)
		}
		return ask(ctx)
	}}
}

// cli is a command line of the nats command.
func (e *examiner) cli(format string, args ...any) string {
	return e.conn.command(e.user(), connectors.CommandLine(format, args...))
}

// command is a command line of the nats command for the connection's first server. user may be empty.
func (c *conn) command(user, line string) string {
	command := "nats "
	for _, s := range c.options.Servers {
		if address, ok := hostPort(s); ok {
			command += connectors.CommandLine("--server %s ", address)
			break
		}
	}
	if user != "" {
		command += connectors.CommandLine("--user %s ", user)
	}
	return command + line
}

// addStream is a command line that makes a stream.
const addStream = "stream add %s --subjects=%s --storage=file --defaults"

// patience is how long a failure is waited out: every server was tried once, and another attempt may do.
const patience = time.Second

// askLogin waits until the connection stands.
func (e *examiner) askLogin(ctx context.Context) []connectors.Finding {
	begin := time.Now()
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	var given *time.Timer
	for {
		e.conn.mu.Lock()
		up, err, changed := e.conn.up && e.conn.nc != nil, e.conn.err, e.conn.changed
		e.conn.mu.Unlock()
		if up {
			return slices.Concat(e.welcome(begin), connectors.Exposed(e.cfg.Creds), connectors.Exposed(e.cfg.NKey))
		}
		if err != nil && given == nil {
			given = time.AfterFunc(patience, cancel)
			defer given.Stop()
		}
		select {
		case <-changed:
		case <-waiting.Done():
			return e.unwelcome(e.conn.cause())
		}
	}
}

// welcome says who let us in.
func (e *examiner) welcome(begin time.Time) []connectors.Finding {
	e.conn.mu.Lock()
	nc := e.conn.nc
	e.conn.mu.Unlock()
	text := fmt.Sprintf("connected to nats-server %s (%s) after %v", nc.ConnectedServerVersion(), nc.ConnectedServerName(), time.Since(begin).Round(time.Millisecond))
	if rtt, err := nc.RTT(); err == nil {
		text += fmt.Sprintf(", round trip %v", rtt.Round(10*time.Microsecond))
	}
	return connectors.Found(connectors.Fine, "", "%s", text)
}

func (e *examiner) unwelcome(err error) []connectors.Finding {
	if secured, ok := errors.AsType[*connectors.TLSError](err); ok {
		return connectors.Found(connectors.Failed, secured.Way, "%v", err)
	}
	switch {
	case errors.Is(err, errLogin) && e.cfg.Token+connectors.Secret(e.cfg.Creds+e.cfg.NKey) != "":
		return connectors.Found(connectors.Failed, "correct token, creds_file or nkey_file, or set user and password; it is logged in with what the file holds now", "%v", err)
	case errors.Is(err, errLogin):
		return connectors.Found(connectors.Failed, "correct user and password; this tries them with another client: "+e.cli("--password ... account info"), "%v", err)
	case errors.Is(err, nats.ErrSecureConnRequired), strings.Contains(err.Error(), "tls: "), strings.Contains(err.Error(), "x509: "):
		return connectors.Found(connectors.Failed, "set tls: {ca_file: ...} to the certificate of the authority that signed the server's", "%v", err)
	}
	return connectors.Found(connectors.Failed, "is it a nats-server that listens there? "+e.cli("server check connection"), "%v", err)
}

// serverWay is how a setting of the server is changed.
func serverWay(line string) string {
	return "in nats-server.conf: " + line + "; then: nats-server --signal reload"
}

// bound keeps how large a message of a stream may be; maxMsgSize is the stream's own bound, 0 or less: none.
func (e *examiner) bound(stream string, maxMsgSize int64) {
	payload := e.conn.maxPayload()
	l := &connectors.Limit{Bytes: payload, Name: "max_payload of the server", Change: func(bytes int64) string {
		return serverWay(fmt.Sprintf("max_payload: %d", bytes))
	}}
	if maxMsgSize > 0 && maxMsgSize < payload {
		l = &connectors.Limit{Bytes: maxMsgSize, Name: "max_msg_size of stream " + stream, Change: func(bytes int64) string {
			way := e.cli("stream edit %s --max-msg-size=%d --force", stream, bytes)
			if bytes > payload {
				way = serverWay(fmt.Sprintf("max_payload: %d", bytes)) + "; and " + way
			}
			return way
		}}
	}
	e.largest.Store(l)
}

// refused is what comes of a request that the server or JetStream does not answer as asked.
func (e *examiner) refused(err error) []connectors.Finding {
	var denied *DeniedError
	switch {
	case errors.As(err, &denied):
		return connectors.Found(connectors.Failed, e.grantWay("publish", denied.Subject), "%v", err)
	case errors.Is(err, errNoJetStream), isAPIError(err, errCodeNotEnabled), isAPIError(err, errCodeNotEnabledAcc):
		return connectors.Found(connectors.Failed, serverWay(`jetstream: {store_dir: "/var/lib/nats"}`)+" (of an account: jetstream: enabled)", "%v", err)
	}
	return connectors.Found(connectors.Failed, e.cli("server check jetstream"), "%v", err)
}
