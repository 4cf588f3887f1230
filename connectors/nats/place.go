package nats

import (
	"cmp"
	"context"
	"net"
	"net/url"
	"strings"

	"github.com/sluice-bridge/sluice/connectors"
)

// placesOf names what stands at servers, such as "stream ORDERS", once for each server that is named.
func placesOf(servers connectors.List, what ...string) (places []string) {
	for _, s := range servers {
		address, ok := hostPort(s)
		if !ok {
			continue // Validate has told
		}
		for _, w := range what {
			places = append(places, w+" of nats "+strings.ToLower(address))
		}
	}
	return places
}

// hostPort is the host and the port of a server, with the port that is usual where none stands there; false if it
// cannot be read.
func hostPort(server string) (address string, ok bool) {
	if !strings.Contains(server, "://") {
		server = "nats://" + server
	}
	u, err := url.Parse(server)
	if err != nil {
		return "", false
	}
	return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "4222")), true
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
