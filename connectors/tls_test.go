package connectors_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/connectortest"
)

// answer listens, does the server's part of TLS if config is set, and says a line to whoever comes.
func answer(t *testing.T, config *tls.Config) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				if config != nil {
					c = tls.Server(c, config)
				}
				_, _ = io.WriteString(c, "hello\n")
				_, _ = io.Copy(io.Discard, c)
				c.Close()
			}()
		}
	}()
	return l.Addr().String()
}

// greet secures a connection to address and returns what is said there.
func greet(t *testing.T, c *connectors.TLS, address, host string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	secured, err := c.Client(ctx, raw, host)
	if err != nil {
		return "", err
	}
	defer secured.Close()
	return bufio.NewReader(secured).ReadString('\n')
}

// TestTLS: whatever is wrong has its own words, and a way out that names the key to change.
func TestTLS(t *testing.T) {
	t.Parallel()
	a, other := connectortest.NewAuthority(t), connectortest.NewAuthority(t)
	good := a.Issue(t, "good", time.Hour, "127.0.0.1", "localhost")
	expired := a.Issue(t, "expired", -time.Hour, "127.0.0.1")
	foreign := other.Issue(t, "foreign", time.Hour, "127.0.0.1")
	client := a.Issue(t, "client", time.Hour)
	server := func(p connectortest.Pair) *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{p.Pair}, MinVersion: tls.VersionTLS12}
	}
	mutual := server(good)
	mutual.ClientAuth, mutual.ClientCAs = tls.RequireAndVerifyClientCert, a.Pool()
	mutual12 := mutual.Clone()
	mutual12.MaxVersion = tls.VersionTLS12
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	trusting := func(change ...func(*connectors.TLS)) *connectors.TLS {
		c := &connectors.TLS{On: true, CAFile: a.CAFile}
		for _, f := range change {
			f(c)
		}
		return c
	}
	own := func(p connectortest.Pair) func(*connectors.TLS) {
		return func(c *connectors.TLS) { c.CertFile, c.KeyFile = p.CertFile, p.KeyFile }
	}
	for name, test := range map[string]struct {
		server *tls.Config
		client *connectors.TLS
		host   string
		want   []string // of the error; none: it works
	}{
		"well":                 {server: server(good), client: trusting()},
		"mutual":               {server: mutual, client: trusting(own(client))},
		"another name":         {server: server(good), client: trusting(), host: "kafka.example", want: []string{"is for localhost, 127.0.0.1", "tls.server_name"}},
		"name given":           {server: server(good), client: trusting(func(c *connectors.TLS) { c.ServerName = "localhost" }), host: "kafka.example"},
		"unknown authority":    {server: server(foreign), client: trusting(), want: []string{`signed by "CN=Test Authority"`, "into tls.ca_file (" + a.CAFile}},
		"this machine's":       {server: server(good), client: &connectors.TLS{On: true}, want: []string{"not trusted here", "set tls.ca_file"}},
		"insecure":             {server: server(foreign), client: &connectors.TLS{On: true, InsecureSkipVerify: true}},
		"expired":              {server: server(expired), client: trusting(), want: []string{"expired at", "renew"}},
		"no certificate, 1.3":  {server: mutual, client: trusting(), want: []string{"wants a client certificate and we have none", "tls.cert_file and tls.key_file"}},
		"no certificate, 1.2":  {server: mutual12, client: trusting(), want: []string{"client certificate", "tls.cert_file and tls.key_file"}},
		"foreign certificate":  {server: mutual, client: trusting(own(foreign)), want: []string{"refuses our certificate", foreign.CertFile}},
		"our own expired":      {server: mutual, client: trusting(own(expired)), want: []string{expired.CertFile + " expired at", "tls.cert_file"}},
		"no TLS":               {client: trusting(), want: []string{"does not speak TLS", "leave tls out"}},
		"no file":              {server: server(good), client: &connectors.TLS{On: true, CAFile: empty + "x"}, want: []string{"tls.ca_file: open " + empty + "x"}},
		"no certificate in it": {server: server(good), client: &connectors.TLS{On: true, CAFile: empty}, want: []string{"holds no certificate"}},
		"the key of another":   {server: mutual, client: trusting(func(c *connectors.TLS) { c.CertFile, c.KeyFile = client.CertFile, good.KeyFile }), want: []string{"tls.cert_file and tls.key_file"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host := test.host
			if host == "" {
				host = "127.0.0.1"
			}
			line, err := greet(t, test.client, answer(t, test.server), host)
			if len(test.want) == 0 {
				if err != nil || line != "hello\n" {
					t.Fatalf("%q, %v", line, err)
				}
				return
			}
			if _, ok := errors.AsType[*connectors.TLSError](err); !ok {
				t.Fatalf("%v is no TLSError", err)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("no %q in %q", want, err)
				}
			}
		})
	}
}

// TestTLSRotates: files that are replaced count at the next connection.
func TestTLSRotates(t *testing.T) {
	t.Parallel()
	first, second := connectortest.NewAuthority(t), connectortest.NewAuthority(t)
	server := func(a *connectortest.Authority) string {
		p := a.Issue(t, "server", time.Hour, "127.0.0.1")
		return answer(t, &tls.Config{Certificates: []tls.Certificate{p.Pair}, MinVersion: tls.VersionTLS12, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: a.Pool()})
	}
	mine := first.Issue(t, "client", time.Hour)
	c := &connectors.TLS{On: true, CAFile: first.CAFile, CertFile: mine.CertFile, KeyFile: mine.KeyFile}
	old, renewed := server(first), server(second)
	if _, err := greet(t, c, old, "127.0.0.1"); err != nil {
		t.Fatal(err)
	}
	if _, err := greet(t, c, renewed, "127.0.0.1"); err == nil {
		t.Fatal("a server of another authority is trusted")
	}
	next := second.Issue(t, "client", time.Hour)
	for from, to := range map[string]string{second.CAFile: c.CAFile, next.CertFile: c.CertFile, next.KeyFile: c.KeyFile} {
		data, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(to, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := greet(t, c, renewed, "127.0.0.1"); err != nil {
		t.Fatal(err)
	}
}

// TestTLSForms: what a configuration may write.
func TestTLSForms(t *testing.T) {
	for text, want := range map[string]connectors.TLS{
		"tls: true":                         {On: true},
		"tls: false":                        {},
		`tls: "true"`:                       {On: true},
		"tls: {ca_file: a, server_name: n}": {On: true, CAFile: "a", ServerName: "n"},
		"tls: {cert_file: c, key_file: k}":  {On: true, CertFile: "c", KeyFile: "k"},
		"tls: {insecure_skip_verify: true}": {On: true, InsecureSkipVerify: true},
		"tls: {}":                           {On: true},
	} {
		var got struct{ TLS connectors.TLS }
		if err := yaml.Unmarshal([]byte(text), &got); err != nil || got.TLS != want {
			t.Errorf("%s: %+v, %v", text, got.TLS, err)
		}
	}
	for text, want := range map[string]string{
		"tls: perhaps": "want true, false", "tls: [a]": "want true, false", "tls: {ca: x}": `unknown key "ca" in tls`, "tls: {insecure: true}": "insecure_skip_verify",
	} {
		var got struct{ TLS connectors.TLS }
		if err := yaml.Unmarshal([]byte(text), &got); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	for _, c := range []connectors.TLS{{CertFile: "c"}, {KeyFile: "k"}} {
		if len(c.Faults()) != 1 {
			t.Errorf("%+v: %v", c, c.Faults())
		}
	}
}

// TestExposed: a private key that everybody can read is warned of.
func TestExposed(t *testing.T) {
	t.Parallel()
	p := connectortest.NewAuthority(t).Issue(t, "client", 30*24*time.Hour)
	check := connectors.Secured("kafka", "", nil, &connectors.TLS{On: true, CertFile: p.CertFile, KeyFile: p.KeyFile}, nil)
	if found := check.Ask(t.Context()); len(found) != 1 || found[0].Level != connectors.Fine {
		t.Errorf("%+v", found)
	}
	if err := os.Chmod(p.KeyFile, 0o644); err != nil {
		t.Fatal(err)
	}
	if found := check.Ask(t.Context()); len(found) != 2 || found[0].Level != connectors.Warning || !strings.Contains(found[0].Way, "chmod o-rwx "+p.KeyFile) {
		t.Errorf("%+v", found)
	}
}
