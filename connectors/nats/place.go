package nats

import (
	"context"
	"net"
	"net/url"
	"strings"

	"github.com/sluice-bridge/sluice/connectors"
)

// placesOf names what stands at servers, such as "stream ORDERS", once for each server that is named.
func placesOf(servers connectors.List, what ...string) (places []string) {
	for _, s := range servers {
		if !strings.Contains(s, "://") {
			s = "nats://" + s
		}
		u, err := url.Parse(s)
		if err != nil {
			continue // Validate has told
		}
		port := u.Port()
		if port == "" {
			port = "4222"
		}
		for _, w := range what {
			places = append(places, w+" of nats "+net.JoinHostPort(strings.ToLower(u.Hostname()), port))
		}
	}
	return places
}

// subjectPlaces names subjects of core NATS; what has wildcards is not known to meet anything.
func subjectPlaces(servers connectors.List, subjects ...string) []string {
	var what []string
	for _, s := range subjects {
		if s != "" && !strings.ContainsAny(s, "*>") {
			what = append(what, "subject "+s)
		}
	}
	return placesOf(servers, what...)
}

// Place implements connectors.Placer.
func (s *jetStreamSink) Place(ctx context.Context) (string, error) {
	sess, err := s.await(ctx, connectPatience)
	if err != nil {
		return "", err
	}
	return sess.origin, nil
}
