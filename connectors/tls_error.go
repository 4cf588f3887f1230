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
	"strings"
	"syscall"
	"time"
	"unicode"
)

// TLSError says why a connection cannot be secured.
type TLSError struct {
	Text string // what is wrong
	Way  string // what to change
	Err  error  // of package tls or x509, or of a file
}

func (e *TLSError) Error() string { return e.Text + "; " + e.Way }

// Unwrap returns the fault itself.
func (e *TLSError) Unwrap() error { return e.Err }

func fileError(key string, err error) *TLSError {
	return &TLSError{Text: key + ": " + err.Error(), Way: "correct the file; it is read at the next connection", Err: err}
}

// The alerts of RFC 8446, section 6, by which a server refuses us.
const (
	alertHandshakeFailure    tls.AlertError = 40
	alertBadCertificate      tls.AlertError = 42
	alertUnsupported         tls.AlertError = 43
	alertRevoked             tls.AlertError = 44
	alertExpired             tls.AlertError = 45
	alertUnknownCertificate  tls.AlertError = 46
	alertUnknownAuthority    tls.AlertError = 48
	alertAccessDenied        tls.AlertError = 49
	alertProtocolVersion     tls.AlertError = 70
	alertCertificateRequired tls.AlertError = 116
)

// explain turns an error of a handshake with host, or of a read, into words. What is not TLS's fault it returns
// as it is.
func (t *TLS) explain(err error, host string, handshake bool) error {
	if alert, ok := alertOf(err); ok {
		return t.refused(err, alert, host)
	}
	if bad, ok := errors.AsType[x509.HostnameError](err); ok {
		return &TLSError{Err: err, Text: fmt.Sprintf("the certificate that %s shows is for %s", host, namesOf(bad.Certificate)),
			Way: "name the server as its certificate does, or set tls.server_name to a name it holds"}
	}
	if bad, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		return invalid(err, &bad, host)
	}
	if bad, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		issuer := "an unknown authority"
		if bad.Cert != nil {
			issuer = fmt.Sprintf("%q", bad.Cert.Issuer.String())
		}
		way := "set tls.ca_file to the certificate of that authority"
		if t.CAFile != "" {
			way = "put the certificate of that authority into tls.ca_file (" + t.CAFile + ")"
		}
		return &TLSError{Err: err, Way: way, Text: fmt.Sprintf("the certificate that %s shows is signed by %s, which is not trusted here", host, issuer)}
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok && handshake {
		return &TLSError{Err: err, Text: fmt.Sprintf("what listens at %s does not speak TLS", host), Way: "name its TLS port, or leave tls out"}
	}
	gone := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)
	if handshake && gone {
		return &TLSError{Err: err, Text: fmt.Sprintf("%s closed the connection in the TLS handshake", host),
			Way: "does this port speak TLS? name its TLS port, or leave tls out"}
	}
	if handshake && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)) {
		return &TLSError{Err: err, Text: fmt.Sprintf("%s says nothing in the TLS handshake", host),
			Way: "does this port speak TLS? name its TLS port, or leave tls out"}
	}
	if handshake {
		return fmt.Errorf("TLS handshake with %s: %w", host, err)
	}
	return err
}

// alertOf returns the alert that the server sent. Package tls has a type of its own for it and shows the words only.
func alertOf(err error) (tls.AlertError, bool) {
	remote, ok := errors.AsType[*net.OpError](err)
	if !ok || remote.Op != "remote error" {
		return 0, false
	}
	for alert := range alertCertificateRequired + 1 {
		if alert.Error() == remote.Err.Error() {
			return alert, true
		}
	}
	return 0, false
}

// refused is what the server says of us.
func (t *TLS) refused(err error, alert tls.AlertError, host string) error {
	e := &TLSError{Err: err, Text: fmt.Sprintf("%s refuses TLS with us: %v", host, alert), Way: "look into the server's log"}
	switch alert {
	case alertCertificateRequired, alertHandshakeFailure, alertBadCertificate, alertUnsupported, alertRevoked, alertExpired, alertUnknownCertificate,
		alertUnknownAuthority, alertAccessDenied:
		if alert == alertHandshakeFailure && t.CertFile == "" {
			e.Way = "it may want a client certificate: set tls.cert_file and tls.key_file"
		} else if t.CertFile == "" {
			e.Text = fmt.Sprintf("%s wants a client certificate and we have none (%v)", host, alert)
			e.Way = "set tls.cert_file and tls.key_file"
		} else {
			e.Text = fmt.Sprintf("%s refuses our certificate: %v", host, alert)
			e.Way = "put one into " + t.CertFile + " that an authority of the server has signed"
		}
	case alertProtocolVersion:
		e.Way = "the server has to speak TLS 1.2 or later"
	}
	return e
}

// invalid says what is wrong with the server's certificate itself.
func invalid(err error, bad *x509.CertificateInvalidError, host string) error {
	e := &TLSError{Err: err, Text: fmt.Sprintf("the certificate that %s shows is not valid: %v", host, bad), Way: "give the server another certificate"}
	if bad.Reason == x509.Expired && bad.Cert != nil {
		if time.Now().Before(bad.Cert.NotBefore) {
			e.Text = fmt.Sprintf("the certificate that %s shows is valid from %s on only", host, bad.Cert.NotBefore.Format(time.RFC3339))
			e.Way = "is the clock of this machine right? date -u"
			return e
		}
		e.Text = fmt.Sprintf("the certificate that %s shows expired at %s", host, bad.Cert.NotAfter.Format(time.RFC3339))
		e.Way = "renew the server's certificate, or is the clock of this machine wrong? date -u"
	}
	return e
}

// namesOf are the names that a certificate is for.
func namesOf(c *x509.Certificate) string {
	names := c.DNSNames
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return "no host name at all"
	}
	return fmt.Sprintf("%.300s", strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?' // nobody has vouched for them, and they may be shown in a terminal
		}
		return r
	}, strings.Join(names[:min(len(names), 10)], ", ")))
}
