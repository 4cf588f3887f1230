package backends

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-bridge/sluice/integration/brokers"
)

const prometheusConfig = `
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [%q]
scrape_configs:
  - job_name: sluice
    static_configs: [{targets: [%q]}]
`

// prometheus is a running Prometheus that reads one daemon every second.
type prometheus struct {
	process *brokers.Process
	address string // http://host:port
}

// startPrometheus starts one with its files in dir, and with the rules of a file, which reads target, an
// "http://host:port".
func startPrometheus(ctx context.Context, dir, rules, target string) (*prometheus, error) {
	path, err := prometheusProgram.path(ctx)
	if err != nil {
		return nil, err
	}
	ports, err := brokers.FreePorts(1)
	if err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "prometheus.yaml")
	body := fmt.Appendf(nil, prometheusConfig, rules, strings.TrimPrefix(target, "http://"))
	if err := os.WriteFile(config, body, 0o600); err != nil {
		return nil, err
	}
	listen := fmt.Sprintf("127.0.0.1:%d", ports[0])
	p := &prometheus{
		process: &brokers.Process{
			Name: "prometheus", Path: path, Log: filepath.Join(dir, "prometheus.log"),
			Args: []string{"--config.file=" + config, "--storage.tsdb.path=" + filepath.Join(dir, "data"), "--web.listen-address=" + listen, "--enable-feature=exemplar-storage"},
		},
		address: "http://" + listen,
	}
	return p, p.process.Start()
}

// alerts returns the blockers by the names of the alerts that fire.
func (p *prometheus) alerts(ctx context.Context) (map[string]string, error) {
	var answer struct {
		Data struct {
			Alerts []struct {
				State  string
				Labels map[string]string
			}
		}
	}
	firing := map[string]string{}
	err := get(ctx, p.address+"/api/v1/alerts", &answer)
	for _, a := range answer.Data.Alerts {
		if a.State == "firing" {
			firing[a.Labels["alertname"]] = a.Labels["flowcontrol_blocker"]
		}
	}
	return firing, err
}

// exemplars returns the trace ids that the samples of a metric lead to.
func (p *prometheus) exemplars(ctx context.Context, metric string) (traces []string, err error) {
	now := time.Now().Unix()
	query := url.Values{"query": {metric}, "start": {strconv.FormatInt(now-600, 10)}, "end": {strconv.FormatInt(now+60, 10)}}
	var answer struct {
		Data []struct {
			Exemplars []struct{ Labels map[string]string }
		}
	}
	err = get(ctx, p.address+"/api/v1/query_exemplars?"+query.Encode(), &answer)
	for _, series := range answer.Data {
		for _, e := range series.Exemplars {
			traces = append(traces, e.Labels["trace_id"])
		}
	}
	return traces, err
}
