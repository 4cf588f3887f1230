package kafka

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
)

// examiner looks at a cluster for an operator: with the connection that a source or sink of ours has, so that
// it meets what they meet, and, for what no route asks, with the client that logs are read again with.
type examiner struct {
	cfg     *Connection
	about   string // the cluster, for people
	topics  []string
	conn    *conn
	admin   *topicLog
	largest atomic.Pointer[connectors.Limit]
}

func newExaminer(c *Connection, env *connectors.Env, topics ...string) (*examiner, error) {
	admin, err := openSourceLog(&SourceConfig{Connection: *c, Topics: topics, Isolation: readUncommitted})
	if err != nil {
		return nil, err
	}
	aside := connectors.Env{Logger: env.Logger} // without a host: what is met here is not news of the route
	e := &examiner{cfg: c, topics: topics, conn: newConn(c, &aside), admin: admin.(*topicLog)}
	e.about = "kafka " + strings.Join(e.addresses(), ",")
	if user := c.user(); user != "" {
		e.about += " as " + user
	}
	return e, nil
}

// addresses are the configured brokers with their ports.
func (e *examiner) addresses() (all []string) {
	for _, b := range e.cfg.Brokers {
		if _, _, err := net.SplitHostPort(b); err != nil {
			b = net.JoinHostPort(strings.Trim(b, "[]"), "9092")
		}
		all = append(all, b)
	}
	return all
}

func (e *examiner) close(ctx context.Context) {
	e.conn.close()
	_ = e.admin.Close(ctx) // it has only asked
}

// examination puts the checks of the connection before those of an end.
func (e *examiner) examination(checks ...connectors.Check) *connectors.Examination {
	all := connectors.Reachable("kafka", e.about, "brokers", e.addresses())
	if e.cfg.TLS.On {
		all = append(all, connectors.Secured("kafka", e.about, e.addresses(), &e.cfg.TLS, e.secure))
	}
	if e.conn.login() != nil {
		all = append(all, e.check("kafka.login", all[len(all)-1].Code, e.askLogin))
	}
	all = append(all,
		e.check("kafka.api", all[len(all)-1].Code, e.askVersions),
		e.check("kafka.metadata", "kafka.api", e.askMetadata),
		e.check("kafka.advertised", "kafka.metadata", e.askAdvertised),
		e.check("kafka.clock", "kafka.advertised", e.askClock),
	)
	return &connectors.Examination{
		Checks: append(all, checks...), Close: e.close,
		Largest: func() (connectors.Limit, bool) {
			if l := e.largest.Load(); l != nil {
				return *l, true
			}
			return connectors.Limit{}, false
		},
	}
}

// check is one of the connection.
func (e *examiner) check(code, after string, ask func(context.Context) []connectors.Finding) connectors.Check {
	return connectors.Check{Code: code, About: e.about, Connection: true, After: []string{after}, Ask: ask}
}

// of is a check about something at the cluster.
func (e *examiner) of(what, code, after string, ask func(context.Context) []connectors.Finding) connectors.Check {
	return connectors.Check{Code: code, About: what + " of " + e.about, After: []string{after}, Ask: ask}
}

// examineSource looks at the topics and the group of a source.
func examineSource(c *SourceConfig, env *connectors.Env) (*connectors.Examination, error) {
	e, err := newExaminer(&c.Connection, env, c.Topics...)
	if err != nil {
		return nil, err
	}
	var checks []connectors.Check
	for _, t := range c.Topics {
		checks = append(checks, e.topicChecks(t, sourceRights(), e.judgeSource)...)
	}
	checks = append(checks, e.of("group "+c.Group, "kafka.group", "kafka.advertised", func(ctx context.Context) []connectors.Finding {
		return e.askGroup(ctx, c)
	}))
	return e.examination(checks...), nil
}

// examineSink looks at the topic of a sink, if it writes to one.
func examineSink(c *SinkConfig, about connectors.About, env *connectors.Env) (*connectors.Examination, error) {
	topic := writesTo(c, about.Map)
	if topic == "" {
		e, err := newExaminer(&c.Connection, env)
		if err != nil {
			return nil, err
		}
		return e.examination(), nil
	}
	e, err := newExaminer(&c.Connection, env, topic)
	if err != nil {
		return nil, err
	}
	// What the sink itself takes is a bound too.
	return e.examination(e.topicChecks(topic, sinkRights(), func(s settings) []connectors.Finding { return e.judgeSink(c, s) })...), nil
}

// secure has a connection of its own speak TLS.
func (e *examiner) secure(ctx context.Context, address string) (*connectors.TLSConn, error) {
	s := newSockets(e.cfg)
	c, err := s.dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return s.secure(ctx, c, address)
}

// askLogin asks whether the brokers let the user in. What else goes wrong is for the next check.
func (e *examiner) askLogin(ctx context.Context) []connectors.Finding {
	_, err := e.conn.negotiate(ctx)
	c, _ := codeOf(err)
	switch {
	case err == nil:
		return connectors.Found(connectors.Fine, "", "the brokers let %s in", e.cfg.user())
	case errors.Is(err, errPassword):
		return connectors.Found(connectors.Failed, "make the file of password readable for this user", "%v", err)
	case errors.Is(err, errToken):
		return connectors.Found(connectors.Failed, "correct sasl.endpoint, sasl.client_id and sasl.client_secret", "%v", err)
	case errors.Is(err, errLogin), errors.Is(err, errRefused), c == codeLoginFailed, c == codeUnsupportedMechanism, c == codeIllegalSASLState:
		return connectors.Found(connectors.Failed, connectors.CommandLine("correct username and password; this tries them with another client: "+
			"kcat -L -b %s -X security.protocol=%s -X sasl.mechanisms=%s -X sasl.username=%s -X sasl.password=...",
			e.addresses()[0], e.protocol(), e.conn.login().Name(), e.cfg.user()), "the login as %s is refused: %v", e.cfg.user(), err)
	}
	return connectors.Found(connectors.Fine, "", "the login was not refused, as far as it came")
}

// protocol is what other clients call the kind of the listener.
func (e *examiner) protocol() string {
	if e.cfg.TLS.On {
		return "SASL_SSL"
	}
	return "SASL_PLAINTEXT"
}

// askVersions asks which requests the brokers know.
func (e *examiner) askVersions(ctx context.Context) []connectors.Finding {
	if _, err := e.conn.negotiate(ctx); err != nil {
		return connectors.Found(connectors.Failed, connectors.CommandLine("kafka-broker-api-versions.sh --bootstrap-server %s; then correct brokers, or the listener's security",
			e.addresses()[0]), "what listens does not speak as Sluice needs it: %v", err)
	}
	return connectors.Found(connectors.Fine, "", "the brokers speak what is needed (Kafka 2.4 or later)")
}

// askMetadata asks who is in the cluster.
func (e *examiner) askMetadata(ctx context.Context) []connectors.Finding {
	begin := time.Now()
	m, err := e.conn.refresh(ctx, e.topics...)
	switch {
	case err != nil:
		return connectors.Found(connectors.Failed, "look into the broker's log", "the brokers do not say who is in the cluster: %v", err)
	case len(m.Brokers) == 0:
		return connectors.Found(connectors.Failed, "start the other brokers, or look into the broker's log", "the cluster %s lists no broker", m.ClusterID)
	}
	return connectors.Found(connectors.Fine, "", "cluster %s has %d broker(s), and answers after %v", m.ClusterID, len(m.Brokers), time.Since(begin).Round(100*time.Microsecond))
}
