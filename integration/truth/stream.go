package truth

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Stream is a JetStream stream seen by nats.go.
type Stream struct {
	URL  string
	Name string
}

// Create creates the stream on disk for the subjects; change may alter its configuration.
func (s Stream) Create(ctx context.Context, change func(*jetstream.StreamConfig), subjects ...string) error {
	return s.with(func(js jetstream.JetStream) error {
		config := jetstream.StreamConfig{Name: s.Name, Subjects: subjects, Storage: jetstream.FileStorage}
		if change != nil {
			change(&config)
		}
		_, err := js.CreateStream(ctx, config)
		return err
	})
}

// Delete deletes the stream.
func (s Stream) Delete(ctx context.Context) error {
	return s.with(func(js jetstream.JetStream) error { return js.DeleteStream(ctx, s.Name) })
}

// Count returns how many messages the stream holds.
func (s Stream) Count(ctx context.Context) (total int64, err error) {
	err = s.with(func(js jetstream.JetStream) error {
		stream, err := js.Stream(ctx, s.Name)
		if err == nil {
			total = int64(stream.CachedInfo().State.Msgs)
		}
		return err
	})
	return total, err
}

// Durable returns the state of a durable consumer.
func (s Stream) Durable(ctx context.Context, name string) (info *jetstream.ConsumerInfo, err error) {
	err = s.with(func(js jetstream.JetStream) error {
		consumer, err := js.Consumer(ctx, s.Name, name)
		if err == nil {
			info = consumer.CachedInfo()
		}
		return err
	})
	return info, err
}

// ResetDurable moves a durable back to its acknowledgement floor, as an operator's tool may do.
func (s Stream) ResetDurable(ctx context.Context, name string) error {
	conn, err := nats.Connect(s.URL)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.RequestWithContext(ctx, "$JS.API.CONSUMER.RESET."+s.Name+"."+name, nil)
	return err
}

// DeleteDurable deletes a durable with its position.
func (s Stream) DeleteDurable(ctx context.Context, name string) error {
	return s.with(func(js jetstream.JetStream) error { return js.DeleteConsumer(ctx, s.Name, name) })
}

// Purge deletes what the stream holds before a sequence.
func (s Stream) Purge(ctx context.Context, before uint64) error {
	return s.with(func(js jetstream.JetStream) error {
		stream, err := js.Stream(ctx, s.Name)
		if err != nil {
			return err
		}
		return stream.Purge(ctx, jetstream.WithPurgeSequence(before))
	})
}

// Write publishes messages [from, to) of a load to the subjects "<prefix>.<n mod Subjects>" and returns
// when all are stored. perSecond 0: as fast as it goes.
func (s Stream) Write(ctx context.Context, load *Load, prefix string, from, to int64, perSecond int) error {
	conn, err := nats.Connect(s.URL)
	if err != nil {
		return err
	}
	defer conn.Close()
	js, err := jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(4096))
	if err != nil {
		return err
	}
	begin := time.Now()
	var pending []jetstream.PubAckFuture
	for n := from; n < to; n++ {
		if err := keepPace(ctx, begin, n-from, perSecond); err != nil {
			return err
		}
		m := load.Message(n)
		msg := &nats.Msg{Subject: fmt.Sprintf("%s.%d", prefix, n%int64(max(1, load.Subjects))), Data: m.Value, Header: nats.Header{}}
		for _, h := range m.Headers {
			msg.Header[h.Name] = append(msg.Header[h.Name], string(h.Value))
		}
		future, err := js.PublishMsgAsync(msg, jetstream.WithStallWait(time.Minute))
		if err != nil {
			return err
		}
		if pending = append(pending, future); len(pending) == 4096 {
			if pending, err = settle(ctx, pending); err != nil {
				return err
			}
		}
	}
	_, err = settle(ctx, pending)
	return err
}

func settle(ctx context.Context, pending []jetstream.PubAckFuture) ([]jetstream.PubAckFuture, error) {
	for _, f := range pending {
		select {
		case <-f.Ok():
		case err := <-f.Err():
			return nil, err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return pending[:0], nil
}

// Read gives every stored message to visit, in order.
func (s Stream) Read(ctx context.Context, visit func(msg jetstream.Msg, meta *jetstream.MsgMetadata)) error {
	return s.with(func(js jetstream.JetStream) error {
		stream, err := js.Stream(ctx, s.Name)
		if err != nil {
			return err
		}
		state := stream.CachedInfo().State
		if state.Msgs == 0 {
			return nil
		}
		consumer, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
		if err != nil {
			return err
		}
		messages, err := consumer.Messages(jetstream.PullMaxMessages(5000))
		if err != nil {
			return err
		}
		defer messages.Stop()
		for {
			msg, err := messages.Next(jetstream.NextMaxWait(30 * time.Second))
			if err != nil {
				return fmt.Errorf("read %s: %w", s.Name, err)
			}
			meta, err := msg.Metadata()
			if err != nil {
				return err
			}
			if meta.Sequence.Stream > state.LastSeq {
				return nil
			}
			visit(msg, meta)
			if meta.Sequence.Stream == state.LastSeq {
				return nil
			}
		}
	})
}

// Log reads the stream into entries, as what a Kafka client should see of each message: a message that
// a bridge wrote is decoded by the documented headers, a native one has its subject as key.
func (s Stream) Log(ctx context.Context, run string) ([]Entry, error) {
	var log []Entry
	var bad error
	err := s.Read(ctx, func(msg jetstream.Msg, meta *jetstream.MsgMetadata) {
		m, err := Decode(msg.Subject(), msg.Headers(), msg.Data(), meta.Timestamp)
		if err != nil {
			bad = errors.Join(bad, fmt.Errorf("%s@%d: %w", s.Name, meta.Sequence.Stream, err))
			return
		}
		m.Headers = withoutMarks(m.Headers)
		log = append(log, NewEntry(run, m, 0, int64(meta.Sequence.Stream)))
	})
	return log, errors.Join(err, bad)
}

// Decode undoes the mapping that connectors/nats/convert.go documents, for a message that came at a time.
func Decode(subject string, h nats.Header, data []byte, at time.Time) (*Message, error) {
	m := &Message{Subject: subject, Value: append([]byte{}, data...), Time: at}
	key, hasKey := h["Sluice-Key"]
	switch {
	case hasKey:
		if encoded, ok := strings.CutPrefix(key[0], "base64:"); ok {
			raw, err := base64.RawStdEncoding.DecodeString(encoded)
			if err != nil {
				return nil, fmt.Errorf("Sluice-Key: %w", err)
			}
			m.Key = append([]byte{}, raw...)
		} else {
			m.Key = []byte(key[0])
		}
	case len(h["Sluice-Origin"]) == 0:
		m.Key = []byte(subject)
	}
	if at := h.Get("Sluice-Time"); at != "" {
		t, err := time.Parse(time.RFC3339Nano, at)
		if err != nil {
			return nil, fmt.Errorf("Sluice-Time: %w", err)
		}
		m.Time = t
	}
	if h.Get("Sluice-Null") == "1" {
		m.Value = nil
	}
	if list := h.Get("Sluice-Headers"); list != "" {
		headers, err := decodeList(list)
		m.Headers = headers
		return m, err
	}
	// Without the list the plain headers are the whole, with their names in ascending order.
	for _, name := range slices.Sorted(maps.Keys(h)) {
		if strings.HasPrefix(name, "Sluice-") || strings.HasPrefix(name, "Nats-") {
			continue
		}
		for _, v := range h[name] {
			m.Headers = append(m.Headers, Header{name, []byte(v)})
		}
	}
	return m, nil
}

// decodeList reads the whole list of headers: for each the length of the name, the name, the length of
// the value plus one (0: null), the value.
func decodeList(encoded string) ([]Header, error) {
	raw, err := base64.RawStdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, fmt.Errorf("Sluice-Headers: %w", err)
	}
	var headers []Header
	for r := bytes.NewReader(raw); r.Len() > 0; {
		name, err := binary.ReadUvarint(r)
		if err != nil || name > uint64(r.Len()) {
			return nil, errors.New("Sluice-Headers: a name is cut short")
		}
		h := Header{Name: take(r, name)}
		value, err := binary.ReadUvarint(r)
		if err != nil || value > uint64(r.Len())+1 {
			return nil, errors.New("Sluice-Headers: the value of " + strconv.Quote(h.Name) + " is cut short")
		}
		if value > 0 {
			h.Value = []byte(take(r, value-1))
		}
		headers = append(headers, h)
	}
	return headers, nil
}

// take reads n bytes, which the caller knows to be there.
func take(r *bytes.Reader, n uint64) string {
	b := make([]byte, n)
	_, _ = r.Read(b)
	return string(b)
}

// withoutMarks leaves out what a bridge adds for people and for itself.
func withoutMarks(headers []Header) []Header {
	return slices.DeleteFunc(headers, func(h Header) bool {
		return h.Name == "Sluice-Origin" || strings.HasPrefix(h.Name, "Dead-Letter-")
	})
}

func (s Stream) with(do func(jetstream.JetStream) error) error {
	conn, err := nats.Connect(s.URL)
	if err != nil {
		return err
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	return do(js)
}

// Update changes the stream's configuration.
func (s Stream) Update(ctx context.Context, change func(*jetstream.StreamConfig)) error {
	return s.with(func(js jetstream.JetStream) error {
		stream, err := js.Stream(ctx, s.Name)
		if err != nil {
			return err
		}
		config := stream.CachedInfo().Config
		change(&config)
		_, err = js.UpdateStream(ctx, config)
		return err
	})
}
