package cmd

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"github.com/sluice-bridge/sluice/bridge"
	"github.com/sluice-bridge/sluice/cmd/config"
	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/telemetry"
)

// machine is what doctor asks of the machine it runs on, as `run` would find it.
type machine struct {
	app *app
	cfg *config.Config
}

// fileChecks are about what the configuration consists of. That it can be read is known.
func (m *machine) fileChecks() []connectors.Check {
	checks := []connectors.Check{{Code: "config.file", About: "the configuration", Ask: func(context.Context) []connectors.Finding {
		return connectors.Found(connectors.Fine, "", "%s", count(len(m.cfg.Bridge.Routes), "route"))
	}}}
	for _, s := range m.cfg.Secrets {
		checks = append(checks, connectors.Check{Code: "config.secret", About: "the secret of " + s.At, Ask: func(context.Context) []connectors.Finding { return askSecret(s.File) }})
	}
	return checks
}

// askSecret asks who may read a secret. That we may was found when the configuration was read.
func askSecret(file string) []connectors.Finding {
	if _, err := os.Stat(file); err != nil {
		return connectors.Found(connectors.Failed, connectors.CommandLine("ls -l %s", file), "the secret cannot be read: %v", err)
	}
	if exposed := connectors.Exposed(file); exposed != nil {
		return exposed
	}
	return connectors.Found(connectors.Fine, "", "%s can be read, by its owner and group only", file)
}

func (m *machine) checks() []connectors.Check {
	return []connectors.Check{
		{Code: "telemetry.endpoint", About: "where traces go", Ask: m.askTelemetry},
		{Code: "process.files", About: "open files", Ask: m.askFiles},
		{Code: "process.memory", About: "memory", Ask: m.askMemory},
		{Code: "admin.listen", About: "the admin listener", Ask: m.askAdmin},
	}
}

func (m *machine) askTelemetry(ctx context.Context) []connectors.Finding {
	t := m.cfg.Telemetry
	endpoint, err := telemetry.Probe(ctx, telemetry.Config{
		Service: t.Service, Endpoint: t.Endpoint, Protocol: t.Protocol, Headers: t.Headers, Traces: t.Traces, Metrics: t.Metrics,
	})
	switch {
	case err != nil && endpoint == "":
		return connectors.Found(connectors.Failed, "correct the section telemetry", "%v", err)
	case err != nil:
		return connectors.Found(connectors.Warning, "start the collector, or correct telemetry.endpoint and telemetry.protocol (grpc is mostly on 4317, http/protobuf on 4318)",
			"traces are not taken at %s: %v", endpoint, err)
	case endpoint == "":
		return connectors.Found(connectors.Fine, "", "traces are off: no endpoint is configured")
	}
	return connectors.Found(connectors.Fine, "", "traces are taken at %s", endpoint)
}

// filesFor is how many files a process of so many routes may have open: each end a few connections, to each
// broker of a cluster one or two; and what the process has by itself.
func filesFor(routes int) uint64 { return 100 + 40*uint64(routes) }

func (m *machine) askFiles(context.Context) []connectors.Finding {
	most, err := openFiles()
	if err != nil {
		return connectors.Found(connectors.Fine, "", "the limit of open files cannot be seen: %v", err)
	}
	need := filesFor(len(m.cfg.Bridge.Routes))
	if most < need {
		return connectors.Found(connectors.Warning, fmt.Sprintf("ulimit -Hn %d, or LimitNOFILE=%d in the systemd unit", need, need),
			"the process may open %d files, and %s may need %d", most, count(len(m.cfg.Bridge.Routes), "route"), need)
	}
	return connectors.Found(connectors.Fine, "", "%d files may be open, about %d are needed", most, need)
}

// askMemory asks whether the windows fit what the process may take, by the line that run prints.
func (m *machine) askMemory(context.Context) []connectors.Finding {
	limit := findMemory(zerolog.Nop(), m.app.env, defaultMemoryLimit, "/")
	cfg := m.cfg.Bridge
	cfg.Memory, cfg.Instance = limit.share(), "doctor"
	b, err := bridge.New(cfg, zerolog.Nop(), nil)
	if err != nil {
		return connectors.Found(connectors.Failed, "", "%v", err)
	}
	need, line := b.Memory()
	if need > limit.limit {
		return connectors.Found(connectors.Warning, "run fewer routes in a process, lower window.max_bytes, or raise the limit: GOMEMLIMIT, the container's, or run --memory-limit",
			"the routes may need more memory than there is (%s by %s): %s", mebibytes(limit.limit), limit.from, line)
	}
	return connectors.Found(connectors.Fine, "", "limit %s by %s, %s", mebibytes(limit.limit), limit.from, line)
}

// askAdmin asks whether the admin listener can have its address, or has it already.
func (m *machine) askAdmin(ctx context.Context) []connectors.Finding {
	at := m.cfg.Admin.Listen
	l, err := listen(ctx, at)
	switch {
	case err == nil && l == nil:
		return connectors.Found(connectors.Fine, "", "the admin listener is off")
	case err == nil:
		l.Close()
		return connectors.Found(connectors.Fine, "", "%s is free", at)
	case errors.Is(err, syscall.EADDRINUSE), strings.Contains(err.Error(), "in use"):
		if sluiceAt(ctx, at) {
			return connectors.Found(connectors.Fine, "", "a sluice runs at %s", at)
		}
		return connectors.Found(connectors.Failed, "sluice run --admin 127.0.0.1:0, or admin: {listen: \"HOST:PORT\"}; ss -ltnp shows who has it", "%s is in use by another program", at)
	}
	text, _, _ := strings.Cut(err.Error(), "\n")
	return connectors.Found(connectors.Failed, "choose another: admin: {listen: \"127.0.0.1:4280\"}", "%s", text)
}

// sluiceAt reports whether what listens at an address is a daemon of ours.
func sluiceAt(ctx context.Context, at string) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if strings.HasPrefix(at, ":") {
		at = "127.0.0.1" + at
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at+"/metrics", http.NoBody)
	if err != nil {
		return false
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(r)
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	text := make([]byte, 64<<10)
	n, _ := answer.Body.Read(text) // some of it is enough
	return answer.StatusCode == http.StatusOK && (strings.Contains(string(text[:n]), "sluice_") || strings.Contains(string(text[:n]), "target_info"))
}
