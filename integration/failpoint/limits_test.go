package failpoint

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/sluice-bridge/sluice/integration/truth"
)

// growing are n messages of the same shape, each of which grow makes larger than the one before.
func growing(load *truth.Load, n int, grow func(m *truth.Message, i int)) (all []truth.Message) {
	for i := range n {
		m := truth.Message{
			Key: []byte("k"), Value: []byte("v"), Time: time.UnixMilli(1_700_000_000_000),
			Headers: []truth.Header{{Name: truth.IDHeader, Value: fmt.Appendf(nil, "%s/%d", load.Run, i)}},
		}
		grow(&m, i)
		all = append(all, m)
	}
	return all
}

// kept is what became of a load: the messages of the sink and the dead letters, by id.
type kept struct {
	sink, letters map[int64]*truth.Message
}

// take returns a visitor for one of them, which finds doubles.
func (k *kept) take(t *testing.T, load *truth.Load, into map[int64]*truth.Message, mine string) func(*truth.Message) {
	return func(m *truth.Message) {
		e := truth.NewEntry(load.Run, m, 0, 0)
		if k.sink[e.ID] != nil || k.letters[e.ID] != nil {
			t.Errorf("message %d is kept twice, again in the %s", e.ID, mine)
		}
		var headers []truth.Header
		for _, h := range m.Headers {
			if !strings.HasPrefix(h.Name, "Dead-Letter-") && h.Name != "Sluice-Origin" {
				headers = append(headers, h)
			}
		}
		m.Headers = headers
		into[e.ID] = m
	}
}

// check wants each message once, as it was, and all up to a size in the sink and all beyond it dead.
func (k *kept) check(t *testing.T, load *truth.Load, messages []truth.Message) {
	t.Helper()
	for id := range messages {
		want := truth.NewEntry(load.Run, &messages[id], 0, 0)
		m := k.sink[int64(id)]
		if m == nil {
			m = k.letters[int64(id)]
		}
		if m == nil {
			t.Errorf("message %d is lost", id)
			continue
		}
		got := truth.NewEntry(load.Run, m, 0, 0)
		if got.Prints[truth.Value] != want.Prints[truth.Value] || got.Prints[truth.Grouped] != want.Prints[truth.Grouped] {
			t.Errorf("message %d is altered", id)
		}
	}
	last := 0
	for id := range k.sink {
		last = max(last, int(id))
	}
	t.Logf("up to message %d of %d in the sink, %d dead letters", last, len(messages), len(k.letters))
	if len(k.sink) < len(messages)/10 || len(k.letters) < 2 || last != len(k.sink)-1 {
		t.Errorf("%d are in the sink: the limit is not sharp", len(k.sink))
	}
}

// Messages that grow byte by byte past every limit of a target: what fits arrives, the rest is a dead letter
// with its bytes, and no other partition waits for it.
func TestLimits(t *testing.T) {
	t.Parallel()
	small := func(o *server.Options) { o.MaxPayload = 5000 }
	load := &truth.Load{Run: "r", Size: 100}
	payloads := growing(load, 501, func(m *truth.Message, i int) { m.Value = bytes.Repeat([]byte("v"), 4500+i) })
	headers := growing(load, 401, func(m *truth.Message, i int) {
		m.Headers = append(m.Headers, truth.Header{Name: "z", Value: bytes.Repeat([]byte("h"), 64<<10-400+i)})
	})
	for name, test := range map[string]struct {
		down     func(t *testing.T) downstream
		messages []truth.Message
	}{
		"payload, pipelined": {func(t *testing.T) downstream { return newStreamEnd(t, "to", false, small) }, payloads},
		"payload, fast":      {func(t *testing.T) downstream { return newStreamEnd(t, "to", true, small) }, payloads},
		"payload, core":      {func(t *testing.T) downstream { return newSubjectEnd(t, "to", small) }, payloads},
		"headers, fast":      {func(t *testing.T) downstream { return newStreamEnd(t, "to", true) }, headers},
		"batch of a topic": {func(t *testing.T) downstream {
			return newKafkaEnd(t, "to", 1, kfake.BrokerConfigs(map[string]string{"message.max.bytes": "5000"}))
		}, payloads},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			testLimit(ctx, t, load, test.down(t), test.messages)
		})
	}
}

// testLimit moves messages from one partition, beside small ones of another.
func testLimit(ctx context.Context, t *testing.T, load *truth.Load, down downstream, messages []truth.Message) {
	up := newKafkaEnd(t, "from", 2, kfake.SeedTopics(1, "letters"))
	must(t, up.topic.WriteMessages(ctx, 1, messages...))
	var others []truth.Message
	for i := range 200 {
		others = append(others, load.Message(int64(len(messages)+i)))
	}
	must(t, up.topic.WriteMessages(ctx, 0, others...))
	letters := truth.Topic{Addr: up.topic.Addr, Name: "letters"}
	d := newDaemon(t, "", configuration(up, down, "{}")+fmt.Sprintf(`
    on_reject: dead_letter
    dead_letter: {sink: {kafka: {brokers: [%s], topic: letters}}}
`, up.brokers()))
	d.until(ctx, t, func() (bool, error) { return up.allDone(ctx, int64(len(messages)+len(others))), nil })
	d.end(t)
	k := &kept{map[int64]*truth.Message{}, map[int64]*truth.Message{}}
	switch down := down.(type) {
	case *streamEnd:
		visit := k.take(t, load, k.sink, "stream")
		must(t, down.stream.Read(ctx, func(msg jetstream.Msg, meta *jetstream.MsgMetadata) {
			m, err := truth.Decode(msg.Subject(), msg.Headers(), msg.Data(), meta.Timestamp)
			must(t, err)
			visit(m)
		}))
	case *subjectEnd:
		visit := k.take(t, load, k.sink, "subject")
		must(t, down.read(func(msg *nats.Msg) {
			m, err := truth.Decode(msg.Subject, msg.Header, msg.Data, time.Time{})
			must(t, err)
			visit(m)
		}))
	case *kafkaEnd:
		visit := k.take(t, load, k.sink, "topic")
		must(t, down.topic.Read(ctx, func(m *truth.Message, _ int32, _ int64) { visit(m) }))
	}
	visit := k.take(t, load, k.letters, "letters")
	must(t, letters.Read(ctx, func(m *truth.Message, _ int32, _ int64) { visit(m) }))
	for i := range others {
		id := int64(len(messages) + i)
		if k.sink[id] == nil {
			t.Errorf("message %d of the other partition is not in the sink", id)
		}
		delete(k.sink, id)
	}
	k.check(t, load, messages)
}

// Subjects become topics only where they are topic names that are not Kafka's own: the rest is dead letters,
// and nobody waits.
func TestTopicNames(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	longest := "from." + strings.Repeat("a", 249-len("from."))
	good := []string{"from.ok", longest}
	bad := []string{longest + "a", "from.ümlaut", "from.%2e", "__consumer_offsets", "__transaction_state", "__"}
	up := newStreamEnd(t, "from", false)
	must(t, up.stream.Update(ctx, func(c *jetstream.StreamConfig) { c.Subjects = append(c.Subjects, bad[3:]...) }))
	down := newKafkaEnd(t, "letters", 1, kfake.SeedTopics(1, append(good, bad[3:]...)...))
	const rounds = 20
	for range rounds {
		for _, subject := range append(append([]string{}, bad...), good...) {
			_, err := up.watch.RequestWithContext(ctx, subject, []byte(subject))
			must(t, err)
		}
	}
	d := newDaemon(t, "", fmt.Sprintf(`
admin: {listen: "off"}
routes:
  names:
    source: %s
    sink: {kafka: {brokers: [%s]}}
    map: {topic: "{{ subject }}"}
    on_reject: dead_letter
    dead_letter: {sink: {kafka: {brokers: [%[2]s], topic: letters}}}
`, up.source(), down.brokers()))
	d.until(ctx, t, func() (bool, error) {
		done, err := up.done(ctx)
		return err == nil && done(&truth.Entry{Offset: int64(rounds * (len(good) + len(bad)))}), nil
	})
	d.end(t)
	dead := map[string]int{}
	must(t, down.topic.Read(ctx, func(m *truth.Message, _ int32, _ int64) { dead[string(m.Value)]++ }))
	for _, name := range bad {
		if dead[name] != rounds {
			t.Errorf("%d dead letters of subject %q, want %d", dead[name], name, rounds)
		}
	}
	for i, name := range append(good, bad[3:]...) {
		n, _, err := truth.Topic{Addr: down.topic.Addr, Name: name}.Count(ctx)
		if want := map[bool]int64{true: rounds}[i < len(good)]; err != nil || n != want {
			t.Errorf("topic %.20s... holds %d messages, want %d: %v", name, n, want, err)
		}
	}
}
