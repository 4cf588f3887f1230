// Command byhand is what an engineer writes instead of taking a bridge: fifty careful lines with
// franz-go and nats.go in each direction. It keeps order, acknowledges behind the sink and writes the
// headers that Sluice writes by default, so that both do the same work. It has no configuration file, no
// reconnect policy, no metrics and no bound on bytes.
package main

import (
	"context"
	"flag"
	"log"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-bridge/sluice/integration/bench/profile"
)

// place is where one run of the bridge reads and writes.
type place struct {
	kafka, nats   string
	topic, stream string
	name          string // of the group, or the durable
	linger        time.Duration
}

func main() {
	var p place
	toKafka := flag.Bool("to-kafka", false, "from the stream to the topic, instead of the other way")
	flag.StringVar(&p.kafka, "kafka", "", "`host:port`")
	flag.StringVar(&p.nats, "nats", "", "`URL`")
	flag.StringVar(&p.topic, "topic", "", "the topic")
	flag.StringVar(&p.stream, "stream", "", "the stream")
	flag.StringVar(&p.name, "name", "", "of the group, or the durable")
	flag.DurationVar(&p.linger, "linger", 10*time.Millisecond, "of the producer; the default is franz-go's")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	defer profile.Start()()
	run := kafkaToStream
	if *toKafka {
		run = streamToKafka
	}
	if err := run(ctx, &p); err != nil && ctx.Err() == nil {
		log.Fatal(err)
	}
}

// kafkaToStream: poll, publish with a window of 4096, wait for every acknowledgement, commit.
func kafkaToStream(ctx context.Context, p *place) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(p.kafka), kgo.ConsumerGroup(p.name), kgo.ConsumeTopics(p.topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit())
	if err != nil {
		return err
	}
	defer client.Close()
	about, err := kadm.NewClient(client).BrokerMetadata(ctx)
	if err != nil {
		return err
	}
	conn, err := nats.Connect(p.nats)
	if err != nil {
		return err
	}
	defer conn.Close()
	js, err := jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(4096))
	if err != nil {
		return err
	}
	var futures []jetstream.PubAckFuture
	for {
		fetches := client.PollRecords(ctx, 10_000)
		if err := fetches.Err0(); err != nil {
			return err
		}
		futures = futures[:0]
		for records := fetches.RecordIter(); !records.Done(); {
			r := records.Next()
			m := &nats.Msg{Subject: r.Topic, Data: r.Value, Header: make(nats.Header, len(r.Headers)+3)}
			for _, h := range r.Headers {
				m.Header[h.Key] = append(m.Header[h.Key], string(h.Value))
			}
			m.Header["Sluice-Origin"] = []string{"kafka:" + about.Cluster + "/" + r.Topic + "/" +
				strconv.Itoa(int(r.Partition)) + "/" + strconv.FormatInt(r.Offset, 10) + ";hops=1"}
			m.Header["Sluice-Key"] = []string{string(r.Key)}
			m.Header["Sluice-Time"] = []string{r.Timestamp.UTC().Format(time.RFC3339Nano)}
			future, err := js.PublishMsgAsync(m, jetstream.WithStallWait(time.Minute))
			if err != nil {
				return err
			}
			futures = append(futures, future)
		}
		for _, f := range futures {
			select {
			case <-f.Ok():
			case err := <-f.Err():
				return err
			}
		}
		if err := client.CommitUncommittedOffsets(ctx); err != nil {
			return err
		}
	}
}

// streamToKafka: consume with 5000 asked for, produce, acknowledge each message when Kafka has.
func streamToKafka(ctx context.Context, p *place) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(p.kafka), kgo.DefaultProduceTopic(p.topic), kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerLinger(p.linger))
	if err != nil {
		return err
	}
	defer client.Close()
	conn, err := nats.Connect(p.nats)
	if err != nil {
		return err
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	consumer, err := js.CreateOrUpdateConsumer(ctx, p.stream, jetstream.ConsumerConfig{
		Durable: p.name, AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 10_000,
	})
	if err != nil {
		return err
	}
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	consuming, err := consumer.Consume(func(m jetstream.Msg) {
		meta, err := m.Metadata()
		if err != nil {
			fail(err)
			return
		}
		r := &kgo.Record{Key: []byte(m.Subject()), Value: m.Data(), Timestamp: meta.Timestamp}
		for name, values := range m.Headers() {
			for _, v := range values {
				r.Headers = append(r.Headers, kgo.RecordHeader{Key: name, Value: []byte(v)})
			}
		}
		origin := "nats:" + conn.ConnectedServerName() + "/" + p.stream + "/" + strconv.FormatUint(meta.Sequence.Stream, 10) + ";hops=1"
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: "Sluice-Origin", Value: []byte(origin)})
		client.Produce(ctx, r, func(_ *kgo.Record, err error) {
			if err == nil {
				err = m.Ack()
			}
			if err != nil {
				fail(err)
			}
		})
	}, jetstream.PullMaxMessages(5000))
	if err != nil {
		return err
	}
	defer consuming.Stop()
	<-ctx.Done()
	return context.Cause(ctx)
}
