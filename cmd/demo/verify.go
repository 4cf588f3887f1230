package demo

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// verify reads all four places again, with franz-go and nats.go, and compares message by message.
func verify(ctx context.Context, b *brokers) ([]verdict, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	nc, err := nats.Connect(b.natsURL())
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.kafkaAddresses()...), kgo.ClientID("demo-verify"))
	if err != nil {
		return nil, err
	}
	defer client.Close()

	ordersIn, err := readTopic(ctx, client, b, ordersTopic)
	if err != nil {
		return nil, err
	}
	ordersOut, err := readStream(ctx, nc, ordersStream)
	if err != nil {
		return nil, err
	}
	telemetryIn, err := readStream(ctx, nc, telemetryStream)
	if err != nil {
		return nil, err
	}
	telemetryOut, err := readTopic(ctx, client, b, telemetryTopic)
	if err != nil {
		return nil, err
	}
	return []verdict{
		compare("orders", ordersIn, ordersOut),
		compare("telemetry", telemetryIn, telemetryOut),
	}, nil
}

// readTopic reads a topic from its beginning to its present end, partition by partition.
func readTopic(ctx context.Context, admin *kgo.Client, b *brokers, topic string) ([]message, error) {
	ends, err := kadm.NewClient(admin).ListEndOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(b.kafkaAddresses()...), kgo.ClientID("demo-verify"),
		kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	left := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[o.Partition] = o.Offset
		}
	})
	byPartition := map[int32][]message{}
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, fmt.Errorf("read topic %s again: %w", topic, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset >= left[r.Partition] {
				return
			}
			byPartition[r.Partition] = append(byPartition[r.Partition], fromRecord(r))
			if r.Offset == left[r.Partition]-1 {
				delete(left, r.Partition)
			}
		})
	}
	var all []message
	for p := range int32(partitions) {
		all = append(all, byPartition[p]...)
	}
	return all, nil
}

func fromRecord(r *kgo.Record) message {
	headers := map[string][]string{}
	for _, h := range r.Headers {
		if strings.HasPrefix(h.Key, "Demo-") {
			headers[h.Key] = append(headers[h.Key], string(h.Value))
		}
	}
	id := strings.Join(headers[idHeader], ",")
	return message{
		id:    id,
		lane:  fmt.Sprintf("%s/%d", r.Topic, r.Partition),
		place: fmt.Sprintf("topic %s partition %d offset %d", r.Topic, r.Partition, r.Offset),
		sum:   fingerprint(r.Key, r.Value, r.Value == nil, headers),
	}
}

// readStream reads a stream from its beginning to its present end.
func readStream(ctx context.Context, nc *nats.Conn, name string) ([]message, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	stream, err := js.Stream(ctx, name)
	if err != nil {
		return nil, err
	}
	left := stream.CachedInfo().State.Msgs
	if left == 0 {
		return nil, nil
	}
	consumer, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return nil, err
	}
	messages, err := consumer.Messages()
	if err != nil {
		return nil, err
	}
	defer messages.Stop()
	defer context.AfterFunc(ctx, messages.Stop)()
	all := make([]message, 0, left)
	for ; left > 0; left-- {
		m, err := messages.Next()
		if err != nil {
			return nil, fmt.Errorf("read stream %s again: %w", name, err)
		}
		read, err := fromStream(name, m)
		if err != nil {
			return nil, err
		}
		all = append(all, read)
	}
	return all, nil
}

// fromStream undoes what the bridge does to a message of Kafka, where it is one.
func fromStream(stream string, m jetstream.Msg) (message, error) {
	meta, err := m.Metadata()
	if err != nil {
		return message{}, err
	}
	headers := map[string][]string{}
	for name, values := range m.Headers() {
		if strings.HasPrefix(name, "Demo-") {
			headers[name] = slices.Clone(values)
		}
	}
	key, null := []byte(m.Subject()), false // where it goes to Kafka, the subject is the key
	if stream == ordersStream {
		key, null = []byte(m.Headers().Get("Sluice-Key")), m.Headers().Get("Sluice-Null") != ""
	}
	return message{
		id: strings.Join(headers[idHeader], ","), lane: stream,
		place: fmt.Sprintf("stream %s sequence %d", stream, meta.Sequence.Stream),
		sum:   fingerprint(key, m.Data(), null, headers),
	}, nil
}
