package telemetry

import (
	"context"
	"os"

	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// spanExporter makes an exporter of its own connection. It does not connect yet.
func (p *plan) spanExporter(ctx context.Context, cfg Config, f *faults) (*guardedSpans, error) {
	var inner sdktrace.SpanExporter
	var err error
	switch s := p.traces; {
	case s.exporter == exporterConsole:
		inner, err = stdouttrace.New(stdouttrace.WithWriter(os.Stderr))
	default:
		inner, err = otlptrace.New(ctx, s.traceClient(cfg))
	}
	if err != nil {
		return nil, err
	}
	return &guardedSpans{SpanExporter: inner, faults: f}, nil
}

// traceClient is what sends traces by OTLP. It connects to nothing until it is started.
func (s signal) traceClient(cfg Config) otlptrace.Client {
	if s.protocol == protocolGRPC {
		var options []otlptracegrpc.Option
		if s.url != "" {
			options = append(options, otlptracegrpc.WithEndpointURL(s.url))
		}
		if len(cfg.Headers) > 0 {
			options = append(options, otlptracegrpc.WithHeaders(cfg.Headers))
		}
		return otlptracegrpc.NewClient(options...)
	}
	var options []otlptracehttp.Option
	if s.url != "" {
		options = append(options, otlptracehttp.WithEndpointURL(s.url))
	}
	if len(cfg.Headers) > 0 {
		options = append(options, otlptracehttp.WithHeaders(cfg.Headers))
	}
	return otlptracehttp.NewClient(options...)
}

// metricReaders returns the reader that pushes by OTLP, or none.
func (p *plan) metricReaders(ctx context.Context, cfg Config, f *faults) ([]sdkmetric.Reader, error) {
	s := p.metrics
	if s.exporter != exporterOTLP {
		return nil, nil
	}
	var inner sdkmetric.Exporter
	var err error
	if s.protocol == protocolGRPC {
		var options []otlpmetricgrpc.Option
		if s.url != "" {
			options = append(options, otlpmetricgrpc.WithEndpointURL(s.url))
		}
		if len(cfg.Headers) > 0 {
			options = append(options, otlpmetricgrpc.WithHeaders(cfg.Headers))
		}
		inner, err = otlpmetricgrpc.New(ctx, options...)
	} else {
		var options []otlpmetrichttp.Option
		if s.url != "" {
			options = append(options, otlpmetrichttp.WithEndpointURL(s.url))
		}
		if len(cfg.Headers) > 0 {
			options = append(options, otlpmetrichttp.WithHeaders(cfg.Headers))
		}
		inner, err = otlpmetrichttp.New(ctx, options...)
	}
	if err != nil {
		return nil, err
	}
	return []sdkmetric.Reader{sdkmetric.NewPeriodicReader(&guardedMetrics{Exporter: inner, faults: f})}, nil
}
