//go:build integration

package acceptance

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/sluice-bridge/sluice/integration/daemon"
	"github.com/sluice-bridge/sluice/integration/truth"
)

// hostile returns the n-th message of a load that means harm.
func hostile(load *truth.Load, random *rand.Rand, n int64) truth.Message {
	m := truth.Message{
		Key:     truth.HostileKeys[random.IntN(len(truth.HostileKeys))],
		Value:   truth.HostileValues[random.IntN(len(truth.HostileValues))],
		Headers: []truth.Header{{Name: truth.IDHeader, Value: fmt.Appendf(nil, "%s/%d", load.Run, n)}},
		Time:    time.UnixMilli(1_700_000_000_000 + random.Int64N(1_000_000)),
	}
	for range random.IntN(6) {
		h := truth.HostileHeader(random)
		if at := random.IntN(len(m.Headers) + 1); at < len(m.Headers) {
			m.Headers = append(m.Headers[:at+1], m.Headers[at:]...)
			m.Headers[at] = h
		} else {
			m.Headers = append(m.Headers, h)
		}
	}
	return m
}

// Messages that mean harm go Kafka -> JetStream -> Kafka: nothing is lost, doubled or altered by a
// byte, every subject keeps the configured prefix, and the stream is what it was.
func TestHostileRoundTrip(t *testing.T) {
	s := newScene(t, 10*time.Minute)
	n := messages(50_000, 5000)
	s.create(nil)
	back := truth.Topic{Addr: s.topic.Addr, Name: s.topic.Name + "-back"}
	s.must(back.Create(s.ctx, 4, nil))
	s.Cleanup(func() { _ = back.Delete(context.WithoutCancel(s.ctx)) })
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for p := range int32(4) {
		batch := make([]truth.Message, 0, n/4)
		for i := range n / 4 {
			batch = append(batch, hostile(s.load, random, int64(p)*(n/4)+i))
		}
		s.must(s.topic.WriteMessages(s.ctx, p, batch...))
	}
	n = n / 4 * 4
	api := s.listen("$JS.API.>")
	config := fmt.Sprintf(`
connections:
  k: {kafka: {brokers: ["%s"]}}
  n: {nats: {servers: ["%s"]}}
routes:
  there:
    source: {kafka: {connection: k, topics: "%s", group: "%[3]s-there"}}
    map: {subject: "%s.{{ key }}"}
    sink: {jetstream: {connection: n, stream: "%s"}}
  back:
    source: {jetstream: {connection: n, stream: "%[5]s"}}
    sink: {kafka: {connection: k, topic: "%s"}}
`, s.topic.Addr, s.stream.URL, s.topic.Name, s.name, s.stream.Name, back.Name)
	d := s.start(config)
	s.arrive("the topic on the way back", func(ctx context.Context) (int64, error) {
		count, _, err := back.Count(ctx)
		return count, err
	}, n, time.Minute)
	s.end(d)
	s.must(s.stream.Read(s.ctx, func(msg jetstream.Msg, _ *jetstream.MsgMetadata) {
		if tokens := strings.Split(msg.Subject(), "."); len(tokens) != 2 || tokens[0] != s.name || strings.ContainsAny(tokens[1], "*> ") {
			t.Errorf("subject %q is not %s and one token", msg.Subject(), s.name)
		}
	}))
	for _, subject := range api() {
		for _, harm := range []string{"STREAM.PURGE", "STREAM.DELETE", "STREAM.UPDATE", "STREAM.CREATE", "MSG.DELETE"} {
			if strings.Contains(subject, harm) {
				t.Errorf("somebody asked %s", subject)
			}
		}
	}
	s.clean(s.compareToStream())
	r := s.compare(s.topic.Log, back.Log, truth.Key, truth.Value, truth.Exact, truth.Time)
	s.clean(r)
	row("Kafka -> JetStream -> Kafka, hostile messages: %v", r)
}

// listen notes the subjects that are published to until the returned function is called.
func (s *scene) listen(subject string) func() []string {
	s.Helper()
	conn, err := nats.Connect(s.stream.URL)
	s.must(err)
	sub, err := conn.SubscribeSync(subject)
	s.must(err)
	s.must(sub.SetPendingLimits(-1, -1))
	s.must(conn.Flush())
	return func() []string {
		defer conn.Close()
		s.must(conn.Flush())
		var subjects []string
		for {
			msg, err := sub.NextMsg(10 * time.Millisecond)
			if err != nil {
				return subjects
			}
			subjects = append(subjects, msg.Subject)
		}
	}
}

// A batch that was damaged on the broker's disk is refused by its checksum: dead-lettered as raw bytes,
// while the other partitions do not notice.
func TestDamagedBatch(t *testing.T) {
	suite.pair.NeedControl(t)
	s := newScene(t, 5*time.Minute)
	s.create(nil)
	letters := truth.Stream{URL: s.stream.URL, Name: s.stream.Name + "-LETTERS"}
	s.must(letters.Create(s.ctx, nil, s.name+"-letters"))
	s.Cleanup(func() { _ = letters.Delete(context.WithoutCancel(s.ctx)) })
	const perPartition = 1000
	var id int64
	for p := range int32(4) {
		for range 10 { // ten batches each
			batch := make([]truth.Message, perPartition/10)
			for i := range batch {
				batch[i] = s.load.Message(id)
				id++
			}
			s.must(s.topic.WriteMessages(s.ctx, p, batch...))
		}
	}
	kafka := suite.pair.Kafka
	s.must(kafka.Process.Stop(20 * time.Second)) // softly: a broker that recovers cuts damage off
	s.must(kafka.Damage(s.topic.Name, 2))
	s.must(kafka.Restart(s.ctx))
	d := s.start(s.toStream(fmt.Sprintf(`    on_reject: dead_letter
    dead_letter:
      sink: {jetstream: {servers: ["%s"], stream: "%s", subject: "%s-letters"}}
`, s.stream.URL, letters.Name, s.name)))
	status := d.Until(s.ctx, t, "done", func(r *daemon.Route) bool {
		return r.Counts.DeadLettered > 0 && r.Window.Messages == 0 && r.LagKnown && r.Lag == 0
	})
	count, err := s.stream.Count(s.ctx)
	s.must(err)
	lettered, err := letters.Count(s.ctx)
	s.must(err)
	s.end(d)
	r := s.compareDamaged()
	t.Logf("%d in the stream, %d dead letters, status %+v, %v", count, lettered, status.Counts, r)
	if lettered < 1 || r.Lost != perPartition/10 || r.Doubled+r.Altered+r.Phantom+r.Reordered > 0 {
		t.Errorf("want one batch of %d messages missing from the stream and kept as a dead letter", perPartition/10)
	}
	row("Kafka -> JetStream, one damaged batch of %d: %d dead letter(s): %v", perPartition/10, lettered, r)
}

// compareDamaged compares the stream with what was written, for the topic cannot be read whole.
func (s *scene) compareDamaged() *truth.Report {
	s.Helper()
	var want []truth.Entry
	for id := range int64(4000) {
		m := s.load.Message(id)
		want = append(want, truth.NewEntry(s.load.Run, &m, int32(id/1000), id%1000))
	}
	got, err := s.stream.Log(s.ctx, s.load.Run)
	s.must(err)
	r, err := truth.Compare(want, got, truth.Key, truth.Value, truth.Exact, truth.Time)
	s.must(err)
	return r
}
