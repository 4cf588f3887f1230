package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// logLogin is a login for the client that reads logs.
func logLogin(l *login) sasl.Mechanism {
	scrams := func(context.Context) (scram.Auth, error) {
		password, err := l.secret()
		return scram.Auth{User: l.sasl.Username, Pass: password}, err
	}
	switch l.Name() {
	case mechanismScram256:
		return bounded{scram.Sha256(scrams)}
	case mechanismScram512:
		return bounded{scram.Sha512(scrams)}
	case mechanismOAuth:
		return oauth.Oauth(func(ctx context.Context) (oauth.Auth, error) {
			token, err := l.token(ctx)
			return oauth.Auth{Token: token}, err
		})
	}
	return plain.Plain(func(context.Context) (plain.Auth, error) {
		password, err := l.secret()
		return plain.Auth{User: l.sasl.Username, Pass: password}, err
	})
}

// bounded is SCRAM that does not hash as often as the broker likes.
type bounded struct{ sasl.Mechanism }

// Authenticate implements sasl.Mechanism.
func (b bounded) Authenticate(ctx context.Context, host string) (sasl.Session, []byte, error) {
	s, first, err := b.Mechanism.Authenticate(ctx, host)
	return boundedSession{s}, first, err
}

type boundedSession struct{ sasl.Session }

// Challenge implements sasl.Session.
func (s boundedSession) Challenge(says []byte) (bool, []byte, error) {
	if err := checkRounds(says); err != nil {
		return false, nil, err
	}
	return s.Session.Challenge(says)
}
