package telemetry

import (
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/rs/zerolog"
)

// Config says what a process calls itself and where its telemetry goes. What is set here wins over the
// OTEL_* variables of the OpenTelemetry specification, which decide the rest: endpoints, protocol,
// headers, certificates, timeouts, sampler, resource attributes and so on. Only OTEL_SDK_DISABLED=true
// wins over everything, because it is what an operator reaches for in an emergency.
type Config struct {
	Service  string // service.name; empty: OTEL_SERVICE_NAME, else "sluice"
	Instance string // service.instance.id
	Version  string // service.version

	// Endpoint is where traces and metrics are sent by OTLP, such as http://localhost:4317. The
	// scheme is required: http sends in the clear, https by TLS. Empty: OTEL_EXPORTER_OTLP_ENDPOINT
	// and its _TRACES_ and _METRICS_ forms; without those nothing is sent.
	Endpoint string
	// Protocol is grpc or http/protobuf. Empty: OTEL_EXPORTER_OTLP_PROTOCOL and its forms for one
	// signal, else what the endpoint's port suggests: grpc on 4317, http/protobuf on any other.
	Protocol string
	Headers  map[string]string // sent with every export, beside those of OTEL_EXPORTER_OTLP_HEADERS

	// Traces and Metrics are otlp, console (traces only) or none. Empty: OTEL_TRACES_EXPORTER and
	// OTEL_METRICS_EXPORTER, else otlp if an endpoint is known. Handler serves metrics in any case.
	Traces  string
	Metrics string
}

// Protocols and exporters as the OpenTelemetry specification names them.
const (
	protocolGRPC = "grpc"
	protocolHTTP = "http/protobuf"

	exporterOTLP       = "otlp"
	exporterConsole    = "console"
	exporterNone       = "none"
	exporterPrometheus = "prometheus"
)

// plan is what the configuration and the environment come to.
type plan struct {
	disabled bool // OTEL_SDK_DISABLED
	traces   signal
	metrics  signal
	warnings []string // about variables that were ignored
}

// signal is the plan for traces or metrics.
type signal struct {
	name     string // traces or metrics
	exporter string
	endpoint string // as people know it: with the scheme, without the signal's path
	url      string // to be passed to the exporter; empty: it reads the environment itself
	protocol string
}

func (s signal) on() bool { return s.exporter == exporterOTLP || s.exporter == exporterConsole }

// newPlan reports a mistake in cfg as an error; one in the environment, which may be meant for another
// program, becomes a warning.
func newPlan(cfg Config) (*plan, error) {
	p := &plan{disabled: strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true")}
	if err := checkConfig(cfg); err != nil {
		return nil, err
	}
	p.traces = p.signal(cfg, "traces", cfg.Traces, exporterOTLP, exporterConsole, exporterNone)
	p.metrics = p.signal(cfg, "metrics", cfg.Metrics, exporterOTLP, exporterPrometheus, exporterNone)
	return p, nil
}

func checkConfig(cfg Config) error {
	if cfg.Endpoint != "" {
		u, err := url.Parse(cfg.Endpoint)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return fmt.Errorf("telemetry: endpoint %q is not a URL with http:// or https://; write http://%s to send in the clear",
				cfg.Endpoint, strings.TrimPrefix(cfg.Endpoint, "//"))
		}
	}
	switch cfg.Protocol {
	case "", protocolGRPC, protocolHTTP:
	default:
		return fmt.Errorf("telemetry: protocol %q is unknown; write %s or %s", cfg.Protocol, protocolGRPC, protocolHTTP)
	}
	switch cfg.Traces {
	case "", exporterOTLP, exporterConsole, exporterNone:
	default:
		return fmt.Errorf("telemetry: traces %q is unknown; write otlp, console or none", cfg.Traces)
	}
	switch cfg.Metrics {
	case "", exporterOTLP, exporterNone:
	default:
		return fmt.Errorf("telemetry: metrics %q is unknown; write otlp or none", cfg.Metrics)
	}
	return nil
}

func (p *plan) signal(cfg Config, name, chosen string, known ...string) signal {
	s := signal{name: name, exporter: exporterNone}
	if p.disabled {
		return s
	}
	upper := strings.ToUpper(name)
	s.endpoint = firstNonEmpty(cfg.Endpoint, os.Getenv("OTEL_EXPORTER_OTLP_"+upper+"_ENDPOINT"), os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT"))
	s.exporter = chosen
	if s.exporter == "" {
		s.exporter = p.fromEnv("OTEL_"+upper+"_EXPORTER", known)
	}
	if s.exporter == "" && s.endpoint == "" {
		s.exporter = exporterNone
	}
	if s.exporter == "" {
		s.exporter = exporterOTLP
	}
	if s.exporter != exporterOTLP {
		return s
	}
	s.protocol = p.protocol(cfg, upper, s.endpoint)
	switch {
	case cfg.Endpoint != "":
		s.url = exportURL(cfg.Endpoint, name, s.protocol)
	case s.endpoint == "": // asked for by name only: the specification's default, which is not TLS
		s.endpoint = map[string]string{protocolGRPC: "http://localhost:4317", protocolHTTP: "http://localhost:4318"}[s.protocol]
		s.url = exportURL(s.endpoint, name, s.protocol)
	case !strings.Contains(s.endpoint, "://"):
		p.warn("the OTLP endpoint %q has no scheme and is taken for TLS; write http://%s to send in the clear", s.endpoint, s.endpoint)
	}
	return s
}

// fromEnv reads a comma-separated list of exporters and returns the first that is known.
func (p *plan) fromEnv(variable string, known []string) string {
	for name := range strings.SplitSeq(os.Getenv(variable), ",") {
		name = strings.ToLower(strings.TrimSpace(name))
		for _, k := range known {
			if name == k {
				return k
			}
		}
		if name != "" {
			p.warn("%s names %q, which is none of %s; it is ignored", variable, name, strings.Join(known, ", "))
		}
	}
	return ""
}

func (p *plan) protocol(cfg Config, upper, endpoint string) string {
	if cfg.Protocol != "" {
		return cfg.Protocol
	}
	for _, variable := range []string{"OTEL_EXPORTER_OTLP_" + upper + "_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		switch v := os.Getenv(variable); v {
		case "":
		case protocolGRPC, protocolHTTP:
			return v
		default:
			p.warn("%s is %q, which is neither %s nor %s; it is ignored", variable, v, protocolGRPC, protocolHTTP)
		}
	}
	if u, err := url.Parse(endpoint); err == nil && u.Port() == "4317" {
		return protocolGRPC
	}
	return protocolHTTP
}

func (p *plan) warn(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	for _, w := range p.warnings {
		if w == text {
			return
		}
	}
	p.warnings = append(p.warnings, text)
}

// announce says once where traces go. Whoever looks for them reads the log first.
func (p *plan) announce(log zerolog.Logger) {
	for _, w := range p.warnings {
		log.Warn().Msg(w)
	}
	switch {
	case p.disabled:
		log.Info().Msg("traces are off: OTEL_SDK_DISABLED is set")
	case p.traces.exporter == exporterConsole:
		log.Info().Msg("traces go to standard error")
	case p.traces.on():
		log.Info().Str("endpoint", redact(p.traces.endpoint)).Str("protocol", p.traces.protocol).Msg("traces are sent by OTLP")
	case p.traces.endpoint != "":
		log.Info().Msg("traces are off: the exporter is none")
	default:
		log.Info().Msg("traces are off: no OTLP endpoint is configured (telemetry endpoint or OTEL_EXPORTER_OTLP_ENDPOINT)")
	}
}

// exportURL adds the path under which OTLP over HTTP takes a signal.
func exportURL(endpoint, name, protocol string) string {
	if protocol == protocolGRPC {
		return endpoint
	}
	return strings.TrimSuffix(endpoint, "/") + "/v1/" + name
}

// redact hides who logs in by a URL: a name without a password is a token.
func redact(endpoint string) string {
	if u, err := url.Parse(endpoint); err == nil {
		u.User = nil
		return u.Redacted()
	}
	return "(not a URL)"
}

func firstNonEmpty(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
