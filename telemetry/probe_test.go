package telemetry_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/sluice-bridge/sluice/telemetry"
	"github.com/sluice-bridge/sluice/telemetry/telemetrytest"
)

// A collector that takes traces is told from one that does not, by either protocol, and gets nothing to keep.
func TestProbe(t *testing.T) {
	r := telemetrytest.New(t)
	probe := func(cfg telemetry.Config) (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		return telemetry.Probe(ctx, cfg)
	}
	for protocol, endpoint := range map[string]string{"grpc": r.GRPC(), "http/protobuf": r.HTTP()} {
		if at, err := probe(telemetry.Config{Endpoint: endpoint, Protocol: protocol}); err != nil || at != endpoint {
			t.Errorf("%s: %q, %v", protocol, at, err)
		}
	}
	if len(r.Headers()) != 2 || len(r.Spans()) != 0 {
		t.Errorf("the collector got %d requests and %d spans", len(r.Headers()), len(r.Spans()))
	}
	if at, err := probe(telemetry.Config{Endpoint: r.HTTP(), Protocol: "grpc"}); err == nil || at == "" {
		t.Errorf("the wrong protocol: %q, %v", at, err)
	}
	if _, err := probe(telemetry.Config{Endpoint: "http://127.0.0.1:1"}); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("nobody: %v", err)
	}
	if at, err := probe(telemetry.Config{}); err != nil || at != "" {
		t.Errorf("no endpoint: %q, %v", at, err)
	}
}
