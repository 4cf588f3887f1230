package connectors

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"
)

// expirySoon is how long before its end a certificate is warned of.
const expirySoon = 14 * 24 * time.Hour

// Secured returns the check <kind>.tls of a connection: that each server shows a certificate which is trusted, for
// its name and not about to expire, and takes ours. dial secures one connection to host:port as the connector does.
func Secured(kind, about string, addresses []string, t *TLS, dial func(ctx context.Context, address string) (*TLSConn, error)) Check {
	return Check{Code: kind + ".tls", About: about, Connection: true, After: []string{kind + ".tcp"}, Ask: func(ctx context.Context) []Finding {
		var mu sync.Mutex
		var warnings []Finding
		all := each(ctx, addresses, func(ctx context.Context, address string) (string, *Finding) {
			c, err := dial(ctx, address)
			if err != nil {
				f := &Finding{Text: fmt.Sprintf("%s: %v", address, err), Way: CommandLine("openssl s_client -connect %s -showcerts", address)}
				if e, ok := errors.AsType[*TLSError](err); ok {
					f.Text, f.Way = fmt.Sprintf("%s: %s", address, e.Text), e.Way
				}
				return "", f
			}
			defer func() { _ = c.Close() }()
			shown := c.ConnectionState().PeerCertificates
			mu.Lock()
			warnings = append(warnings, expiring(shown, "the server's certificate at "+address, "renew it at the server")...)
			mu.Unlock()
			return fmt.Sprintf("%s shows a certificate for %s, valid until %s", address, namesOf(shown[0]), shown[0].NotAfter.UTC().Format(time.DateOnly)), nil
		})
		if own, err := t.own(); err == nil && own != nil {
			warnings = append(warnings, expiring([]*x509.Certificate{own.Leaf}, "our certificate in "+t.CertFile, "renew it; the file is read at the next connection")...)
		}
		warnings = append(warnings, Exposed(t.KeyFile)...)
		if t.InsecureSkipVerify {
			warnings = append(warnings, Finding{Level: Warning, Text: "any certificate is taken (insecure_skip_verify): whoever answers in the server's place can read along",
				Way: "remove tls.insecure_skip_verify, and set tls.ca_file"})
		}
		return slices.Concat(warnings, all)
	}}
}

// Exposed warns of a file that holds a secret and that everybody on this machine can read; a path of none is not.
func Exposed(path string) []Finding {
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm()&0o004 == 0 {
		return nil
	}
	return Found(Warning, CommandLine("chmod o-rwx %s", path), "everybody on this machine can read %s (%v)", path, info.Mode().Perm())
}

func expiring(chain []*x509.Certificate, what, way string) []Finding {
	for _, c := range chain {
		if left := time.Until(c.NotAfter); left < expirySoon {
			return Found(Warning, way, "%s expires at %s (%q)", what, c.NotAfter.UTC().Format(time.RFC3339), c.Subject.String())
		}
	}
	return nil
}
