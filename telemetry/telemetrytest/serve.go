package telemetrytest

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	collectormetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	collectortrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// maxBody bounds one request over HTTP, after decompression.
const maxBody = 16 << 20

type traceService struct {
	collectortrace.UnimplementedTraceServiceServer
	receiver *Receiver
}

func (s *traceService) Export(ctx context.Context, req *collectortrace.ExportTraceServiceRequest) (*collectortrace.ExportTraceServiceResponse, error) {
	if err := s.receiver.enter(ctx, metadataOf(ctx)); err != nil {
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	s.receiver.addSpans(spansOf(req.GetResourceSpans(), time.Now()))
	return &collectortrace.ExportTraceServiceResponse{}, nil
}

type metricsService struct {
	collectormetrics.UnimplementedMetricsServiceServer
	receiver *Receiver
}

func (s *metricsService) Export(ctx context.Context, req *collectormetrics.ExportMetricsServiceRequest) (*collectormetrics.ExportMetricsServiceResponse, error) {
	if err := s.receiver.enter(ctx, metadataOf(ctx)); err != nil {
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	s.receiver.addPoints(pointsOf(req.GetResourceMetrics()))
	return &collectormetrics.ExportMetricsServiceResponse{}, nil
}

func metadataOf(ctx context.Context) http.Header {
	header := http.Header{}
	md, _ := metadata.FromIncomingContext(ctx)
	for key, values := range md {
		for _, v := range values {
			header.Add(key, v)
		}
	}
	return header
}

func (r *Receiver) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", func(w http.ResponseWriter, req *http.Request) {
		var body collectortrace.ExportTraceServiceRequest
		if r.take(w, req, &body) {
			r.addSpans(spansOf(body.GetResourceSpans(), time.Now()))
			answer(w, &collectortrace.ExportTraceServiceResponse{})
		}
	})
	mux.HandleFunc("POST /v1/metrics", func(w http.ResponseWriter, req *http.Request) {
		var body collectormetrics.ExportMetricsServiceRequest
		if r.take(w, req, &body) {
			r.addPoints(pointsOf(body.GetResourceMetrics()))
			answer(w, &collectormetrics.ExportMetricsServiceResponse{})
		}
	})
	return mux
}

// take reads a request into body, or answers it with an error and returns false.
func (r *Receiver) take(w http.ResponseWriter, req *http.Request, body proto.Message) bool {
	err := read(req, body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return false
	}
	if err := r.enter(req.Context(), req.Header.Clone()); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return false
	}
	return true
}

func read(req *http.Request, body proto.Message) error {
	if t := req.Header.Get("Content-Type"); t != "application/x-protobuf" {
		return fmt.Errorf("content type %q is not application/x-protobuf", t)
	}
	var from io.Reader = req.Body
	if req.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(from)
		if err != nil {
			return err
		}
		from = z
	}
	data, err := io.ReadAll(io.LimitReader(from, maxBody))
	if err != nil {
		return err
	}
	return proto.Unmarshal(data, body)
}

func answer(w http.ResponseWriter, m proto.Message) {
	data, err := proto.Marshal(m)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	// The client has gone when this fails, and the test sees that.
	_, _ = w.Write(data)
}
