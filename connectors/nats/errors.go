package nats

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
)

// apiError is a refusal by the JetStream API (ADR-1).
type apiError struct {
	Code        int    `json:"code"`
	ErrCode     int    `json:"err_code"`
	Description string `json:"description"`
}

func (e *apiError) Error() string {
	return fmt.Sprintf("%s (JetStream error %d)", e.Description, e.ErrCode)
}

// The codes of the JetStream API that something depends on (nats-server errors.json).
const (
	errCodeConsumerNotFound = 10014
	errCodeConsumerExists   = 10148
	errCodeConsumerInUse    = 10013 // a durable of that name exists with another configuration
	errCodeStreamNotFound   = 10059
	errCodeNotEnabled       = 10076
	errCodeNotEnabledAcc    = 10039
)

// isAPIError reports whether err is or wraps a refusal with the code.
func isAPIError(err error, code int) bool {
	var e *apiError
	return errors.As(err, &e) && e.ErrCode == code
}

// DeniedError says that the server does not let this user use a subject.
type DeniedError struct {
	Subject string
	Text    string // the server's words
}

func (e *DeniedError) Error() string {
	return fmt.Sprintf("the user has no permission for %q: %s", e.Subject, e.Text)
}

// errNoJetStream replaces "no responders" for subjects of the JetStream API.
var errNoJetStream = errors.New("JetStream is not enabled on this server or for this account")

// isLogin reports whether the server refuses who we are.
func isLogin(err error) bool {
	return errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) ||
		errors.Is(err, nats.ErrAuthRevoked) || errors.Is(err, nats.ErrAccountAuthExpired)
}

var errLogin = errors.New("the server refuses the user or password")

// explain puts a cause into the words of somebody who can mend it.
func explain(err error) error {
	switch {
	case isLogin(err):
		return fmt.Errorf("%w: %w", errLogin, err)
	case errors.Is(err, nats.ErrReconnectBufExceeded), errors.Is(err, nats.ErrConnectionReconnecting):
		return fmt.Errorf("not connected: %w", err)
	case errors.Is(err, nats.ErrTLS): // that of nats.go, where the configuration has none
		return fmt.Errorf("the server requires TLS: set tls: {ca_file: ...}: %w", err)
	}
	return err
}

// decodeAPI reads the answer of a JetStream API call into v, which may be nil, or returns its refusal.
func decodeAPI(data []byte, v any) error {
	var refusal struct {
		Error *apiError `json:"error"`
	}
	if err := json.Unmarshal(data, &refusal); err != nil {
		return fmt.Errorf("the answer is not JSON: %w", err)
	}
	if refusal.Error != nil {
		return refusal.Error
	}
	if v == nil {
		return nil
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("the answer is not understood: %w", err)
	}
	return nil
}

// deniedSubject cuts the subject out of a permission violation, such as
// `Permissions Violation for Publish to "a.b"`.
func deniedSubject(text string) string {
	_, rest, ok := strings.Cut(text, ` to "`)
	if !ok {
		return ""
	}
	subject, _, _ := strings.Cut(rest, `"`)
	return subject
}
