package nats

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
)

// SkipTLSHandshake tells nats.go that what Dial returns is secured already.
func (d *sockets) SkipTLSHandshake() bool { return d.tls.On }

// try secures a connection that nobody else uses.
func (d *sockets) try(ctx context.Context, address string) (*connectors.TLSConn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err == nil {
		c, err = d.secure(ctx, c, address)
	}
	if err != nil {
		return nil, err
	}
	if behind, ok := c.(*greeted); ok {
		return behind.TLSConn, nil
	}
	return c.(*connectors.TLSConn), nil
}

// secure has a connection speak TLS, either at once or behind the INFO with which a server greets in the clear;
// nats.go then reads that INFO again, and everything behind it is secured. It closes c where it fails.
func (d *sockets) secure(ctx context.Context, c net.Conn, address string) (net.Conn, error) {
	if d.first {
		secured, err := d.tls.Client(ctx, c, d.nameOf(address))
		if err != nil {
			return nil, err
		}
		return secured, nil
	}
	line, err := readGreeting(ctx, c)
	if err == nil {
		line, err = d.vouched(line)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	secured, err := d.tls.Client(ctx, c, d.nameOf(address))
	if err != nil {
		return nil, err
	}
	return &greeted{secured, line}, nil
}

// nameOf is what the certificate of the server at an address has to be for. Other servers of a cluster are told of
// by their addresses, and have the name of one that is configured.
func (d *sockets) nameOf(address string) string {
	host, _, _ := net.SplitHostPort(address) // it was dialled
	if net.ParseIP(host) == nil {
		return host
	}
	names := d.names()
	if slices.Contains(names, host) {
		return host
	}
	for _, name := range names {
		if net.ParseIP(name) == nil {
			return name
		}
	}
	return host
}

// names are the hosts that are configured.
func (d *sockets) names() (all []string) {
	for _, s := range d.servers {
		if u, err := url.Parse(s); err == nil {
			all = append(all, u.Hostname())
		}
	}
	return all
}

// vouched leaves those servers of the cluster out of a greeting whose certificate would have to be for no name that
// is configured. Anybody between us and the server may have put them there, with certificates of their own, and we
// would log in there next. nats-server 2.15 names its cluster again once we have logged in.
func (d *sockets) vouched(line []byte) ([]byte, error) {
	says := map[string]json.RawMessage{}
	if err := json.Unmarshal(line[len(info):], &says); err != nil {
		return nil, fmt.Errorf("nats: the server's INFO is not JSON: %w", err)
	}
	var keep []string
	for key, value := range says {
		if !strings.EqualFold(key, "connect_urls") { // as package json compares
			continue
		}
		var urls []string
		if err := json.Unmarshal(value, &urls); err != nil {
			return nil, fmt.Errorf("nats: connect_urls of the server's INFO: %w", err)
		}
		for _, s := range urls {
			u, err := url.Parse("nats://" + s)
			if err == nil && u.Host == s && (d.tls.ServerName != "" || slices.Contains(d.names(), d.nameOf(s))) {
				keep = append(keep, s)
			}
		}
		delete(says, key)
	}
	if keep != nil {
		says["connect_urls"], _ = json.Marshal(keep) // texts
	}
	text, err := json.Marshal(says)
	return slices.Concat([]byte(info), text, []byte("\r\n")), err
}

// readGreeting reads the INFO of a server that begins TLS behind it, until ctx ends. Whatever else stands in the
// clear is refused: nobody knows who said it.
func readGreeting(ctx context.Context, c net.Conn) ([]byte, error) {
	stop := context.AfterFunc(ctx, func() { _ = c.SetReadDeadline(time.Unix(1, 0)) }) // where it cannot be set, the read fails too
	defer stop()
	var line []byte
	for buf := make([]byte, 4<<10); !bytes.HasSuffix(line, []byte{'\n'}); {
		n, err := c.Read(buf)
		line = append(line, buf[:n]...)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && len(line) == 0:
			return nil, &connectors.TLSError{Err: err, Text: "the server says nothing", Way: "it may want TLS at once: set tls_first: true"}
		case err != nil:
			return nil, err
		case len(line) > maxLine || bytes.IndexByte(line, '\n') >= 0 && bytes.IndexByte(line, '\n') < len(line)-1:
			return nil, errors.New("nats: the server says more than INFO before TLS")
		}
	}
	text, isInfo := bytes.CutPrefix(line, []byte(info))
	var says struct {
		Required  bool `json:"tls_required"`
		Available bool `json:"tls_available"`
	}
	if !isInfo {
		return nil, fmt.Errorf("nats: what listens is no nats-server: it says %.50q", line)
	}
	if err := json.Unmarshal(text, &says); err != nil {
		return nil, fmt.Errorf("nats: the server's INFO is not JSON: %w", err)
	}
	if !says.Required && !says.Available {
		return nil, &connectors.TLSError{Err: errNoTLS, Text: errNoTLS.Error(), Way: "configure tls in nats-server.conf, or leave tls out"}
	}
	return line, c.SetReadDeadline(time.Time{})
}

var errNoTLS = errors.New("the server does not offer TLS")

// greeted is a secured connection on which what was said in the clear is read first.
type greeted struct {
	*connectors.TLSConn
	line []byte
}

// Read implements net.Conn.
func (c *greeted) Read(p []byte) (int, error) {
	if len(c.line) > 0 {
		n := copy(p, c.line)
		c.line = c.line[n:]
		return n, nil
	}
	return c.TLSConn.Read(p)
}
