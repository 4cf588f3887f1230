package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"

	"github.com/sluice-bridge/sluice/connectors"
)

// login is SASL with credentials that are looked up at each connection.
type login struct {
	sasl    SASL
	timeout time.Duration // of the token's endpoint
	tokens  tokens
	open    atomic.Bool // the last one that was begun has not succeeded
}

// newLogin returns how to log in, nil if nothing is said.
func newLogin(c *Connection) *login {
	s, ok := c.sasl()
	if !ok {
		return nil
	}
	return &login{sasl: s, timeout: time.Duration(c.DialTimeout)}
}

var (
	// errLogin is how brokers that do not say so refuse a login.
	errLogin    = errors.New("connection closed while logging in; correct username and password")
	errPassword = errors.New("the password cannot be read")
	errRefused  = errors.New("the broker refuses the token")
)

// refusalOf says in a word what was refused, "" where nothing was answered.
func refusalOf(err error) string {
	c, answered := codeOf(err)
	if e, ok := errors.AsType[*connectors.TLSError](err); ok {
		return e.Text
	}
	switch {
	case errors.Is(err, errPassword):
		return errPassword.Error()
	case errors.Is(err, errToken):
		return errToken.Error()
	case errors.Is(err, errLogin), errors.Is(err, errRefused):
		return codeName(codeLoginFailed)
	case answered:
		return codeName(c)
	}
	return ""
}

// Name implements sasl.Mechanism.
func (l *login) Name() string { return l.sasl.name() }

// secret looks the password up.
func (l *login) secret() (string, error) {
	password, err := l.sasl.Password.Reveal()
	if err != nil {
		return "", fmt.Errorf("%w: %w", errPassword, err)
	}
	return password, nil
}

// token returns a bearer token. One with which the last login did not succeed is not used again.
func (l *login) token(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, l.timeout) // the client that reads logs has none
	defer cancel()
	return l.tokens.get(ctx, &l.sasl, l.open.Load())
}

// Start implements sasl.Mechanism.
func (l *login) Start(ctx context.Context) (sasl.StateMachine, []byte, error) {
	if l.Name() == mechanismOAuth {
		token, err := l.token(ctx)
		if err != nil {
			return nil, nil, err
		}
		l.open.Store(true)
		return &loginSession{bearer{}, l}, []byte("n,,\x01auth=Bearer " + token + "\x01\x01"), nil
	}
	password, err := l.secret()
	if err != nil {
		return nil, nil, err
	}
	var m sasl.Mechanism = plain.Mechanism{Username: l.sasl.Username, Password: password}
	switch l.Name() {
	case mechanismScram256:
		m, err = scram.Mechanism(scram.SHA256, l.sasl.Username, password)
	case mechanismScram512:
		m, err = scram.Mechanism(scram.SHA512, l.sasl.Username, password)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("username and password cannot be sent by %s: %w", l.Name(), err)
	}
	l.open.Store(true)
	sess, first, err := m.Start(ctx)
	return &loginSession{sess, l}, first, err
}

// bearer is the rest of OAUTHBEARER (RFC 7628, section 3.2): a broker that says anything refuses.
type bearer struct{}

func (bearer) Next(_ context.Context, challenge []byte) (bool, []byte, error) {
	if len(challenge) > 0 {
		return false, nil, fmt.Errorf("%w: %.300q; correct the client of sasl, or sasl.scope", errRefused, challenge)
	}
	return true, nil, nil
}

// How often SCRAM may hash a password: one who is no broker guesses it from our answer to fewer rounds (RFC 7677,
// section 4), and has a core busy for ever by more. Kafka's own bounds are 4096 and 16384.
const (
	minRounds = 4096
	maxRounds = 1 << 20
)

// checkRounds looks into what a broker says in SCRAM (RFC 5802, section 7).
func checkRounds(says []byte) error {
	for field := range bytes.SplitSeq(says, []byte{','}) {
		text, ok := bytes.CutPrefix(field, []byte("i="))
		if !ok {
			continue
		}
		if n, err := strconv.Atoi(string(text)); err != nil || n < minRounds || n > maxRounds {
			return fmt.Errorf("the broker wants %.20q rounds of SCRAM, from %d to %d are safe; is it a broker?", text, minRounds, maxRounds)
		}
	}
	return nil
}

type loginSession struct {
	sasl.StateMachine
	of *login
}

// Next implements sasl.StateMachine; it is called when the broker has accepted what was sent.
func (s *loginSession) Next(ctx context.Context, challenge []byte) (bool, []byte, error) {
	if strings.HasPrefix(s.of.Name(), "SCRAM-") {
		if err := checkRounds(challenge); err != nil {
			return false, nil, err
		}
	}
	done, next, err := s.StateMachine.Next(ctx, challenge)
	if done && err == nil {
		s.of.open.Store(false)
	}
	return done, next, err
}
