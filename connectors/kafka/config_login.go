package kafka

import (
	"net/url"
	"strings"

	"github.com/rs/zerolog"

	"github.com/sluice-bridge/sluice/connectors"
)

// SASL is how to log in.
type SASL struct {
	Mechanism string            `yaml:"mechanism"` // PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER
	Username  string            `yaml:"username"`  // of PLAIN and SCRAM
	Password  connectors.Secret `yaml:"password"`  // of PLAIN and SCRAM
	// Of OAUTHBEARER: the client whose credentials are changed for a token (RFC 6749, section 4.4; RFC 7628).
	Endpoint     string            `yaml:"endpoint"`      // URL that gives tokens; https, or http on this machine
	ClientID     string            `yaml:"client_id"`     // of the client, as the endpoint knows it
	ClientSecret connectors.Secret `yaml:"client_secret"` // as the endpoint knows it
	Scope        string            `yaml:"scope"`         // empty: what the endpoint gives by default
}

// The mechanisms.
const (
	mechanismPlain    = "PLAIN"
	mechanismScram256 = "SCRAM-SHA-256"
	mechanismScram512 = "SCRAM-SHA-512"
	mechanismOAuth    = "OAUTHBEARER"
)

func (s *SASL) faults() (faults []error) {
	if *s == (SASL{}) {
		return nil
	}
	need := func(key string, have bool) {
		if !have {
			faults = append(faults, connectors.Fieldf("sasl."+key, "is required for %s", s.name()))
		}
	}
	unused := func(key string, have bool) {
		if have {
			faults = append(faults, connectors.Fieldf("sasl."+key, "is not used by %s", s.name()))
		}
	}
	switch s.name() {
	case mechanismPlain, mechanismScram256, mechanismScram512:
		need("username", s.Username != "")
		need("password", s.Password != "")
		unused("endpoint", s.Endpoint != "")
		unused("client_id", s.ClientID != "")
		unused("client_secret", s.ClientSecret != "")
		unused("scope", s.Scope != "")
	case mechanismOAuth:
		need("endpoint", s.Endpoint != "")
		need("client_id", s.ClientID != "")
		need("client_secret", s.ClientSecret != "")
		unused("username", s.Username != "")
		unused("password", s.Password != "")
		if s.Endpoint != "" && !safeEndpoint(s.Endpoint) {
			faults = append(faults, connectors.Fieldf("sasl.endpoint", "is no URL that begins with https:// (http:// on this machine only) and holds no login"))
		}
	default:
		faults = append(faults, connectors.Fieldf("sasl.mechanism", "is %q, want %s, %s, %s or %s", s.Mechanism,
			mechanismPlain, mechanismScram256, mechanismScram512, mechanismOAuth))
	}
	return faults
}

// name is the mechanism as brokers call it.
func (s *SASL) name() string { return strings.ToUpper(s.Mechanism) }

// safeEndpoint reports whether a client's secret may be sent to a URL.
func safeEndpoint(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && connectors.Loopback(u.Host)
}

// sasl returns how to log in, also where the short form is used; ok is false where nothing is said.
func (c *Connection) sasl() (s SASL, ok bool) {
	if c.Username != "" {
		return SASL{Mechanism: mechanismPlain, Username: c.Username, Password: c.Password}, true
	}
	return c.SASL, c.SASL.Mechanism != ""
}

// user is who we are to the brokers, as far as the configuration says.
func (c *Connection) user() string {
	s, _ := c.sasl()
	if s.name() == mechanismOAuth {
		return s.ClientID
	}
	return s.Username
}

// warn tells what of a configuration is not safe.
func (c *Connection) warn(log *zerolog.Logger) {
	if c.TLS.On && c.TLS.InsecureSkipVerify {
		log.Warn().Strs("brokers", c.Brokers).Msg("any certificate is taken (tls.insecure_skip_verify): whoever answers in a broker's place can read along, passwords too")
	}
	if _, ok := c.sasl(); !ok || c.TLS.On {
		return
	}
	for _, b := range c.Brokers {
		if !connectors.Loopback(b) {
			log.Warn().Str("broker", b).Msg("the login goes over the network without TLS, where others can read it; set tls: true")
			return
		}
	}
}
