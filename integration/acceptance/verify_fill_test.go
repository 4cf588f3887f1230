//go:build integration

package acceptance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-bridge/sluice/cmd/verify"
	"github.com/sluice-bridge/sluice/integration/truth"
)

// carried is a message of the source on its way to the sink.
type carried struct {
	truth.Message
	id     int64
	place  verify.Place
	origin string
	lane   int32 // what keeps its order at the sink
}

// sinkWriter fills a sink as a bridge would, but for the one message.
type sinkWriter struct {
	s     *scene
	c     tampering
	at    int64    // the id of the message that is tampered with
	ghost *carried // goes where it would have stood
	held  *carried
	place verify.Place // of that message
	write func(*carried) error
}

func (s *scene) writeStream(w *sinkWriter) (done func()) {
	s.Helper()
	nc, err := nats.Connect(s.stream.URL)
	s.must(err)
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(4096))
	s.must(err)
	var failed error
	var futures []jetstream.PubAckFuture
	settle := func() error {
		for _, f := range futures {
			select {
			case <-f.Ok():
			case err := <-f.Err():
				failed = errors.Join(failed, err)
			case <-s.ctx.Done():
				return s.ctx.Err()
			}
		}
		futures = futures[:0]
		return failed
	}
	w.write = func(m *carried) error {
		f, err := js.PublishMsgAsync(&nats.Msg{Subject: fmt.Sprintf("%s.%d", s.name, m.lane), Data: m.Value, Header: truth.Encode(&m.Message, m.origin)},
			jetstream.WithStallWait(time.Minute))
		if err != nil {
			return err
		}
		if futures = append(futures, f); len(futures) < 4096 {
			return nil
		}
		return settle()
	}
	return func() {
		s.Helper()
		s.must(settle())
		nc.Close()
	}
}

func (s *scene) writeTopic(w *sinkWriter) (done func()) {
	s.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(s.topic.Addr), kgo.DefaultProduceTopic(s.topic.Name),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MaxBufferedRecords(20_000), kgo.ProducerLinger(2*time.Millisecond))
	s.must(err)
	ctx, fail := context.WithCancelCause(s.ctx)
	w.write = func(m *carried) error {
		r := truth.Record(&m.Message, m.origin)
		r.Partition = m.lane
		client.Produce(ctx, r, func(_ *kgo.Record, err error) {
			if err != nil {
				fail(err)
			}
		})
		return context.Cause(ctx)
	}
	return func() {
		s.Helper()
		s.must(errors.Join(client.Flush(ctx), context.Cause(ctx)))
		fail(nil)
		client.Close()
	}
}

func (w *sinkWriter) take(m carried) error {
	tampered := m.id == w.at && w.c.sink != "" || m.id == w.at && w.c.source == "alter" || m.id == extra
	if tampered {
		w.place = m.place
	}
	if g := w.ghost; g != nil && g.lane == m.lane && m.place.Position > g.place.Position {
		w.ghost, w.place = nil, g.place
		g.origin = m.origin[:strings.LastIndexByte(m.origin, '/')+1] + fmt.Sprintf("%d;hops=1", g.place.Position)
		if err := w.write(g); err != nil {
			return err
		}
	}
	switch {
	case m.id == extra, tampered && w.c.sink == "drop":
		return nil
	case tampered && w.c.source == "alter":
		pristine := w.s.load.Message(w.at)
		m.Value = pristine.Value
	case tampered && w.c.sink == "alter":
		m.Value = append(bytes.Clone(m.Value), '!')
	case tampered && w.c.sink == "double":
		if err := w.write(&m); err != nil {
			return err
		}
	case tampered && w.c.sink == "swap":
		w.held = &m
		return nil
	}
	if err := w.write(&m); err != nil || w.held == nil || w.held.lane != m.lane {
		return err
	}
	held := w.held
	w.held = nil
	return w.write(held)
}

// source fills the source by write, with what the tampering says in its middle.
func (s *scene) source(c tampering, n int64, write func(from, to int64) error, one func(truth.Message) error) {
	s.Helper()
	switch m := s.load.Message(middle(n)); c.source {
	case "alter":
		s.must(write(0, middle(n)))
		m.Value = append(bytes.Clone(m.Value), '!')
		s.must(one(m))
		s.must(write(middle(n)+1, n))
	case "add":
		s.must(write(0, middle(n)))
		m.Headers = slices.Clone(m.Headers)
		m.Headers[0].Value = fmt.Appendf(nil, "%s/%d", s.load.Run, extra)
		s.must(one(m))
		s.must(write(middle(n), n))
	default:
		s.must(write(0, n))
	}
}

// middle is the message that is tampered with: one that has all fields, and followers of its lane.
func middle(n int64) int64 { return n/2/100*100 + 50 }

func (s *scene) fillTopic(c tampering, n int64) *carried {
	if c.source == "abort" {
		s.must(s.topic.Write(s.ctx, s.load, 0, middle(n), 0))
		defer func() { s.must(s.topic.Write(s.ctx, s.load, middle(n), n, 0)) }()
		return s.abort(s.load.Message(middle(n)))
	}
	s.source(c, n, func(from, to int64) error { return s.topic.Write(s.ctx, s.load, from, to, 0) },
		func(m truth.Message) error { return s.topic.WriteMessages(s.ctx, 1, m) })
	return nil
}

// abort writes a message to partition 1 in a transaction and takes it back.
func (s *scene) abort(m truth.Message) *carried {
	s.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(s.topic.Addr), kgo.TransactionalID(s.name), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	s.must(err)
	defer client.Close()
	s.must(client.BeginTransaction())
	r := &kgo.Record{Topic: s.topic.Name, Partition: 1, Key: m.Key, Value: m.Value}
	s.must(client.ProduceSync(s.ctx, r).FirstErr())
	s.must(client.EndTransaction(s.ctx, kgo.TryAbort))
	return &carried{Message: m, lane: 1, place: verify.Place{Partition: s.topic.Name + "/1", Position: r.Offset}}
}

func (s *scene) fillStream(c tampering, n int64) *carried {
	s.source(c, n, func(from, to int64) error { return s.stream.Write(s.ctx, s.load, s.name, from, to, 0) },
		func(m truth.Message) error {
			return s.withStream(func(js jetstream.JetStream, _ *nats.Conn) error {
				msg := &nats.Msg{Subject: s.name + ".0", Data: m.Value, Header: nats.Header{}}
				for _, h := range m.Headers {
					msg.Header[h.Name] = append(msg.Header[h.Name], string(h.Value))
				}
				_, err := js.PublishMsg(s.ctx, msg)
				return err
			})
		})
	return nil
}

func (s *scene) withStream(do func(jetstream.JetStream, *nats.Conn) error) error {
	nc, err := nats.Connect(s.stream.URL)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(4096))
	if err != nil {
		return err
	}
	return do(js, nc)
}

// idOf reads the number that the load gave a message, -1 where it has none.
func (s *scene) idOf(m *truth.Message) int64 {
	for _, h := range m.Headers {
		if n, ok := strings.CutPrefix(string(h.Value), s.load.Run+"/"); ok && h.Name == truth.IDHeader {
			if id, err := strconv.ParseInt(n, 10, 64); err == nil {
				return id
			}
		}
	}
	return -1
}

// copyToStream gives every message of the topic to take, which writes to the stream.
func (s *scene) copyToStream(take func(carried) error) {
	s.Helper()
	cluster := s.clusterID()
	var failed error
	s.must(s.topic.Read(s.ctx, func(m *truth.Message, partition int32, offset int64) {
		name := fmt.Sprintf("%s/%d", s.topic.Name, partition)
		failed = errors.Join(failed, take(carried{
			Message: *m, id: s.idOf(m), place: verify.Place{Partition: name, Position: offset}, lane: partition,
			origin: fmt.Sprintf("kafka:%s/%s/%d;hops=1", cluster, name, offset),
		}))
	}))
	s.must(failed)
}

func (s *scene) clusterID() string {
	s.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(s.topic.Addr))
	s.must(err)
	defer client.Close()
	m, err := kadm.NewClient(client).BrokerMetadata(s.ctx)
	s.must(err)
	return m.Cluster
}

// copyToTopic gives every message of the stream to take, which writes to the topic.
func (s *scene) copyToTopic(take func(carried) error) {
	s.Helper()
	home := s.streamHome()
	var failed error
	s.must(s.stream.Read(s.ctx, func(msg jetstream.Msg, meta *jetstream.MsgMetadata) {
		m, err := truth.Decode(msg.Subject(), msg.Headers(), msg.Data(), meta.Timestamp)
		if err != nil {
			failed = errors.Join(failed, err)
			return
		}
		failed = errors.Join(failed, take(carried{
			Message: *m, id: s.idOf(m), place: verify.Place{Partition: s.stream.Name, Position: int64(meta.Sequence.Stream)},
			lane:   int32(len(msg.Subject())+int(msg.Subject()[len(msg.Subject())-1])) % 4, // by subject, as a hash would
			origin: fmt.Sprintf("nats:%s/%s/%d;hops=1", home, s.stream.Name, meta.Sequence.Stream),
		}))
	}))
	s.must(failed)
}

// streamHome is the name that stands for the server in an origin: its cluster's, its own, or if it has
// none the time the stream was created at.
func (s *scene) streamHome() (home string) {
	s.Helper()
	s.must(s.withStream(func(js jetstream.JetStream, nc *nats.Conn) error {
		stream, err := js.Stream(s.ctx, s.stream.Name)
		switch {
		case err != nil:
			return err
		case nc.ConnectedClusterName() != "":
			home = nc.ConnectedClusterName()
		case nc.ConnectedServerName() != nc.ConnectedServerId():
			home = nc.ConnectedServerName()
		default:
			home = strconv.FormatInt(stream.CachedInfo().Created.UnixNano(), 10)
		}
		return nil
	}))
	return home
}
