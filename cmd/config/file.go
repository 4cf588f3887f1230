package config

import (
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/sluice-bridge/sluice/connectors"
)

// root is the file as a whole. What is read key by key stays a node.
type root struct {
	Version     int       `yaml:"version"`     // of the configuration: 1
	Include     []string  `yaml:"include"`     // patterns of files that are read with this one, relative to it, at most 256 in all
	Connections yaml.Node `yaml:"connections"` // brokers by a name of your choice: each has one kind
	Defaults    yaml.Node `yaml:"defaults"`    // for every route that does not say otherwise
	Routes      yaml.Node `yaml:"routes"`      // what moves, by name: the name becomes part of a group's or a durable's
	Admin       Admin     `yaml:"admin"`       // the listener of the page, probes, metrics and operators
	Log         Log       `yaml:"log"`         // what is logged and how
	Shutdown    Shutdown  `yaml:"shutdown"`    // how a soft end goes
	Telemetry   Telemetry `yaml:"telemetry"`   // where traces and metrics go; what is empty is taken from the OTEL_ variables
}

// Admin is the HTTP listener for probes, metrics, status and resume.
type Admin struct {
	Listen string `yaml:"listen"` // host:port, or off
	// Token lets the page, /status and what changes routes be used from beyond the loopback interface: as a
	// bearer token, or as the password of any name.
	Token string `yaml:"token"`
	// Tap is what `sluice tap` may show: off, metadata (no key, value or header's value), or payload.
	Tap string `yaml:"tap" enum:"off,metadata,payload"`
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
	Level  string `yaml:"level" enum:"trace,debug,info,warn,error"` // trace, debug, info, warn, error
	Format string `yaml:"format" enum:"auto,console,json"`          // auto: for people on a terminal, JSON lines elsewhere; console; json
}

// Shutdown says how a soft end goes.
type Shutdown struct {
	Drain connectors.Duration `yaml:"drain"` // how long it may take; below a container's grace period
}

// Telemetry says where traces and metrics go. What is empty is taken from the standard OTEL_ variables;
// without an endpoint in either, traces are off.
type Telemetry struct {
	Service  string            `yaml:"service"`                            // how it calls itself; empty: OTEL_SERVICE_NAME, else sluice
	Endpoint string            `yaml:"endpoint"`                           // of an OTLP receiver, with its scheme: http://localhost:4317
	Protocol string            `yaml:"protocol" enum:"grpc,http/protobuf"` // grpc or http/protobuf
	Headers  map[string]string `yaml:"headers"`                            // sent with every export
	Traces   string            `yaml:"traces" enum:"otlp,console,none"`    // otlp, console or none
	Metrics  string            `yaml:"metrics" enum:"otlp,none"`           // otlp or none; /metrics is served in any case
	// TraceURL is where people look at a trace, such as http://localhost:16686/trace/{trace_id}: the page
	// links stalls to it. Empty: the page shows the ids.
	TraceURL string `yaml:"trace_url"`
}

// routeFile is a route as written. The two ends are read key by key.
type routeFile struct {
	Source     yaml.Node  `yaml:"source"`                                 // where messages come from: the connector's name, and its keys below it
	Sink       yaml.Node  `yaml:"sink"`                                   // where they go, likewise
	From       string     `yaml:"from"`                                   // source as a URL, such as kafka://localhost:9092/orders
	To         string     `yaml:"to"`                                     // sink as a URL
	Filter     string     `yaml:"filter"`                                 // an expression; a message for which it is false is not written. Left out: all are
	Map        mapFile    `yaml:"map"`                                    // where messages go; left out: the sink's default
	Headers    string     `yaml:"headers" enum:"default,none"`            // default: Sluice-Origin, and key and time where they would be lost; none
	Window     windowFile `yaml:"window"`                                 // bounds what is fetched and not yet acknowledged
	Limit      limitFile  `yaml:"limit"`                                  // how much is fetched a second; left out: any. It changes at a reload while the route runs
	Retry      retryFile  `yaml:"retry"`                                  // between attempts to write: a random time up to a bound that doubles; there is no last attempt
	OnReject   yaml.Node  `yaml:"on_reject" enum:"halt,drop,dead_letter"` // what happens to a message that the sink refuses for good: halt, the default, drop or dead_letter
	Stale      staleFile  `yaml:"stale"`                                  // what happens to old messages; left out: they are written like any
	OnGap      string     `yaml:"on_gap" enum:"continue,halt"`            // source data that vanished before it was read: continue, the default, or halt
	DeadLetter yaml.Node  `yaml:"dead_letter"`                            // where messages go that the route takes out, with sink or to, and map
	MaxHops    *int       `yaml:"max_hops"`                               // bridges that a message may pass; more is a loop. Default 8
	Paused     bool       `yaml:"paused"`                                 // moves nothing until sluice resume. It changes at a reload while the route runs
	AcceptLoss []string   `yaml:"accept_loss"`                            // losses taken by name, such as core_source
}

type limitFile struct {
	Messages MessageRate `yaml:"messages"` // such as 5000/s
	Bytes    ByteRate    `yaml:"bytes"`    // such as 20MiB/s
}

type windowFile struct {
	MaxMessages int64           `yaml:"max_messages"`                // the hard bound, in messages
	MaxBytes    connectors.Size `yaml:"max_bytes"`                   // and in memory
	Size        string          `yaml:"size" enum:"adaptive,static"` // adaptive: as many messages as keep the sink busy, below the bounds
}

type retryFile struct {
	Initial connectors.Duration `yaml:"initial"` // the first bound
	Max     connectors.Duration `yaml:"max"`     // the largest
}

// deadLetterFile is where messages go that the route takes out.
type deadLetterFile struct {
	Sink yaml.Node `yaml:"sink"` // as a route's
	To   string    `yaml:"to"`   // as a route's
	Map  namesFile `yaml:"map"`  // as a route's, without expressions
}

// staleFile says what happens to old messages.
type staleFile struct {
	OlderThan connectors.Duration `yaml:"older_than"`                 // by the time that the origin stored
	Do        string              `yaml:"do" enum:"drop,dead_letter"` // drop or dead_letter
}

// The defaults of what is not a route.
const (
	DefaultListen = "127.0.0.1:4280"
	maxDrain      = connectors.Duration(24 * time.Hour)
)
