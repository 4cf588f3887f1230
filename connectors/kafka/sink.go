package kafka

import (
	"context"
	"fmt"
	"sync"
	"time"
	"unsafe"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/kafka/wire"
)

const (
	// requestsPerBroker are under way at once, each with other partitions: the second keeps the broker
	// busy while we encode and while the first waits for replicas.
	requestsPerBroker = 2
	// requestBytes is when a request is closed; it holds at least one batch.
	requestBytes = 2 << 20
	// ackTimeout is how long a broker waits for its replicas, answerTimeout how long we wait for it.
	ackTimeout    = 10 * time.Second
	answerTimeout = 15 * time.Second
	// slowAnswer is when we ask, beside, whether the cluster is there at all.
	slowAnswer = 2 * time.Second
)

func parseCompression(name string) (wire.Codec, error) {
	for i, n := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		if n == name {
			return wire.Codec(i), nil
		}
	}
	return 0, fmt.Errorf("is %q, want none, gzip, snappy, lz4 or zstd", name)
}

// sink writes to topics of one cluster. See the package comment for what it promises.
type sink struct {
	conn      *conn
	env       connectors.Env
	config    SinkConfig
	about     connectors.About
	mapper    mapper
	partition partitioner
	producer  *producer
	writes    sync.Pool // *write
}

func openSink(c SinkConfig, env connectors.Env) (connectors.Sink, error) {
	choice, err := parsePartitioner(c.Partitioner)
	if err != nil {
		return nil, err
	}
	codec, err := parseCompression(c.Compression)
	if err != nil {
		return nil, err
	}
	s := &sink{
		conn: newConn(&c.Connection, &env), env: env, config: c, partition: choice,
		about:  connectors.About{Route: env.Route, Map: env.Map, Window: env.Window},
		mapper: *newMapper(&c, &env),
	}
	if s.mapper.topic == "" && s.mapper.topics == nil {
		return nil, connectors.Fieldf("topic", "is required, or map.topic")
	}
	s.writes.New = func() any { return &write{finished: make(chan struct{}, 1)} }
	s.producer = newProducer(s.conn, &s.mapper, codec, int(c.MaxMessage), env.Logger)
	if s.mapper.topics == nil {
		s.producer.watch(s.mapper.topic)
	} else {
		s.producer.watch()
	}
	return s, nil
}

// Write implements connectors.Sink. It waits for brokers that are away; what it returns an error for is
// definitely not written, unless ctx has ended.
func (s *sink) Write(ctx context.Context, batches []*connectors.Batch) error {
	w := s.writes.Get().(*write)
	w.now = time.Now().UnixMilli()
	if err := s.route(ctx, w, batches); err != nil {
		s.recycle(w)
		return err
	}
	if len(w.parts) > 0 {
		s.producer.enqueue(w)
		select {
		case <-w.finished:
		case <-ctx.Done():
			// What is under way refers to w, so it is not used again.
			s.producer.abandon(w)
			return ctx.Err()
		}
	}
	err := w.result()
	s.recycle(w)
	return err
}

func (s *sink) recycle(w *write) {
	w.reset()
	s.writes.Put(w)
}

// Close implements connectors.Sink.
func (s *sink) Close(ctx context.Context) error {
	defer s.conn.close()
	return s.producer.close(ctx)
}

// Describe implements connectors.Describer.
func (s *sink) Describe() connectors.Facts {
	brokers := 0
	if m := s.conn.cached(); m != nil {
		brokers = len(m.Brokers)
	}
	facts := sinkFacts(&s.config, s.about, brokers)
	if !s.env.Headers {
		facts.Touches = facts.Touches[:1]
	}
	return facts
}

// sinkFacts describes a sink; brokers is 0 until the cluster has told.
func sinkFacts(c *SinkConfig, about connectors.About, brokers int) connectors.Facts {
	where := "topic " + c.Topic
	if about.Map.Topic != nil {
		where = "topics " + about.Map.Topic.String()
	}
	brokers = max(brokers, len(c.Brokers))
	request := max(requestBytes, int(c.MaxMessage))
	if c.Compression != "none" {
		request += int(c.MaxMessage)
	}
	account := about.Window.Messages * int(unsafe.Sizeof(item{})+4)
	return connectors.Facts{
		Guarantee: "at least once: acks=all and an idempotent producer; a lost answer or a broker that was away doubles nothing, " +
			"a crash of this process doubles what Kafka has and the source was not yet told",
		Order:   "kept within a source partition for each target partition, so for each key",
		Touches: []string{"writes to " + where, "adds header " + connectors.OriginHeader},
		Memory:  int64(brokers*requestsPerBroker*request + account),
		MemoryFor: fmt.Sprintf("%d broker(s) x %d produce requests x %v + account of the window's messages",
			brokers, requestsPerBroker, connectors.Size(request)),
	}
}
