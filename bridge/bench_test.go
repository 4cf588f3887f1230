package bridge

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/sluice-bridge/sluice/connectors"
)

const (
	benchBatch = 500
	benchValue = 1024
)

// benchSource returns the same few batches again and again, as a source that recycles does.
type benchSource struct {
	free chan *connectors.Batch
	left int
	next int64
}

func newBenchSource(messages int) *benchSource {
	s := &benchSource{free: make(chan *connectors.Batch, 32), left: messages}
	for range cap(s.free) {
		ms := make([]connectors.Message, benchBatch)
		for i := range ms {
			ms[i].Value = make([]byte, benchValue)
		}
		s.free <- &connectors.Batch{Partition: "p/0", Messages: ms, Handle: ms, Memory: benchBatch * benchValue}
	}
	return s
}

func (s *benchSource) Fetch(ctx context.Context, room connectors.Room) (*connectors.Batch, error) {
	if s.left <= 0 {
		return nil, io.EOF
	}
	select {
	case b := <-s.free:
		b.Messages = b.Handle.([]connectors.Message)
		for i := range b.Messages {
			b.Messages[i].Offset = s.next
			s.next++
		}
		b.Next = s.next
		s.left -= len(b.Messages)
		return b, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *benchSource) Commit(_ context.Context, done []*connectors.Batch) error {
	for _, b := range done {
		s.free <- b
	}
	return nil
}

func (s *benchSource) Close(context.Context) error { return nil }

// benchSink reads every message, as little as a sink can do.
type benchSink struct{ sum int64 }

func (s *benchSink) Write(_ context.Context, batches []*connectors.Batch) error {
	for _, b := range batches {
		s.sum += touch(b)
	}
	return nil
}

func (s *benchSink) Close(context.Context) error { return nil }

func touch(b *connectors.Batch) (sum int64) {
	for i := range b.Messages {
		sum += b.Messages[i].Offset + int64(b.Messages[i].Value[0])
	}
	return sum
}

// loop is the empty loop over the same batches: fetch, touch, commit, and nothing between.
func loop(b *testing.B, messages int) {
	ctx := context.Background()
	s, sink := newBenchSource(messages), &benchSink{}
	for {
		batch, err := s.Fetch(ctx, connectors.Room{})
		if err == io.EOF {
			return
		}
		one := []*connectors.Batch{batch}
		if err := sink.Write(ctx, one); err != nil {
			b.Fatal(err)
		}
		if err := s.Commit(ctx, one); err != nil {
			b.Fatal(err)
		}
	}
}

func route(b *testing.B, messages int) {
	source := newBenchSource(messages)
	br, err := New(Config{Routes: []RouteConfig{{
		Name:   "bench",
		Source: &connectors.SourceSpec{Open: func(context.Context, connectors.Env) (connectors.Source, error) { return source, nil }},
		Sink:   &connectors.SinkSpec{Open: func(context.Context, connectors.Env) (connectors.Sink, error) { return &benchSink{}, nil }},
	}}}, zerolog.Nop(), nil)
	if err != nil {
		b.Fatal(err)
	}
	if err := br.Run(context.Background()); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkRoute moves messages of 1 KiB through a whole route and through an empty loop, in turn, and
// prints the ratio. Each operation is one message.
func BenchmarkRoute(b *testing.B) {
	b.ReportAllocs()
	b.Run("route", func(b *testing.B) {
		b.ReportAllocs()
		route(b, b.N)
	})
	b.Run("ratio", func(b *testing.B) {
		const messages = 1_000_000
		var routed, looped time.Duration
		for range b.N {
			begin := time.Now()
			loop(b, messages)
			looped += time.Since(begin)
			begin = time.Now()
			route(b, messages)
			routed += time.Since(begin)
		}
		b.ReportMetric(float64(routed)/float64(looped), "route/loop")
		b.ReportMetric(float64(routed.Nanoseconds())/float64(b.N)/messages, "ns/message")
	})
}
