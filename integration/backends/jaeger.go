package backends

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"

	"github.com/sluice-bridge/sluice/integration/brokers"
)

const jaegerConfig = `
service:
  extensions: [jaeger_storage, jaeger_query]
  pipelines: {traces: {receivers: [otlp], exporters: [jaeger_storage_exporter]}}
  telemetry: {metrics: {level: none}}
extensions:
  jaeger_query: {storage: {traces: mem}, http: {endpoint: "127.0.0.1:%d"}, grpc: {endpoint: "127.0.0.1:%d"}}
  jaeger_storage: {backends: {mem: {memory: {max_traces: 10000}}}}
receivers: {otlp: {protocols: {grpc: {endpoint: "127.0.0.1:%d"}}}}
exporters: {jaeger_storage_exporter: {trace_storage: mem}}
`

// jaeger is a running Jaeger that keeps traces in memory.
type jaeger struct {
	process  *brokers.Process
	query    string // http://host:port
	endpoint string // of its OTLP receiver
}

// startJaeger starts one with its files in dir.
func startJaeger(ctx context.Context, dir string) (*jaeger, error) {
	path, err := jaegerProgram.path(ctx)
	if err != nil {
		return nil, err
	}
	ports, err := brokers.FreePorts(3)
	if err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "jaeger.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, jaegerConfig, ports[0], ports[1], ports[2]), 0o600); err != nil {
		return nil, err
	}
	j := &jaeger{
		process:  &brokers.Process{Name: "jaeger", Path: path, Args: []string{"--config", config}, Log: filepath.Join(dir, "jaeger.log")},
		query:    fmt.Sprintf("http://127.0.0.1:%d", ports[0]),
		endpoint: fmt.Sprintf("http://127.0.0.1:%d", ports[2]),
	}
	return j, j.process.Start()
}

// span is what is looked at of one.
type span struct {
	Name       string
	TraceID    string
	Attributes []attribute
	Links      []struct {
		TraceID    string
		Attributes []attribute
	}
}

type attribute struct {
	Key   string
	Value struct{ StringValue string }
}

// text returns an attribute, "" if there is none.
func text(list []attribute, key string) string {
	for i := range list {
		if list[i].Key == key {
			return list[i].Value.StringValue
		}
	}
	return ""
}

// find returns the ids of the traces of sluice that have a span of this name and answer more, such as minDuration
// or tags.
func (j *jaeger) find(ctx context.Context, operation string, more ...string) (ids []string, err error) {
	query := url.Values{"service": {"sluice"}, "operation": {operation}, "limit": {"100"}}
	for i := 0; i < len(more); i += 2 {
		query.Set(more[i], more[i+1])
	}
	var answer struct{ Data []struct{ TraceID string } }
	if err := get(ctx, j.query+"/api/traces?"+query.Encode(), &answer); err != nil {
		return nil, err
	}
	for _, trace := range answer.Data {
		ids = append(ids, trace.TraceID)
	}
	return ids, nil
}

// trace returns the spans of a trace.
func (j *jaeger) trace(ctx context.Context, id string) (spans []span, err error) {
	var answer struct {
		Result struct {
			ResourceSpans []struct {
				ScopeSpans []struct{ Spans []span }
			}
		}
	}
	if err := get(ctx, j.query+"/api/v3/traces/"+id, &answer); err != nil {
		return nil, err
	}
	for _, resource := range answer.Result.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			spans = append(spans, scope.Spans...)
		}
	}
	return spans, nil
}

// get asks for JSON.
func get(ctx context.Context, address string, answer any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", address, response.Status)
	}
	return json.NewDecoder(response.Body).Decode(answer)
}
