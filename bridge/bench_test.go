package bridge

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/sluice-bridge/sluice/connectors"
)

const (
	benchBatch = 500
	benchValue = 1024
)

// benchSource returns the same few batches again and again, as a source that recycles does, each of the
// next partition.
type benchSource struct {
	free       chan *connectors.Batch
	left       int
	next       int64
	partitions []string
	turn       int
}

func newBenchSource(messages, partitions int) *benchSource {
	s := &benchSource{free: make(chan *connectors.Batch, 32), left: messages}
	for i := range partitions {
		s.partitions = append(s.partitions, fmt.Sprintf("p/%d", i))
	}
	for range cap(s.free) {
		ms := make([]connectors.Message, benchBatch)
		for i := range ms {
			ms[i].Value = make([]byte, benchValue)
		}
		s.free <- &connectors.Batch{Messages: ms, Handle: ms, Memory: benchBatch * benchValue}
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
		b.Partition = s.partitions[s.turn]
		s.turn = (s.turn + 1) % len(s.partitions)
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
type benchSink struct{ sum atomic.Int64 }

func (s *benchSink) Write(_ context.Context, batches []*connectors.Batch) error {
	for _, b := range batches {
		s.sum.Add(touch(b))
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
func loop(b *testing.B, messages, partitions int) {
	ctx := context.Background()
	s, sink := newBenchSource(messages, partitions), &benchSink{}
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

func route(b *testing.B, messages, partitions int) {
	source := newBenchSource(messages, partitions)
	br, err := New(Config{Routes: []RouteConfig{{
		Name: "bench", Adaptive: true,
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

// BenchmarkRoute moves messages of 1 KiB through a whole route of 1 to 1,000 partitions, and through an
// empty loop over the same batches in turn. Each operation of "route" is one message; "ratio" is the cost
// of a route as a multiple of the loop's.
func BenchmarkRoute(b *testing.B) {
	for _, partitions := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprintf("route/%d", partitions), func(b *testing.B) {
			b.ReportAllocs()
			route(b, b.N, partitions)
		})
		b.Run(fmt.Sprintf("ratio/%d", partitions), func(b *testing.B) { ratio(b, partitions) })
	}
}

func ratio(b *testing.B, partitions int) {
	const messages = 1_000_000
	var routed, looped time.Duration
	for range b.N {
		begin := time.Now()
		loop(b, messages, partitions)
		looped += time.Since(begin)
		begin = time.Now()
		route(b, messages, partitions)
		routed += time.Since(begin)
	}
	b.ReportMetric(float64(routed)/float64(looped), "route/loop")
	b.ReportMetric(float64(routed.Nanoseconds())/float64(b.N)/messages, "ns/message")
}
