package kafka

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/connectortest"
)

// serverTLS is a broker's side, with the certificate that stands in the files of p at each handshake.
func serverTLS(p connectortest.Pair) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(p.CertFile, p.KeyFile)
		return &pair, err
	}}
}

// security is how a cluster, our end and another client are told to speak TLS, or not to.
type security struct {
	cluster kfake.Opt
	config  string
	client  kgo.Opt
}

func unsecured() security {
	return security{cluster: kfake.NumBrokers(1), client: kgo.ClientID("other")}
}

func securedBy(t *testing.T) security {
	a := connectortest.NewAuthority(t)
	return security{
		cluster: kfake.TLS(serverTLS(a.Issue(t, "broker", time.Hour, "127.0.0.1"))), config: "tls: {ca_file: " + a.CAFile + "}\n",
		client: kgo.DialTLSConfig(&tls.Config{RootCAs: a.Pool(), MinVersion: tls.VersionTLS12}),
	}
}

// securedClient speaks TLS to a cluster of an authority.
func securedClient(t *testing.T, c *kfake.Cluster, a *connectortest.Authority) *kgo.Client {
	return newClient(t, c, kgo.DialTLSConfig(&tls.Config{RootCAs: a.Pool(), MinVersion: tls.VersionTLS12}))
}

// TestSecured: a source reads over TLS, the log of its topic too, and the broker's certificate may be replaced, by
// one of another authority that replaces the file meanwhile; until then the route says what is missing.
func TestSecured(t *testing.T) {
	t.Parallel()
	a := connectortest.NewAuthority(t)
	p := a.Issue(t, "broker", time.Hour, "127.0.0.1")
	c := newCluster(t, kfake.SeedTopics(1, "orders"), kfake.TLS(serverTLS(p)))
	h := newHost()
	s := open(t, c, h, func(cfg *SourceConfig, _ *timing) { cfg.TLS = connectors.TLS{On: true, CAFile: a.CAFile} })
	h.await(t, kind(connectors.Connected))
	produce(t, securedClient(t, c, a), "orders", 1, 0, 3)
	if b := fetchOne(t, s, h, wide); len(b.Messages) == 0 {
		t.Fatal("nothing was read")
	}
	log, err := openSourceLog(&s.cfg)
	if err != nil {
		t.Fatal(err)
	}
	ranges, err := log.Ranges(t.Context())
	_ = log.Close(t.Context())
	if err != nil || len(ranges) != 1 || ranges[0].End != 3 {
		t.Fatalf("%v, %v", ranges, err)
	}

	other := connectortest.NewAuthority(t)
	next := other.Issue(t, "broker", time.Hour, "127.0.0.1")
	replace(t, next.KeyFile, p.KeyFile)
	replace(t, next.CertFile, p.CertFile)
	s.conn.renew()
	if _, err := s.conn.refresh(t.Context()); err == nil || !strings.Contains(err.Error(), "put the certificate of that authority into tls.ca_file") {
		t.Fatalf("another authority: %v", err)
	}
	replace(t, other.CAFile, a.CAFile)
	if _, err := s.conn.refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func replace(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestSecuredFaults: what does not fit together says what to change, in the event of the route and in doctor.
func TestSecuredFaults(t *testing.T) {
	t.Parallel()
	a := connectortest.NewAuthority(t)
	p := a.Issue(t, "broker", 24*time.Hour, "127.0.0.1")
	mutual := serverTLS(p)
	mutual.ClientAuth, mutual.ClientCAs = tls.RequireAndVerifyClientCert, a.Pool()
	secured, plain := newCluster(t, kfake.SeedTopics(1, "orders"), kfake.TLS(serverTLS(p))), newCluster(t, kfake.SeedTopics(1, "orders"))
	wantsOurs := newCluster(t, kfake.SeedTopics(1, "orders"), kfake.TLS(mutual))
	trusting := connectors.TLS{On: true, CAFile: a.CAFile}
	for name, test := range map[string]struct {
		cluster *kfake.Cluster
		tls     connectors.TLS
		want    string
		code    string // of the check that fails
	}{
		"TLS wanted":         {secured, connectors.TLS{}, "tls: true", "kafka.api"},
		"not trusted":        {secured, connectors.TLS{On: true}, "set tls.ca_file", "kafka.tls"},
		"another name":       {secured, connectors.TLS{On: true, CAFile: a.CAFile, ServerName: "kafka.example"}, "tls.server_name", "kafka.tls"},
		"no TLS there":       {plain, trusting, "leave tls out", "kafka.tls"},
		"certificate wanted": {wantsOurs, trusting, "tls.cert_file", "kafka.api"},
		"about to expire":    {secured, trusting, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := defaultConnection()
			cfg.Brokers, cfg.TLS, cfg.DialTimeout = test.cluster.ListenAddrs(), test.tls, connectors.Duration(2*time.Second)
			e, err := newExaminer(&cfg, &connectors.Env{}, "orders")
			if err != nil {
				t.Fatal(err)
			}
			defer e.close(context.Background())
			if _, err = e.conn.refresh(t.Context()); test.cluster == plain {
				err = errors.New(test.want) // kfake waits for more of what is no request, where a broker hangs up
			}
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Fatalf("%v, want %q", err, test.want)
			}
			failed := ""
			for _, check := range e.examination().Checks {
				for _, f := range check.Ask(t.Context()) {
					if f.Level == connectors.Failed && failed == "" {
						failed = check.Code
						if !strings.Contains(f.Text+f.Way, test.want) {
							t.Errorf("%s: no %q in %+v", check.Code, test.want, f)
						}
					}
					if check.Code == "kafka.tls" && test.want == "" && f.Level == connectors.Warning && !strings.Contains(f.Text, "expires at") {
						t.Errorf("%+v", f)
					}
				}
				if failed != "" {
					break
				}
			}
			if failed != test.code {
				t.Errorf("%q fails, want %q", failed, test.code)
			}
		})
	}
}

// TestLogins: each mechanism lets the source and the log in, and says so where it does not.
func TestLogins(t *testing.T) {
	t.Parallel()
	for _, m := range []string{mechanismPlain, mechanismScram256, mechanismScram512} {
		t.Run(m, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, kfake.SeedTopics(1, "orders"), kfake.EnableSASL(), kfake.Superuser(m, "me", "right"))
			for password, well := range map[string]bool{"right": true, "wrong": false} {
				cfg := defaultConnection()
				cfg.Brokers, cfg.SASL = c.ListenAddrs(), SASL{Mechanism: strings.ToLower(m), Username: "me", Password: connectors.Secret(password)}
				e, err := newExaminer(&cfg, &connectors.Env{}, "orders")
				if err != nil {
					t.Fatal(err)
				}
				level := e.askLogin(t.Context())[0].Level
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				if !well {
					cancel()
				}
				_, err = e.admin.Ranges(ctx)
				cancel()
				if (level == connectors.Fine) != well || (err == nil) != well {
					t.Errorf("%s: %v, log %v", password, level, err)
				}
				e.close(context.Background())
			}
		})
	}
}

// endpoint gives tokens, and counts them.
func endpoint(t *testing.T, answer func(n int64) (status int, body any)) (url string, asked *atomic.Int64) {
	asked = &atomic.Int64{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, secret, _ := r.BasicAuth()
		if id != "me%2F1" || secret != "right%3A" || r.PostFormValue("grant_type") != "client_credentials" || r.PostFormValue("scope") != "kafka" {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write([]byte(`{"error": "invalid_client", "error_description": "no such client"}`))
			return
		}
		status, body := answer(asked.Add(1))
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(body)
	}))
	t.Cleanup(s.Close)
	return s.URL, asked
}

// TestToken: a token is kept until shortly before it expires, or until it is refused, and whatever the endpoint
// answers instead says why.
func TestToken(t *testing.T) {
	t.Parallel()
	url, asked := endpoint(t, func(n int64) (int, any) {
		return 200, map[string]any{"access_token": "t" + string(rune('0'+n)), "expires_in": 1000}
	})
	s := SASL{Mechanism: mechanismOAuth, Endpoint: url, ClientID: "me/1", ClientSecret: "right:", Scope: "kafka"}
	if faults := s.faults(); faults != nil {
		t.Fatal(faults)
	}
	l := newLogin(&Connection{SASL: s, DialTimeout: connectors.Duration(5 * time.Second)})
	first := func() string {
		_, b, err := l.Start(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if got := first(); got != "n,,\x01auth=Bearer t1\x01\x01" {
		t.Errorf("%q", got)
	}
	if got := first(); !strings.Contains(got, "t2") { // the first was never accepted
		t.Errorf("%q", got)
	}
	l.open.Store(false)
	if got := first(); !strings.Contains(got, "t2") || asked.Load() != 2 {
		t.Errorf("%q after %d", got, asked.Load())
	}
	l.open.Store(false)
	if left := time.Until(l.tokens.until); left < 930*time.Second || left > 940*time.Second {
		t.Errorf("used for %v", left)
	}
	l.tokens.until = time.Now()
	if got := first(); !strings.Contains(got, "t3") {
		t.Errorf("%q", got)
	}
	if _, _, err := (bearer{}).Next(t.Context(), []byte(`{"status":"invalid_token"}`)); err == nil || !strings.Contains(err.Error(), "invalid_token") {
		t.Error(err)
	}
	s.ClientSecret = "wrong"
	if _, _, err := newLogin(&Connection{SASL: s, DialTimeout: connectors.Duration(5 * time.Second)}).Start(t.Context()); err == nil || !strings.Contains(err.Error(), "no such client") || strings.Contains(err.Error(), "wrong") {
		t.Error(err)
	}
	for body, want := range map[string]string{
		`{}`: "no access_token", `<html>`: "not JSON", `{"access_token": "a\u0001b"}`: "no access_token", `{"error": "x"}`: `"x"`,
	} {
		if _, _, err := readToken(200, []byte(body)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", body, err)
		}
	}
	if _, _, err := readToken(500, nil); err == nil || !strings.Contains(err.Error(), "500") {
		t.Error(err)
	}
}

// TestTokenEndpointSafe: a secret goes nowhere in the clear.
func TestTokenEndpointSafe(t *testing.T) {
	for text, safe := range map[string]bool{
		"https://idp.example/token": true, "http://127.0.0.1:1/token": true, "http://localhost/token": true, "http://[::1]:8/t": true,
		"http://idp.example/token": false, "https://me:x@idp.example": false, "ftp://localhost": false, "idp": false,
	} {
		if safeEndpoint(text) != safe {
			t.Errorf("%s: %v", text, !safe)
		}
	}
	if host, _, _ := net.SplitHostPort("127.0.0.1:1"); !connectors.Loopback(host) {
		t.Error("127.0.0.1")
	}
}

func TestSASLFaults(t *testing.T) {
	for text, want := range map[string][]string{
		"sasl: {mechanism: scram-sha-512, username: u, password: p}":                            {},
		"sasl: {mechanism: scram-sha-512}":                                                      {"sasl.username", "sasl.password"},
		"sasl: {mechanism: GSSAPI, username: u}":                                                {"sasl.mechanism"},
		"sasl: {username: u, password: p}":                                                      {"sasl.mechanism"},
		"sasl: {mechanism: OAUTHBEARER}":                                                        {"sasl.endpoint", "sasl.client_id", "sasl.client_secret"},
		"sasl: {mechanism: OAUTHBEARER, endpoint: 'http://x/', client_id: a, client_secret: b}": {"sasl.endpoint"},
		"{username: u, password: p, sasl: {mechanism: PLAIN, username: u, password: p}}":        {"username"},
		"tls: {cert_file: x}":                                                                   {"tls.key_file"},
	} {
		c := defaultConnection()
		if err := connectortest.Decode(text)(&c); err != nil {
			t.Fatal(err)
		}
		c.Brokers = connectors.List{"h:1"}
		got := paths(c.Validate())
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

// TestTokenHangs: an endpoint that says nothing holds a login up for the time of a dial, also where nobody else
// bounds it.
func TestTokenHangs(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then is it noticed that the client has gone
		<-r.Context().Done()
	}))
	t.Cleanup(s.Close)
	l := newLogin(&Connection{DialTimeout: connectors.Duration(100 * time.Millisecond), SASL: SASL{Mechanism: mechanismOAuth, Endpoint: s.URL, ClientID: "me"}})
	if _, err := l.token(t.Context()); !errors.Is(err, errToken) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
}

// TestRounds: who is no broker neither has us hash for ever nor so little that the password can be guessed.
func TestRounds(t *testing.T) {
	for text, want := range map[string]bool{
		"r=ab,s=QQ==,i=4096": true, "r=ab,s=QQ==,i=16384,x=y": true, "v=aW5pPQ==": true, "": true,
		"r=ab,s=QQ==,i=1": false, "r=ab,s=QQ==,i=9999999999": false, "r=ab,s=QQ==,i=": false, "r=ab,s=QQ==,i=99999999999999999999999": false,
	} {
		l := newLogin(&Connection{SASL: SASL{Mechanism: mechanismScram256, Username: "me", Password: "right"}})
		for name, err := range map[string]error{
			"source": second((&loginSession{bearer{}, l}).Next(t.Context(), []byte(text))),
			"log":    second(boundedSession{accepting{}}.Challenge([]byte(text))),
		} {
			refused := err != nil && strings.Contains(err.Error(), "rounds of SCRAM")
			if refused == want {
				t.Errorf("%s: %q: %v", name, text, err)
			}
		}
	}
}

func second(_ bool, _ []byte, err error) error { return err }

// accepting is a session to which all is well.
type accepting struct{}

func (accepting) Challenge([]byte) (bool, []byte, error) { return true, nil, nil }
