package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"

	"github.com/sluice-bridge/sluice/connectors"
)

// login is SASL PLAIN with a password that is looked up at each connection.
type login struct {
	username string
	password connectors.Secret
	open     atomic.Bool // the last one that was begun has not succeeded
}

var (
	// errLogin is how brokers that do not say so refuse a login.
	errLogin    = errors.New("connection closed while logging in; correct username and password")
	errPassword = errors.New("the password cannot be read")
)

// refusalOf says in a word what was refused, "" where nothing was answered.
func refusalOf(err error) string {
	c, answered := codeOf(err)
	switch {
	case errors.Is(err, errPassword):
		return errPassword.Error()
	case errors.Is(err, errLogin):
		return codeName(codeLoginFailed)
	case answered:
		return codeName(c)
	}
	return ""
}

// Name implements sasl.Mechanism.
func (*login) Name() string { return plain.Mechanism{}.Name() }

// Start implements sasl.Mechanism.
func (l *login) Start(ctx context.Context) (sasl.StateMachine, []byte, error) {
	password, err := l.password.Reveal()
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errPassword, err)
	}
	l.open.Store(true)
	sess, first, err := plain.Mechanism{Username: l.username, Password: password}.Start(ctx)
	return &loginSession{sess, l}, first, err
}

type loginSession struct {
	sasl.StateMachine
	of *login
}

// Next implements sasl.StateMachine; it is called when the broker has accepted.
func (s *loginSession) Next(ctx context.Context, challenge []byte) (bool, []byte, error) {
	s.of.open.Store(false)
	return s.StateMachine.Next(ctx, challenge)
}
