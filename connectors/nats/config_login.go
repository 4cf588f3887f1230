package nats

import (
	"net/url"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/sluice-bridge/sluice/connectors"
)

// withoutTLS returns the address of a server without the scheme by which it is to speak TLS, and whether it has it.
func withoutTLS(server string) (string, bool) {
	scheme, address, _ := strings.Cut(server, "://")
	if !strings.EqualFold(scheme, "tls") {
		return server, false
	}
	return address, true
}

// secured is how the connection is secured: where the configuration says so, in whatever way.
func (c *Connection) secured() connectors.TLS {
	t := c.TLS
	t.On = t.On || c.TLSFirst
	for _, s := range c.Servers {
		_, on := withoutTLS(s)
		t.On = t.On || on
	}
	return t
}

// warn tells what of a configuration is not safe.
func (c *Connection) warn(log *zerolog.Logger) {
	t := c.secured()
	if t.On && t.InsecureSkipVerify {
		log.Warn().Msg("any certificate is taken (tls.insecure_skip_verify): whoever answers in the server's place can read along, passwords too")
	}
	if t.On {
		return
	}
	for _, s := range c.Servers {
		if !strings.Contains(s, "://") {
			s = "nats://" + s
		}
		u, err := url.Parse(s)
		if err != nil || connectors.Loopback(u.Hostname()) || c.User == "" && c.Token == "" && u.User == nil {
			continue
		}
		log.Warn().Str("server", u.Host).Msg("the login goes over the network without TLS unless the server requires it; set tls: true")
		return
	}
}

// identify adds the files we log in with, which have to be there. nats.go reads them at each attempt, but the public
// part of a key once for all: where the file holds another one by then, the connection is closed, for run to make
// another.
func (c *conn) identify(o *nats.Options) error {
	if c.creds != "" {
		return nats.UserCredentials(c.creds)(o)
	}
	if c.nkey == "" {
		return nil
	}
	option, err := nats.NkeyOptionFromSeed(c.nkey)
	if err != nil {
		return err
	}
	if err := option(o); err != nil {
		return err
	}
	public, sign := o.Nkey, o.SignatureCB
	o.SignatureCB = func(nonce []byte) ([]byte, error) {
		var now nats.Options
		if option, err := nats.NkeyOptionFromSeed(c.nkey); err == nil && option(&now) == nil && now.Nkey != public {
			go c.abandon()
		}
		return sign(nonce)
	}
	return nil
}

// abandon closes what nats.go has, for good.
func (c *conn) abandon() {
	c.mu.Lock()
	nc := c.nc
	c.mu.Unlock()
	if nc != nil {
		nc.Close()
	}
}
