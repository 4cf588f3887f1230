package nats

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// serverInfo is what the server at the other end of a connection says of itself.
type serverInfo struct{ version, cluster, name, id string }

// serverInfoOf returns an error while the connection is lost: nats.go then answers with nothing, which is neither
// an old server nor one without a name.
func serverInfoOf(nc *nats.Conn) (serverInfo, error) {
	s := serverInfo{nc.ConnectedServerVersion(), nc.ConnectedClusterName(), nc.ConnectedServerName(), nc.ConnectedServerId()}
	if s.version == "" || s.name == "" || s.id == "" {
		return serverInfo{}, fmt.Errorf("%w: %w", errSessionLost, nats.ErrConnectionReconnecting)
	}
	return s, nil
}

// canReset reports whether the server knows CONSUMER.RESET, which came with 2.14.
func (s *serverInfo) canReset() bool {
	major, rest, _ := strings.Cut(s.version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	a, err := strconv.Atoi(major)
	b, err2 := strconv.Atoi(minor)
	return err == nil && err2 == nil && (a > 2 || a == 2 && b >= 14)
}

// origin names a stream world-wide and lastingly: a server that was given no name makes up another one
// whenever it starts, but its streams keep the time they were created at.
func (s *serverInfo) origin(created time.Time, stream string) string {
	home := s.cluster
	if home == "" {
		home = s.name
	}
	if home == s.id {
		home = strconv.FormatInt(created.UnixNano(), 10)
	}
	return "nats:" + home + "/" + stream
}
