package kafka

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
)

// Connection is what a cluster is reached by. A source's and a sink's section accept the same keys.
type Connection struct {
	Brokers     connectors.List     `yaml:"brokers"`      // host:port of some brokers; the others are found through them
	ClientID    string              `yaml:"client_id"`    // as the brokers' logs and quotas know us
	TLS         connectors.TLS      `yaml:"tls"`          // true, or a mapping; left out: none
	Username    string              `yaml:"username"`     // SASL PLAIN, the short form of sasl
	Password    connectors.Secret   `yaml:"password"`     // only with username
	SASL        SASL                `yaml:"sasl"`         // any other login; neither: none
	DialTimeout connectors.Duration `yaml:"dial_timeout"` // for a connection with all its handshakes
}

func defaultConnection() Connection {
	return Connection{ClientID: "sluice", DialTimeout: connectors.Duration(5 * time.Second)}
}

// Validate reports every fault of a `connections` entry.
func (c *Connection) Validate() error { return errors.Join(c.faults()...) }

func (c *Connection) faults() (faults []error) {
	if len(c.Brokers) == 0 {
		faults = append(faults, connectors.Fieldf("brokers", "is required: host:port of at least one broker, such as localhost:9092"))
	}
	for _, b := range c.Brokers {
		if err := checkAddress(b); err != nil {
			faults = append(faults, connectors.Fieldf("brokers", "%q: %w", b, err))
		}
	}
	if len(c.ClientID) > 249 {
		faults = append(faults, connectors.Fieldf("client_id", "has %d bytes, at most 249 are allowed", len(c.ClientID)))
	}
	faults = append(faults, c.TLS.Faults()...)
	faults = append(faults, c.SASL.faults()...)
	if c.SASL != (SASL{}) && (c.Username != "" || c.Password != "") {
		faults = append(faults, connectors.Fieldf("username", "stands beside sasl, of which it is the short form: keep one of them"))
	}
	if c.Username == "" && c.Password != "" {
		faults = append(faults, connectors.Fieldf("username", "is required beside a password"))
	}
	if c.Username != "" && c.Password == "" {
		faults = append(faults, connectors.Fieldf("password", "is required beside a username"))
	}
	if d := time.Duration(c.DialTimeout); d < 100*time.Millisecond || d > 5*time.Minute {
		faults = append(faults, connectors.Fieldf("dial_timeout", "is %v, want 100ms to 5m", d))
	}
	return faults
}

// checkAddress accepts host, host:port and [v6]:port.
func checkAddress(address string) error {
	if strings.Contains(address, "://") {
		return errors.New("write host:port without a scheme")
	}
	if strings.ContainsAny(address, " /@") {
		return errors.New("write host:port")
	}
	if !strings.Contains(address, ":") {
		return nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return errors.New("write host:port, an IPv6 address in brackets")
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 || host == "" {
		return errors.New("write host:port with a port from 1 to 65535")
	}
	return nil
}

// SourceConfig is the section of a Kafka source.
type SourceConfig struct {
	Connection    `yaml:",inline"`
	Topics        connectors.List `yaml:"topics"`          // what is read; each partition keeps its order
	Group         string          `yaml:"group"`           // consumer group that keeps the position
	Start         Start           `yaml:"start"`           // where to begin where the group has no position
	InstanceID    string          `yaml:"instance_id"`     // static membership (KIP-345); empty: dynamic
	FetchMaxBytes connectors.Size `yaml:"fetch_max_bytes"` // of one answer of one broker
	Isolation     string          `yaml:"isolation"`       // read_committed or read_uncommitted

	until map[string]int64 // by partition, the position to end at; nil: none
}

func defaultSource(a connectors.About) SourceConfig {
	return SourceConfig{
		Connection: defaultConnection(), Group: "sluice-" + a.Route,
		FetchMaxBytes: 1 << 20, Isolation: readCommitted,
	}
}

const (
	readCommitted   = "read_committed"
	readUncommitted = "read_uncommitted"
)

// Validate reports every fault.
func (c *SourceConfig) Validate() error {
	faults := c.Connection.faults()
	if len(c.Topics) == 0 {
		faults = append(faults, connectors.Fieldf("topics", "is required: one topic or a list of them"))
	}
	seen := map[string]bool{}
	for _, t := range c.Topics {
		if err := checkTopic(t); err != nil {
			faults = append(faults, connectors.Fieldf("topics", "%w", err))
		}
		if seen[t] {
			faults = append(faults, connectors.Fieldf("topics", "%q stands twice", t))
		}
		seen[t] = true
	}
	if c.Group == "" || len(c.Group) > 249 {
		faults = append(faults, connectors.Fieldf("group", "has %d bytes, want 1 to 249", len(c.Group)))
	}
	if len(c.InstanceID) > 249 {
		faults = append(faults, connectors.Fieldf("instance_id", "has %d bytes, at most 249 are allowed", len(c.InstanceID)))
	}
	if n := c.FetchMaxBytes; n < 16<<10 || n > 256<<20 {
		faults = append(faults, connectors.Fieldf("fetch_max_bytes", "is %v, want 16KiB to 256MiB", n))
	}
	if c.Isolation != readCommitted && c.Isolation != readUncommitted {
		faults = append(faults, connectors.Fieldf("isolation", "is %q, want %s or %s", c.Isolation, readCommitted, readUncommitted))
	}
	return errors.Join(faults...)
}

// SinkConfig is the section of a Kafka sink. It always waits for all in-sync replicas.
type SinkConfig struct {
	Connection  `yaml:",inline"`
	Topic       string          `yaml:"topic"`       // unless map.topic is set
	Partitioner string          `yaml:"partitioner"` // murmur2 (as Java's), fnv1a, or source: the partition that the message came from
	Compression string          `yaml:"compression"` // none, gzip, snappy, lz4 or zstd
	MaxMessage  connectors.Size `yaml:"max_message"` // largest message; also how large a batch is made
}

func defaultSink(connectors.About) SinkConfig {
	return SinkConfig{Connection: defaultConnection(), Partitioner: "murmur2", Compression: "none", MaxMessage: 1 << 20}
}

// Validate reports every fault that can be seen without the route.
func (c *SinkConfig) Validate() error {
	faults := c.Connection.faults()
	if c.Topic != "" {
		if err := checkTopic(c.Topic); err != nil {
			faults = append(faults, connectors.Fieldf("topic", "%w", err))
		}
	}
	if _, err := parsePartitioner(c.Partitioner); err != nil {
		faults = append(faults, connectors.Fieldf("partitioner", "%w", err))
	}
	if _, err := parseCompression(c.Compression); err != nil {
		faults = append(faults, connectors.Fieldf("compression", "%w", err))
	}
	if n := c.MaxMessage; n < 1<<10 || n > 64<<20 {
		faults = append(faults, connectors.Fieldf("max_message", "is %v, want 1KiB to 64MiB", n))
	}
	return errors.Join(faults...)
}

// checkTopic applies Kafka's rule for names.
func checkTopic(name string) error {
	switch {
	case name == "" || len(name) > 249:
		return fmt.Errorf("topic %.260q has %d bytes, want 1 to 249", name, len(name))
	case name == "." || name == "..":
		return fmt.Errorf("%q is not a topic name", name)
	case !legalTopic(name):
		return fmt.Errorf("topic %q: only letters, digits, dot, underscore and hyphen are allowed", name)
	}
	return nil
}

func legalTopic[T string | []byte](name T) bool {
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}
