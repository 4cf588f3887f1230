package telemetry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
)

// Probe finds out whether traces would be taken where they go: it sends a request without a span, as the
// exporter sends its own. It blocks until ctx ends at most. endpoint is empty where traces do not leave the
// process.
func Probe(ctx context.Context, cfg Config) (endpoint string, err error) {
	p, err := newPlan(cfg)
	if err != nil {
		return "", err
	}
	s := p.traces
	if p.disabled || s.exporter != exporterOTLP {
		return "", nil
	}
	endpoint = redact(s.endpoint)
	if err := dial(ctx, s.endpoint); err != nil {
		return endpoint, err
	}
	client := s.traceClient(cfg)
	if err := client.Start(ctx); err != nil {
		return endpoint, err
	}
	err = client.UploadTraces(ctx, nil)
	if err != nil {
		err = fmt.Errorf("by %s: %w", s.protocol, err)
	}
	return endpoint, errors.Join(err, client.Stop(ctx))
}

// dial says in plain words what an exporter tries again and again.
func dial(ctx context.Context, endpoint string) error {
	if !strings.Contains(endpoint, "://") {
		endpoint = "https://" + endpoint
	}
	u, err := url.Parse(endpoint)
	if err != nil {
		return errors.New("the endpoint is not a URL")
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443"}[u.Scheme]
	}
	if port == "" {
		port = "80"
	}
	c, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return err
	}
	return c.Close()
}
