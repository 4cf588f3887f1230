package nats

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
)

// Connection is how to reach NATS servers: the `nats` kind of the connections section.
type Connection struct {
	Servers  connectors.List   `yaml:"servers"`    // host:port, nats://host:port or tls://host:port; a list or comma separated
	User     string            `yaml:"user"`       // empty: none, or what the server's URL holds
	Password connectors.Secret `yaml:"password"`   // only with User
	Token    connectors.Secret `yaml:"token"`      // instead of a user, as are the next two
	Creds    string            `yaml:"creds_file"` // a user's JWT and seed, as nsc writes them; read at each connection
	NKey     string            `yaml:"nkey_file"`  // a user's seed; read at each connection
	TLS      connectors.TLS    `yaml:"tls"`        // true, or a mapping; left out: only where the server requires it, trusting this machine's authorities
	TLSFirst bool              `yaml:"tls_first"`  // the server wants TLS before it says anything (handshake_first)
	Name     string            `yaml:"name"`       // what the server's monitoring shows; default: sluice/<route>
	Plain    bool              `yaml:"plain"`      // messages go through nats.go alone, at about twice the CPU
}

// JetStreamSourceConfig is the section of a source that reads a stream.
type JetStreamSourceConfig struct {
	Connection `yaml:",inline"`
	Stream     string              `yaml:"stream"`   // that is read; it has to exist
	Subjects   connectors.List     `yaml:"subjects"` // only messages of these subjects (wildcards); empty: all
	Durable    string              `yaml:"durable"`  // the durable consumer; default sluice-<route>
	Start      string              `yaml:"start"`    // where a durable that does not exist begins
	Consumer   Consumer            `yaml:"consumer"` // what may be done to the durable
	Shared     bool                `yaml:"shared"`   // several daemons read one durable side by side, without order
	AckWait    connectors.Duration `yaml:"ack_wait"` // 0: 10m, or 1m if shared

	until uint64 // the stream sequence to end at; 0: none
}

// Consumer says what may be done to the durable consumer.
type Consumer struct {
	// Create: the durable is created and its ack_wait and max_ack_pending are set. Else it must exist and be fit.
	Create bool `yaml:"create"`
}

// JetStreamSinkConfig is the section of a sink that writes a stream.
type JetStreamSinkConfig struct {
	Connection `yaml:",inline"`
	Stream     string `yaml:"stream"`  // that takes the subjects; it has to exist
	Subject    string `yaml:"subject"` // a template, as map.subject; that one wins
	Mode       string `yaml:"mode"`    // auto, fast or pipelined
}

// CoreSourceConfig is the section of a source that subscribes without a stream.
type CoreSourceConfig struct {
	Connection `yaml:",inline"`
	Subjects   connectors.List `yaml:"subjects"` // what is subscribed to; wildcards
	Queue      string          `yaml:"queue"`    // the queue group; empty: every daemon gets every message
	AckMode    string          `yaml:"ack_mode"` // none, or reply: a request is answered once its message is acknowledged
	Buffer     Buffer          `yaml:"buffer"`   // what is held while the route stalls; what does not fit is dropped and counted
}

// Buffer bounds what a core source holds while the route stalls; what does not fit is dropped and counted.
type Buffer struct {
	Messages int             `yaml:"messages"` // at most
	Bytes    connectors.Size `yaml:"bytes"`    // at most, in memory
}

// CoreSinkConfig is the section of a sink that publishes without a stream.
type CoreSinkConfig struct {
	Connection  `yaml:",inline"`
	Subject     string `yaml:"subject"`      // a template, as map.subject; that one wins
	FlushWindow int    `yaml:"flush_window"` // messages sent between two confirmations by the server
}

// The defaults.
const (
	defaultAckWait       = 10 * time.Minute
	defaultSharedAckWait = time.Minute
	minAckWait           = time.Second
	defaultBufferCount   = 65536
	defaultBufferBytes   = 64 << 20
	defaultFlushWindow   = 4096
)

// Validate reports every fault of the connection.
func (c *Connection) Validate() error {
	var errs []error
	if len(c.Servers) == 0 {
		errs = append(errs, connectors.Fieldf("servers", "is required, such as nats://localhost:4222"))
	}
	for _, s := range c.Servers {
		if err := checkServer(s); err != nil {
			errs = append(errs, &connectors.FieldError{Path: "servers", Err: err})
		}
	}
	if c.Password != "" && c.User == "" {
		errs = append(errs, connectors.Fieldf("password", "has no user"))
	}
	errs = append(errs, c.TLS.Faults()...)
	errs = append(errs, connectors.PathFault("creds_file", c.Creds), connectors.PathFault("nkey_file", c.NKey))
	var logins []string
	for key, have := range map[string]bool{"user": c.User != "", "token": c.Token != "", "creds_file": c.Creds != "", "nkey_file": c.NKey != ""} {
		if have {
			logins = append(logins, key)
		}
	}
	if slices.Sort(logins); len(logins) > 1 {
		errs = append(errs, connectors.Fieldf(logins[1], "stands beside %s: keep one login", logins[0]))
	}
	return errors.Join(errs...)
}

// checkServer never repeats a URL that may hold a password.
func checkServer(s string) error {
	if !strings.Contains(s, "://") {
		s = "nats://" + s
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return errors.New("is not a server address; write host:port or nats://host:port")
	case u.Scheme != "nats" && u.Scheme != "tls":
		return fmt.Errorf("scheme %q is not supported; write nats://host:port, or tls://host:port", u.Scheme)
	case u.Hostname() == "":
		return fmt.Errorf("%q has no host; write nats://host:port", u.Redacted())
	case u.Path != "" && u.Path != "/" || u.RawQuery != "":
		return fmt.Errorf("%q has more than a host and port", u.Redacted())
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.Atoi(p); err != nil || n < 1 || n > 65535 {
			return fmt.Errorf("%q: the port is not from 1 to 65535", u.Redacted())
		}
	}
	return nil
}

// Validate reports every fault of the section.
func (c *JetStreamSourceConfig) Validate() error {
	errs := []error{c.Connection.Validate(), checkName("stream", c.Stream), checkName("durable", c.Durable)}
	errs = append(errs, checkSubjects(c.Subjects))
	if _, err := parseStart(c.Start); err != nil {
		errs = append(errs, &connectors.FieldError{Path: "start", Err: err})
	}
	if w := time.Duration(c.AckWait); w != 0 && w < minAckWait {
		errs = append(errs, connectors.Fieldf("ack_wait", "%v is shorter than %v", w, minAckWait))
	}
	return errors.Join(errs...)
}

func (c *JetStreamSourceConfig) ackWait() time.Duration {
	switch {
	case c.AckWait != 0:
		return time.Duration(c.AckWait)
	case c.Shared:
		return defaultSharedAckWait
	}
	return defaultAckWait
}

// Validate reports every fault of the section.
func (c *JetStreamSinkConfig) Validate() error {
	errs := []error{c.Connection.Validate(), checkName("stream", c.Stream), checkTemplate(c.Subject)}
	switch c.Mode {
	case "auto", "fast", "pipelined":
	default:
		errs = append(errs, connectors.Fieldf("mode", "%q is none of auto, fast, pipelined", c.Mode))
	}
	return errors.Join(errs...)
}

// Validate reports every fault of the section.
func (c *CoreSourceConfig) Validate() error {
	errs := []error{c.Connection.Validate(), checkSubjects(c.Subjects)}
	if len(c.Subjects) == 0 {
		errs = append(errs, connectors.Fieldf("subjects", "is required, such as orders.>"))
	}
	if strings.ContainsAny(c.Queue, " \t\r\n") {
		errs = append(errs, connectors.Fieldf("queue", "%q holds a blank", c.Queue))
	}
	if c.AckMode != "none" && c.AckMode != "reply" {
		errs = append(errs, connectors.Fieldf("ack_mode", "%q is none of none, reply", c.AckMode))
	}
	if c.Buffer.Messages < 1 {
		errs = append(errs, connectors.Fieldf("buffer.messages", "%d is less than 1", c.Buffer.Messages))
	}
	if c.Buffer.Bytes < 1 {
		errs = append(errs, connectors.Fieldf("buffer.bytes", "%v is less than 1B", c.Buffer.Bytes))
	}
	return errors.Join(errs...)
}

// Validate reports every fault of the section.
func (c *CoreSinkConfig) Validate() error {
	errs := []error{c.Connection.Validate(), checkTemplate(c.Subject)}
	if c.FlushWindow < 1 || c.FlushWindow > 1<<20 {
		errs = append(errs, connectors.Fieldf("flush_window", "%d is not from 1 to %d", c.FlushWindow, 1<<20))
	}
	return errors.Join(errs...)
}

// checkName checks the name of a stream or durable, which becomes a token of API subjects.
func checkName(path, name string) error {
	switch {
	case name == "":
		return connectors.Fieldf(path, "is required")
	case len(name) > 255:
		return connectors.Fieldf(path, "is longer than 255 bytes")
	case strings.ContainsAny(name, " \t\r\n\f.*>/\\"), strings.ContainsFunc(name, func(r rune) bool { return r < ' ' }):
		return connectors.Fieldf(path, "%q: a name has no blanks, dots, slashes, * or >", name)
	}
	return nil
}

func checkSubjects(subjects []string) error {
	var errs []error
	for i, s := range subjects {
		if !validFilter(s) {
			errs = append(errs, connectors.Fieldf("subjects", "%q is not a subject: tokens are joined by single dots, > stands last", s))
		}
		for _, other := range subjects[:i] {
			if s == other {
				errs = append(errs, connectors.Fieldf("subjects", "%q stands there twice", s))
			}
		}
	}
	return errors.Join(errs...)
}

// validFilter reports whether s is a subject that may be subscribed to.
func validFilter(s string) bool {
	tokens := strings.Split(s, ".")
	for i, t := range tokens {
		switch {
		case t == "" || strings.ContainsAny(t, " \t\r\n\f\x00"):
			return false
		case t == ">" && i < len(tokens)-1:
			return false
		}
	}
	return true
}

func checkTemplate(text string) error {
	if text == "" {
		return nil
	}
	if _, err := connectors.ParseTemplate(text); err != nil {
		return &connectors.FieldError{Path: "subject", Err: err}
	}
	return nil
}

// start is where a new durable begins. At most one field is set; none: at the end.
type start struct {
	earliest bool
	sequence uint64
	time     time.Time
	ago      time.Duration
}

func parseStart(text string) (start, error) {
	switch text {
	case "earliest":
		return start{earliest: true}, nil
	case "latest":
		return start{}, nil
	}
	if n, err := strconv.ParseUint(text, 10, 63); err == nil && n > 0 {
		return start{sequence: n}, nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return start{time: t}, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return start{ago: d}, nil
	}
	return start{}, fmt.Errorf("%q is none of earliest, latest, a time such as 2026-01-02T15:04:05Z, an age such as 24h, a stream sequence", text)
}
