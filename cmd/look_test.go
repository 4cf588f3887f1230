package cmd

import (
	"context"
	"io"
	"net/http"
	"testing"

	"github.com/rs/zerolog"

	"github.com/sluice-bridge/sluice/bridge"
	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/telemetry"
)

// Who runs a bridge by itself has it looked at like the daemon's, also where the daemon's address is taken.
func TestLook(t *testing.T) {
	tel, err := telemetry.New(t.Context(), telemetry.Config{}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	br, err := bridge.New(bridge.Config{}, zerolog.Nop(), tel)
	if err != nil {
		t.Fatal(err)
	}
	registry, err := connectors.NewRegistry()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second cannot have the address of the first
		address, end, err := Look(t.Context(), registry, br, tel, zerolog.Nop())
		if err != nil {
			t.Fatal(err)
		}
		defer end(context.WithoutCancel(t.Context()))
		for _, path := range []string{"/", "/status", "/metrics", "/readyz"} {
			res, err := http.Get("http://" + address + path)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
			if res.StatusCode != http.StatusOK {
				t.Errorf("%s: %s", path, res.Status)
			}
		}
	}
	http.DefaultClient.CloseIdleConnections()
	if err := tel.Shutdown(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
}
