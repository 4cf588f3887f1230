package config

import (
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/sluice-bridge/sluice/connectors"
)

// root is the file as a whole. What is read key by key stays a node.
type root struct {
	Version     int       `yaml:"version"`
	Connections yaml.Node `yaml:"connections"`
	Routes      yaml.Node `yaml:"routes"`
	Admin       Admin     `yaml:"admin"`
	Log         Log       `yaml:"log"`
	Shutdown    Shutdown  `yaml:"shutdown"`
	Telemetry   Telemetry `yaml:"telemetry"`
}

// Admin is the HTTP listener for probes, metrics, status and resume.
type Admin struct {
	Listen string `yaml:"listen"` // host:port, or off
	// Token lets the page, /status and what changes routes be used from beyond the loopback interface: as a
	// bearer token, or as the password of any name.
	Token string `yaml:"token"`
	// Tap is what `sluice tap` may show: off, metadata (no key, value or header's value), or payload.
	Tap string `yaml:"tap"`
}

// AdminOff is the Listen of an Admin that does not listen.
const AdminOff = "off"

// What Admin.Tap may be.
const (
	TapOff      = "off"
	TapMetadata = "metadata"
	TapPayload  = "payload"
)

// Log says what is logged and how.
type Log struct {
	Level  string `yaml:"level"`  // trace, debug, info, warn, error
	Format string `yaml:"format"` // auto: for people on a terminal, JSON lines elsewhere; console; json
}

// Shutdown says how a soft end goes.
type Shutdown struct {
	Drain connectors.Duration `yaml:"drain"` // how long it may take; below a container's grace period
}

// Telemetry says where traces and metrics go. What is empty is taken from the standard OTEL_ variables;
// without an endpoint in either, traces are off.
type Telemetry struct {
	Service  string            `yaml:"service"`
	Endpoint string            `yaml:"endpoint"` // of an OTLP receiver, with its scheme: http://localhost:4317
	Protocol string            `yaml:"protocol"` // grpc or http/protobuf
	Headers  map[string]string `yaml:"headers"`  // sent with every export
	Traces   string            `yaml:"traces"`   // otlp, console or none
	Metrics  string            `yaml:"metrics"`  // otlp or none; /metrics is served in any case
	// TraceURL is where people look at a trace, such as http://localhost:16686/trace/{trace_id}: the page
	// links stalls to it. Empty: the page shows the ids.
	TraceURL string `yaml:"trace_url"`
}

// routeFile is a route as written. The two ends are read key by key.
type routeFile struct {
	Source     yaml.Node  `yaml:"source"`
	Sink       yaml.Node  `yaml:"sink"`
	From       string     `yaml:"from"`
	To         string     `yaml:"to"`
	Filter     string     `yaml:"filter"`
	Map        mapFile    `yaml:"map"`
	Headers    string     `yaml:"headers"`
	Window     windowFile `yaml:"window"`
	Limit      limitFile  `yaml:"limit"`
	Retry      retryFile  `yaml:"retry"`
	OnReject   yaml.Node  `yaml:"on_reject"`
	Stale      staleFile  `yaml:"stale"`
	OnGap      string     `yaml:"on_gap"`
	DeadLetter yaml.Node  `yaml:"dead_letter"`
	MaxHops    *int       `yaml:"max_hops"`
	Paused     bool       `yaml:"paused"`
	AcceptLoss []string   `yaml:"accept_loss"`
}

type limitFile struct {
	Messages MessageRate `yaml:"messages"`
	Bytes    ByteRate    `yaml:"bytes"`
}

type windowFile struct {
	MaxMessages int64           `yaml:"max_messages"`
	MaxBytes    connectors.Size `yaml:"max_bytes"`
	Size        string          `yaml:"size"` // adaptive or static
}

type retryFile struct {
	Initial connectors.Duration `yaml:"initial"`
	Max     connectors.Duration `yaml:"max"`
}

// deadLetterFile is where messages go that the route takes out.
type deadLetterFile struct {
	Sink yaml.Node `yaml:"sink"`
	To   string    `yaml:"to"`
	Map  namesFile `yaml:"map"`
}

// staleFile says what happens to old messages.
type staleFile struct {
	OlderThan connectors.Duration `yaml:"older_than"`
	Do        string              `yaml:"do"` // drop or dead_letter
}

// The defaults of what is not a route.
const (
	DefaultListen = "127.0.0.1:4280"
	maxDrain      = connectors.Duration(24 * time.Hour)
)
