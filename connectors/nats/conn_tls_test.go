package nats

import (
	"context"
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/connectortest"
)

// securedServer runs a server that wants TLS, with the certificate that stands in the files of p at each handshake.
func securedServer(t testing.TB, p connectortest.Pair, first bool, change func(*server.Options)) *server.Server {
	return startServer(t, func(o *server.Options) {
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(p.CertFile, p.KeyFile)
			return &pair, err
		}}
		o.TLSHandshakeFirst, o.TLSTimeout = first, 10
		if change != nil {
			change(o)
		}
	})
}

// up waits until a connection stands, and returns why it does not.
func up(t *testing.T, cfg *Connection) (*conn, error) {
	t.Helper()
	c := dial(cfg, &connectors.Env{Route: "r", Host: newSourceHost()}, true)
	t.Cleanup(func() { c.close(context.Background()) })
	for {
		c.mu.Lock()
		nc, up, err, changed := c.nc, c.up, c.err, c.changed
		c.mu.Unlock()
		switch {
		case up && nc != nil:
			return c, nil
		case err != nil:
			return c, err
		}
		<-changed
	}
}

// TestSecured: TLS behind the greeting, at once, by scheme, and where only the server asks for it. Where the
// configuration has it, the link stands beside nats.go as without TLS.
func TestSecured(t *testing.T) {
	t.Parallel()
	a := connectortest.NewAuthority(t)
	p := a.Issue(t, "server", 24*time.Hour, "127.0.0.1")
	behind, first, plain := securedServer(t, p, false, nil), securedServer(t, p, true, nil), startServer(t, nil)
	mutual := securedServer(t, p, false, func(o *server.Options) {
		o.TLSConfig.ClientAuth, o.TLSConfig.ClientCAs = tls.RequireAndVerifyClientCert, a.Pool()
		o.TLSVerify = true
	})
	mine := a.Issue(t, "client", time.Hour)
	trusting := connectors.TLS{On: true, CAFile: a.CAFile}
	named := trusting
	named.ServerName = "nats.example"
	withOurs := trusting
	withOurs.CertFile, withOurs.KeyFile = mine.CertFile, mine.KeyFile
	for name, test := range map[string]struct {
		server *server.Server
		cfg    Connection
		want   string // of the error; empty: it works
	}{
		"behind":            {behind, Connection{TLS: trusting}, ""},
		"behind, plain":     {behind, Connection{TLS: trusting, Plain: true}, ""},
		"first":             {first, Connection{TLS: trusting, TLSFirst: true}, ""},
		"mutual":            {mutual, Connection{TLS: withOurs}, ""},
		"insecure":          {behind, Connection{TLS: connectors.TLS{On: true, InsecureSkipVerify: true}}, ""},
		"none of ours":      {mutual, Connection{TLS: trusting}, "tls.cert_file"},
		"another name":      {behind, Connection{TLS: named}, "tls.server_name"},
		"not trusted":       {behind, Connection{TLS: connectors.TLS{On: true}}, "set tls.ca_file"},
		"only the server's": {behind, Connection{}, "set tls: {ca_file: ...}"},
		"no TLS there":      {plain, Connection{TLS: trusting}, "the server does not offer TLS"},
		"no TLS at first":   {behind, Connection{TLS: trusting, TLSFirst: true}, "leave tls out"},
		"first wanted":      {first, Connection{TLS: trusting}, "tls_first: true"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.cfg.Servers = connectors.List{test.server.Addr().String()}
			c, err := up(t, &test.cfg)
			if test.want != "" {
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Fatalf("%v, want %q", err, test.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			l, _, err := c.link(c.nc)
			if err != nil {
				t.Fatal(err)
			}
			if _, isPlain := l.(*plainLink); isPlain != test.cfg.Plain {
				t.Errorf("the link is %T", l)
			}
		})
	}
	for _, scheme := range []string{"tls://", "TLS://"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			_, err := up(t, &Connection{Servers: connectors.List{scheme + behind.Addr().String()}})
			if err == nil || !strings.Contains(err.Error(), "set tls.ca_file") {
				t.Error(err)
			}
		})
	}
}

// TestSecuredRotates: a server's certificate of another authority is refused until the file holds that.
func TestSecuredRotates(t *testing.T) {
	t.Parallel()
	a, other := connectortest.NewAuthority(t), connectortest.NewAuthority(t)
	p, next := a.Issue(t, "server", time.Hour, "127.0.0.1"), other.Issue(t, "server", time.Hour, "127.0.0.1")
	srv := securedServer(t, p, false, nil)
	h := newSourceHost()
	c := dial(&Connection{Servers: connectors.List{srv.Addr().String()}, TLS: connectors.TLS{On: true, CAFile: a.CAFile}}, &connectors.Env{Host: h}, false)
	t.Cleanup(func() { c.close(context.Background()) })
	_, at := h.await(t, 0, "connection", func(e connectors.Event) bool { return e.Kind == connectors.Connected })
	replace(t, next.KeyFile, p.KeyFile)
	replace(t, next.CertFile, p.CertFile)
	_ = c.sockets.newest().Close()
	_, at = h.await(t, at, "refusal", func(e connectors.Event) bool {
		return e.Kind == connectors.Disconnected && strings.Contains(e.Err.Error(), "into tls.ca_file")
	})
	replace(t, other.CAFile, a.CAFile)
	h.await(t, at, "connection", func(e connectors.Event) bool { return e.Kind == connectors.Connected })
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

// key makes a user's key pair and writes its seed to a file.
func key(t *testing.T, file string) (public string) {
	t.Helper()
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := pair.Seed()
	if err == nil {
		err = os.WriteFile(file, seed, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if public, err = pair.PublicKey(); err != nil {
		t.Fatal(err)
	}
	return public
}

// TestKeyRotates: a user's seed is read from its file, and one that takes its place is used without a restart.
func TestKeyRotates(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "user.nk")
	options := &server.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true, Nkeys: []*server.NkeyUser{{Nkey: key(t, file)}}}
	srv := runServer(t, options)
	h := newSourceHost()
	c := dial(&Connection{Servers: connectors.List{srv.ClientURL()}, NKey: file}, &connectors.Env{Host: h}, false)
	t.Cleanup(func() { c.close(context.Background()) })
	connected := func(e connectors.Event) bool { return e.Kind == connectors.Connected }
	_, at := h.await(t, 0, "connection", connected)
	changed := *options
	changed.Nkeys = []*server.NkeyUser{{Nkey: key(t, filepath.Join(filepath.Dir(file), "next.nk"))}}
	if err := srv.ReloadOptions(&changed); err != nil {
		t.Fatal(err)
	}
	_, at = h.await(t, at, "refusal", func(e connectors.Event) bool {
		return e.Kind == connectors.Disconnected && strings.Contains(e.Err.Error(), errLogin.Error())
	})
	replace(t, filepath.Join(filepath.Dir(file), "next.nk"), file)
	h.await(t, at, "connection", connected)
}

// TestToken logs in by a token, and by a file that does not exist.
func TestToken(t *testing.T) {
	t.Parallel()
	srv := startServer(t, func(o *server.Options) { o.Authorization = "the token" })
	file := filepath.Join(t.TempDir(), "none")
	for cfg, want := range map[*Connection]string{
		{Token: "the token"}: "", {Token: "another"}: errLogin.Error(), {Creds: file}: "open " + file, {NKey: file}: "open " + file,
	} {
		cfg.Servers = connectors.List{srv.Addr().String()}
		if _, err := up(t, cfg); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", cfg, err, want)
		}
	}
}

func TestNamesOfCluster(t *testing.T) {
	d := &sockets{servers: []string{"nats://10.0.0.1:4222", "nats://nats.example:4222"}}
	for address, want := range map[string]string{
		"10.0.0.1:4222": "10.0.0.1", "nats.example:4222": "nats.example", "10.0.0.2:4222": "nats.example", "other.example:1": "other.example",
	} {
		if got := d.nameOf(address); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}

// TestVouched: a greeting in the clear makes us log in nowhere but where a certificate is for a configured name.
func TestVouched(t *testing.T) {
	t.Parallel()
	urls := `"10.0.0.2:4222","nats.example:4223","evil.example:4222","nats.example:x@evil.example","u@nats.example:1","[::1]:4222"`
	named, numbered := []string{"nats://nats.example:4222"}, []string{"nats://10.0.0.1:4222"}
	for _, test := range []struct {
		d         *sockets
		key, want string
	}{
		{&sockets{servers: named}, "connect_urls", `"connect_urls":["10.0.0.2:4222","nats.example:4223","[::1]:4222"],`},
		{&sockets{servers: named}, "Connect_URL\u017f", `"connect_urls":["10.0.0.2:4222","nats.example:4223","[::1]:4222"],`},
		{&sockets{servers: numbered}, "connect_urls", ""},
		{&sockets{servers: numbered, tls: connectors.TLS{ServerName: "n"}}, "connect_urls",
			`"connect_urls":["10.0.0.2:4222","nats.example:4223","evil.example:4222","[::1]:4222"],`},
		{&sockets{servers: named}, "other", ""},
	} {
		got, err := test.d.vouched([]byte(`INFO {"` + test.key + `":[` + urls + `],"z":18446744073709551615} ` + "\r\n"))
		want := "INFO {" + test.want + `"z":18446744073709551615}` + "\r\n"
		if test.key == "other" {
			want = `INFO {"other":[` + urls + `],"z":18446744073709551615}` + "\r\n"
		}
		if err != nil || string(got) != want {
			t.Errorf("%v, %s: %q, %v", test.d.servers, test.key, got, err)
		}
	}
}

// TestCloseBreaksGreeting: a server that does not greet holds nobody up who closes.
func TestCloseBreaksGreeting(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d := newSockets()
	d.tls.On = true
	begin, ended := time.Now(), make(chan error, 1)
	go func() {
		_, err := d.Dial("tcp", l.Addr().String())
		ended <- err
	}()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	d.close()
	if err := <-ended; err == nil || time.Since(begin) > connectTimeout/2 {
		t.Errorf("%v after %v", err, time.Since(begin))
	}
}

// TestFilesAreNotTheirContent: a key that was put in the place of its file is not shown.
func TestFilesAreNotTheirContent(t *testing.T) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := pair.Seed()
	if err != nil {
		t.Fatal(err)
	}
	for want, c := range map[string]Connection{
		"nkey_file": {NKey: string(seed)}, "creds_file": {Creds: "-----BEGIN NATS USER JWT-----"}, "tls.key_file": {TLS: connectors.TLS{CertFile: "c", KeyFile: "a\nb"}},
		"": {NKey: "/run/SU/user.nk", TLS: connectors.TLS{CertFile: "c.pem", KeyFile: "c.key"}},
	} {
		c.Servers = connectors.List{"h:1"}
		err := c.Validate()
		if (err == nil) != (want == "") || err != nil && (!strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), string(seed))) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
