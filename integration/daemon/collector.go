package daemon

import (
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Collector receives spans over OTLP/HTTP and keeps them.
type Collector struct {
	Endpoint string // http://host:port

	mu    sync.Mutex
	spans []Span
}

// Span is a span as it arrived.
type Span struct {
	Name       string
	Arrived    time.Time
	Begin, End time.Time
	TraceID    string
	Parent     string // empty for a root
	Attributes map[string]any
	Links      int
}

// NewCollector listens on a free port until the test ends.
func NewCollector(t testing.TB) *Collector {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &Collector{Endpoint: "http://" + l.Addr().String()}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", c.traces)
	mux.HandleFunc("POST /", func(http.ResponseWriter, *http.Request) {}) // metrics, logs: taken and forgotten
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return c
}

func (c *Collector) traces(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 16<<20))
	var request collector.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(body, &request)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range request.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			for _, s := range scope.Spans {
				c.spans = append(c.spans, spanOf(s))
			}
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func spanOf(s *otlp.Span) Span {
	span := Span{
		Name: s.Name, Arrived: time.Now(), TraceID: string(s.TraceId), Parent: string(s.ParentSpanId), Links: len(s.Links),
		Begin: time.Unix(0, int64(s.StartTimeUnixNano)), End: time.Unix(0, int64(s.EndTimeUnixNano)),
		Attributes: map[string]any{},
	}
	for _, a := range s.Attributes {
		v := a.Value
		switch {
		case v.GetStringValue() != "":
			span.Attributes[a.Key] = v.GetStringValue()
		case v.GetDoubleValue() != 0:
			span.Attributes[a.Key] = v.GetDoubleValue()
		default:
			span.Attributes[a.Key] = v.GetIntValue()
		}
	}
	return span
}

// Spans returns what has arrived so far of a name.
func (c *Collector) Spans(name string) []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []Span
	for _, s := range c.spans {
		if s.Name == name {
			found = append(found, s)
		}
	}
	return found
}

// Environment makes a daemon send its spans here.
func (c *Collector) Environment() []string {
	return []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + c.Endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf", "OTEL_BSP_SCHEDULE_DELAY=500"}
}
