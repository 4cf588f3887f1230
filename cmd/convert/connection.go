package convert

import (
	"fmt"
	"net/url"
	"strings"
)

// natsName names the one connection to NATS that nats-kafka has.
const natsName = "nats"

// cluster is a named connection to Kafka.
type cluster struct {
	name string
	section
}

// kafka returns the name of the connection that a connector needs; equal ones are one.
func (v *converter) kafka(c *connector) string {
	s := section{}
	brokers, k := c.words("brokers")
	k.mapped("connections.kafka.brokers")
	s.set("brokers", brokers)
	if d := v.dialTimeout; d != 0 {
		s.set("dial_timeout", d.String())
	}
	c.sasl(&s)
	for _, known := range v.kafkas {
		if known.equal(s) {
			return known.name
		}
	}
	name := "kafka"
	if n := len(v.kafkas); n > 0 {
		name = fmt.Sprintf("kafka-%d", n+1)
	}
	for _, f := range s {
		if login, ok := f.value.(section); ok && f.name == "sasl" {
			login.nameSecrets(name)
		}
	}
	v.kafkas = append(v.kafkas, cluster{name, s})
	return name
}

// nameSecrets gives every secret a file.
func (s section) nameSecrets(connection string) {
	for i := range s {
		if hidden, ok := s[i].value.(secret); ok {
			hidden.file = connection + "." + s[i].name
			s[i].value = hidden
		}
	}
}

// sasl reads the login and TLS of a connector, which nats-kafka joins in ways of its own.
func (c *connector) sasl(s *section) {
	login, iam := c.one("sasl"), c.one("iam")
	user, u := login.text("user")
	password, p := login.text("password")
	mechanism, m := login.text("mechanism")
	skip, i := login.flag("insecureskipverify")
	force, f := login.flag("tls")
	enabled, e := iam.flag("enable")
	region, r := iam.text("region")
	if user.empty() {
		for _, k := range []*Key{p, m} {
			k.ignored("nats-kafka logs in only where sasl.user is set")
		}
		u.ignored("it is empty")
	} else {
		names := map[string]string{"scram-sha256": "SCRAM-SHA-256", "scram-sha-256": "SCRAM-SHA-256", "sha256": "SCRAM-SHA-256",
			"scram-sha512": "SCRAM-SHA-512", "scram-sha-512": "SCRAM-SHA-512", "sha512": "SCRAM-SHA-512"}
		name, known := names[mechanism.text]
		if !known {
			name = "PLAIN"
		}
		m.mapped("connections.kafka.sasl.mechanism")
		if !known && !strings.EqualFold(mechanism.text, "plain") {
			m.ignored("nats-kafka takes any mechanism but its names of SCRAM for PLAIN")
		}
		u.mapped("connections.kafka.sasl.username")
		p.mapped("connections.kafka.sasl.password")
		if !password.variable {
			p.changed("connections.kafka.sasl.password", "it stands in a file of its own")
		}
		s.set("sasl", section{{"mechanism", name}, {"username", user}, {"password", secret{word: password}}})
	}
	switch {
	case enabled && user.empty() && !region.empty():
		e.failed("Sluice has no login by AWS IAM")
		r.failed("Sluice has no login by AWS IAM")
	case enabled:
		e.ignored("nats-kafka uses it with a region and without sasl.user only")
		r.ignored("nats-kafka uses it with enable: true and without sasl.user only")
	default:
		e.same("no login by AWS IAM")
		r.ignored("nats-kafka uses it with enable: true only")
	}
	c.tls(s, !user.empty() && skip, force)
	switch {
	case i != nil && skip && !user.empty():
		i.changed("connections.kafka.tls.insecure_skip_verify", "any certificate is taken: whoever can answer in a broker's place can read along, passwords too; nats-kafka ignores tls.cert, key and root beside it")
	case skip:
		i.ignored("nats-kafka looks at it only where sasl.user is set")
	default:
		i.same("certificates are verified")
	}
	switch {
	case force && c.towards == toNATS:
		f.ignored("nats-kafka looks at it in connectors to Kafka only")
	case force:
		f.mapped("connections.kafka.tls")
	default:
		f.same("no TLS by this")
	}
}

// tls reads the TLS of a connector. nats-kafka speaks it only with a certificate of its own, or any at all.
func (c *connector) tls(s *section, anyCertificate, force bool) {
	b := c.one("tls")
	root, r := b.text("root")
	cert, ce := b.text("cert")
	key, k := b.text("key")
	switch {
	case anyCertificate:
		s.set("tls", section{{"insecure_skip_verify", true}})
		for _, k := range []*Key{r, ce, k} {
			k.ignored("nats-kafka does not look at it beside sasl.insecureskipverify")
		}
	case !cert.empty() && !key.empty():
		t := section{}
		t.set("ca_file", root)
		t.set("cert_file", cert)
		t.set("key_file", key)
		s.set("tls", t)
		r.mapped("connections.kafka.tls.ca_file")
		ce.mapped("connections.kafka.tls.cert_file")
		k.mapped("connections.kafka.tls.key_file")
	default:
		for _, k := range []*Key{r, ce, k} {
			k.ignored("nats-kafka speaks no TLS with Kafka unless tls.cert and tls.key are both set; write tls: {ca_file: ...} to have it")
		}
		if force && c.towards == toKafka {
			s.set("tls", true)
		}
	}
}

// natsConnection reads how NATS is reached.
func (v *converter) natsConnection(b *block) {
	given, k := b.words("servers")
	k.mapped("connections.nats.servers")
	var servers []word
	var login *url.Userinfo
	for _, w := range given {
		if w.variable {
			servers = append(servers, w)
			continue
		}
		for text := range strings.SplitSeq(w.text, ",") { // nats-kafka joins them by commas
			bare, user := withoutLogin(strings.TrimSpace(text))
			if user != nil && login != nil && login.String() != user.String() {
				k.failed("the servers have different logins, and Sluice has one for all")
			}
			if user != nil {
				login = user
			}
			if scheme, _, ok := strings.Cut(bare, "://"); ok && scheme != "nats" && scheme != "tls" {
				k.failed("Sluice does not speak to NATS by %s://", scheme)
			}
			servers = append(servers, word{bare, false})
		}
	}
	if len(servers) == 0 {
		servers = []word{{"127.0.0.1:4222", false}} // where nats-kafka's client looks then
	}
	v.nats.set("servers", servers)
	switch password, ok := login.Password(); {
	case ok:
		k.changed("connections.nats.servers", "the login in it is user and password, the password in a file of its own")
		v.nats.set("user", word{login.Username(), false})
		v.nats.set("password", secret{word{password, false}, natsName + ".password"})
	case login.Username() != "":
		k.changed("connections.nats.servers", "the token in it stands in a file of its own")
		v.nats.set("token", secret{word{login.Username(), false}, natsName + ".token"})
	}
	creds, c := b.text("usercredentials")
	v.nats.set("creds_file", creds)
	c.mapped("connections.nats.creds_file")
	t := section{}
	for _, f := range []struct{ old, ours string }{{"root", "ca_file"}, {"cert", "cert_file"}, {"key", "key_file"}} {
		w, k := b.one("tls").text(f.old)
		t.set(f.ours, w)
		k.mapped("connections.nats.tls." + f.ours)
	}
	if len(t) > 0 {
		v.nats.set("tls", t)
	}
	v.obsolete(b, "Sluice gives a server a few seconds, then asks the next", "connecttimeout")
	v.obsolete(b, "Sluice tries again by itself, at first at once, later more rarely", "reconnectwait")
	v.obsolete(b, "Sluice never gives up; a route that is disconnected for 30 s is told by /readyz", "maxreconnects")
}

// withoutLogin takes the login out of the address of a server.
func withoutLogin(text string) (string, *url.Userinfo) {
	u, err := url.Parse(text)
	if err != nil || u.User == nil {
		return text, nil
	}
	user := u.User
	u.User = nil
	return u.String(), user
}

func (v *converter) obsolete(b *block, why string, names ...string) {
	for _, name := range names {
		if k := b.keys[name]; k != nil {
			k.obsolete(why)
		}
	}
}
