package connectors

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// TLS says how a connection is secured. A configuration writes `tls: true`, which trusts the authorities of this
// machine, or a mapping. Its files are read anew at each connection, so that a certificate is replaced without
// a restart: a key and its certificate belong together, so replace them by renaming, the certificate last.
type TLS struct {
	On         bool   `yaml:"-"`
	CAFile     string `yaml:"ca_file"`     // PEM, the authorities that sign servers; empty: those of this machine
	CertFile   string `yaml:"cert_file"`   // PEM, our certificate with its chain, where the server asks for one
	KeyFile    string `yaml:"key_file"`    // PEM, its private key
	ServerName string `yaml:"server_name"` // what the server's certificate is for; empty: the host that is dialled
	// InsecureSkipVerify takes any certificate: whoever can answer in the server's place can read along, passwords
	// too. It is warned of at each start.
	InsecureSkipVerify bool `yaml:"insecure_skip_verify"`
}

const maxPEM = 4 << 20

// UnmarshalYAML reads either form; what a mapping does not name stays as it was.
func (t *TLS) UnmarshalYAML(decode func(any) error) error {
	var on bool
	if decode(&on) == nil {
		t.On = on
		return nil
	}
	var text string // of a URL
	if decode(&text) == nil {
		on, err := strconv.ParseBool(text)
		if err != nil {
			return errors.New("want true, false, or a mapping with ca_file, cert_file, key_file, server_name")
		}
		t.On = on
		return nil
	}
	var keys map[string]any
	if err := decode(&keys); err != nil {
		return errors.New("want true, false, or a mapping with ca_file, cert_file, key_file, server_name")
	}
	known := []string{"ca_file", "cert_file", "key_file", "server_name", "insecure_skip_verify"}
	for key := range keys {
		if !slices.Contains(known, key) {
			return fmt.Errorf("unknown key %q in tls; its keys are %s", key, strings.Join(known, ", "))
		}
	}
	type plain TLS
	into := plain(*t)
	if err := decode(&into); err != nil {
		return err
	}
	*t = TLS(into)
	t.On = true
	return nil
}

// Faults are what is wrong with it, before anything connects. Its files are looked at when it connects.
func (t *TLS) Faults() (faults []error) {
	switch {
	case t.CertFile != "" && t.KeyFile == "":
		faults = append(faults, Fieldf("tls.key_file", "is required beside cert_file"))
	case t.KeyFile != "" && t.CertFile == "":
		faults = append(faults, Fieldf("tls.cert_file", "is required beside key_file"))
	}
	for key, path := range map[string]string{"ca_file": t.CAFile, "cert_file": t.CertFile, "key_file": t.KeyFile} {
		if err := PathFault("tls."+key, path); err != nil {
			faults = append(faults, err)
		}
	}
	return faults
}

// PathFault tells of a key that holds what its file should, which is what ${file:path} makes of it. Errors name
// paths, so that they would show a private key; this one does not.
func PathFault(key, path string) error {
	seed := len(path) >= 58 && path[0] == 'S' && strings.Trim(path, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == "" // of an NKEY, in base 32
	if seed || strings.HasPrefix(path, "-----BEGIN") || strings.ContainsAny(path, "\r\n\x00") {
		return Fieldf(key, "holds what the file should: write the path of the file, without ${file:...}")
	}
	return nil
}

// config is made for one connection to a host.
func (t *TLS) config(host string) (*tls.Config, error) {
	c := &tls.Config{
		MinVersion: tls.VersionTLS12, ServerName: t.ServerName,
		InsecureSkipVerify: t.InsecureSkipVerify, //nolint:gosec // asked for by name, and warned of
	}
	if c.ServerName == "" {
		c.ServerName = host
	}
	if t.CAFile != "" {
		data, err := readPEM(t.CAFile)
		if err != nil {
			return nil, fileError("tls.ca_file", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(data) {
			return nil, fileError("tls.ca_file", fmt.Errorf("%s holds no certificate in PEM", t.CAFile))
		}
	}
	own, err := t.own()
	if err != nil || own == nil {
		return c, err
	}
	c.Certificates = []tls.Certificate{*own}
	return c, nil
}

// own returns our certificate, nil if there is none.
func (t *TLS) own() (*tls.Certificate, error) {
	if t.CertFile == "" {
		return nil, nil
	}
	cert, err := readPEM(t.CertFile)
	if err != nil {
		return nil, fileError("tls.cert_file", err)
	}
	key, err := readPEM(t.KeyFile)
	if err != nil {
		return nil, fileError("tls.key_file", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fileError("tls.cert_file and tls.key_file", fmt.Errorf("%s and %s: %w", t.CertFile, t.KeyFile, err))
	}
	if now := time.Now(); now.After(pair.Leaf.NotAfter) {
		return nil, fileError("tls.cert_file", fmt.Errorf("the certificate in %s expired at %s", t.CertFile, pair.Leaf.NotAfter.Format(time.RFC3339)))
	}
	return &pair, nil
}

// readPEM reads a file that holds certificates or a key.
func readPEM(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxPEM+1))
	if err == nil && len(data) > maxPEM {
		err = fmt.Errorf("%s is longer than %d bytes", path, maxPEM)
	}
	return data, err
}

// Client does the client's part of a handshake with host over c, until ctx ends, and returns the secured
// connection. It closes c where it fails. Its errors, and those of the connection that TLS is to blame for, are
// *TLSError.
func (t *TLS) Client(ctx context.Context, c net.Conn, host string) (*TLSConn, error) {
	config, err := t.config(host)
	if err != nil {
		c.Close()
		return nil, err
	}
	secured := tls.Client(c, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		c.Close()
		return nil, t.explain(err, config.ServerName, true)
	}
	return &TLSConn{Conn: secured, of: t, host: config.ServerName}, nil
}

// TLSConn is a secured connection.
type TLSConn struct {
	*tls.Conn
	of    *TLS
	host  string
	heard atomic.Bool // the server has said something
}

// Read implements net.Conn. A server of TLS 1.3 refuses our certificate only after our part of the handshake.
func (c *TLSConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil {
		err = c.of.explain(err, c.host, false)
	} else if !c.heard.Load() {
		c.heard.Store(true)
	}
	return n, err
}

// Write implements net.Conn. Where the server has hung up at once, what it said before tells why.
func (c *TLSConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if err == nil || c.heard.Load() || errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
		return n, err
	}
	_ = c.SetReadDeadline(time.Now().Add(lastWords)) // where it cannot be set, the read fails too
	if _, said := c.Conn.Read(make([]byte, 1)); said != nil {
		if _, ok := alertOf(said); ok {
			return n, c.of.explain(said, c.host, false)
		}
	}
	return n, &TLSError{Err: err, Text: c.host + " hangs up behind the TLS handshake",
		Way: "it may want a client certificate (tls.cert_file, tls.key_file), or another one; its log tells"}
}

// lastWords is how long the reason is waited for why a server hung up.
const lastWords = 100 * time.Millisecond
