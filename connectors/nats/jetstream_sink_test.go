package nats

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/sluice-bridge/sluice/connectors"
)

// sinkTest is a stream on a server and an independent client to look at it.
type sinkTest struct {
	t      testing.TB
	url    string
	js     jetstream.JetStream
	stream jetstream.StreamConfig
	host   *sourceHost
}

func newSinkTest(t testing.TB, url string, change func(*jetstream.StreamConfig)) *sinkTest {
	t.Helper()
	st := &sinkTest{t: t, url: url, host: newSourceHost()}
	nc, err := nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	if st.js, err = jetstream.New(nc); err != nil {
		t.Fatal(err)
	}
	st.stream = jetstream.StreamConfig{Name: "T", Subjects: []string{"orders.>"}, Storage: jetstream.FileStorage}
	if change != nil {
		change(&st.stream)
	}
	if _, err := st.js.CreateStream(context.Background(), st.stream); err != nil {
		t.Fatal(err)
	}
	return st
}

// batched allows fast-ingest batches, so that the sink uses them.
func batched(c *jetstream.StreamConfig) { c.AllowBatchPublish = true }

// forms runs a test with both forms of writing.
func forms(t *testing.T, test func(t *testing.T, change func(*jetstream.StreamConfig))) {
	t.Run("fast", func(t *testing.T) {
		t.Parallel()
		test(t, batched)
	})
	t.Run("pipelined", func(t *testing.T) {
		t.Parallel()
		test(t, func(*jetstream.StreamConfig) {})
	})
}

func (st *sinkTest) env() connectors.Env {
	return connectors.Env{Route: "r", Instance: "i", Logger: zerolog.Nop(), Host: st.host, Headers: true}
}

func (st *sinkTest) config() JetStreamSinkConfig {
	c := jetStreamSinkDefaults(connectors.About{Route: "r"})
	c.Servers, c.Stream, c.Subject = connectors.List{st.url}, st.stream.Name, "orders.{{ partition }}"
	c.Plain = os.Getenv(plainEnv) != ""
	return c
}

func (st *sinkTest) open(c JetStreamSinkConfig, env connectors.Env) *jetStreamSink {
	st.t.Helper()
	spec, err := jetStreamSinkSpec(c, connectors.About{Route: "r"})
	if err != nil {
		st.t.Fatal(err)
	}
	s, err := spec.Open(context.Background(), env)
	if err != nil {
		st.t.Fatal(err)
	}
	st.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			st.t.Error(err)
		}
	})
	return s.(*jetStreamSink)
}

// lane makes a batch of messages first to first+n-1 of a Kafka partition.
func lane(partition, first, n, size int) *connectors.Batch {
	p := fmt.Sprintf("orders/%d", partition)
	b := &connectors.Batch{Partition: p, Origin: "kafka:c/" + p, Next: int64(first + n)}
	for i := first; i < first+n; i++ {
		value := fmt.Appendf(nil, "%d/%d ", partition, i)
		for len(value) < size {
			value = append(value, 'x')
		}
		b.Messages = append(b.Messages, connectors.Message{
			Subject: "orders", Key: fmt.Appendf(nil, "k%d", i), Value: value, Offset: int64(i), Time: time.UnixMilli(int64(i)),
		})
	}
	return b
}

// stored returns the numbers of the messages that the stream holds, by partition, in its order.
func (st *sinkTest) stored() map[string][]int {
	st.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	stream, err := st.js.Stream(ctx, st.stream.Name)
	if err != nil {
		st.t.Fatal(err)
	}
	left := stream.CachedInfo().State.Msgs
	got := map[string][]int{}
	if left == 0 {
		return got
	}
	consumer, err := st.js.OrderedConsumer(ctx, st.stream.Name, jetstream.OrderedConsumerConfig{})
	if err != nil {
		st.t.Fatal(err)
	}
	messages, err := consumer.Messages()
	if err != nil {
		st.t.Fatal(err)
	}
	defer messages.Stop()
	for ; left > 0; left-- {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			st.t.Fatal(err)
		}
		var partition string
		var i int
		if _, err := fmt.Sscanf(strings.Replace(string(m.Data()), "/", " ", 1), "%s %d", &partition, &i); err != nil {
			st.t.Fatalf("%q: %v", m.Data(), err)
		}
		got[partition] = append(got[partition], i)
	}
	return got
}

// wantStored checks that the stream holds messages 0 to n-1 of each partition once and in order.
func (st *sinkTest) wantStored(partitions, n int) {
	st.t.Helper()
	got := st.stored()
	for p := range partitions {
		st.wantRun(got[fmt.Sprint(p)], p, n)
	}
}

func (st *sinkTest) wantRun(got []int, partition, n int) {
	st.t.Helper()
	seen := map[int]bool{}
	doubled, disorder, last := 0, 0, -1
	for _, i := range got {
		if seen[i] {
			doubled++
		} else if i < last {
			disorder++
		}
		seen[i], last = true, max(last, i)
	}
	if lost := n - len(seen); lost != 0 || doubled != 0 || disorder != 0 {
		st.t.Errorf("partition %d: %d lost, %d doubled, %d out of order, of %d", partition, lost, doubled, disorder, n)
	}
}

func write(t testing.TB, s connectors.Sink, batches ...*connectors.Batch) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.Write(ctx, batches); err != nil {
		t.Fatal(err)
	}
}

// failures returns the indexes that err lists, and whether each is a refusal for good.
func failures(t testing.TB, err error) (indexes []int, permanent []bool) {
	t.Helper()
	var b *connectors.BatchError
	if !errors.As(err, &b) {
		t.Fatalf("not a BatchError: %v", err)
	}
	for _, f := range b.Failed {
		indexes, permanent = append(indexes, f.Index), append(permanent, connectors.IsPermanent(f.Err))
	}
	return indexes, permanent
}

func TestSinkStoresInOrder(t *testing.T) {
	forms(t, func(t *testing.T, change func(*jetstream.StreamConfig)) {
		st := newSinkTest(t, startServer(t, nil).ClientURL(), change)
		s := st.open(st.config(), st.env())
		const lanes, writes = 6, 12
		var wg sync.WaitGroup
		for p := range lanes {
			wg.Go(func() {
				next := 0
				for w := range writes {
					var batches []*connectors.Batch
					for range 1 + w%3 {
						n := 1 + (w*p)%700
						batches = append(batches, lane(p, next, n, 20))
						next += n
					}
					write(t, s, batches...)
				}
			})
		}
		wg.Wait()
		for p, got := range st.stored() {
			st.wantRun(got, int(p[0]-'0'), len(got))
		}
		m, err := st.js.Stream(t.Context(), "T")
		if err != nil {
			t.Fatal(err)
		}
		raw, err := m.GetMsg(t.Context(), 1)
		if err != nil || raw.Header.Get(headerOrigin) == "" || raw.Header.Get(headerKey) != "k0" {
			t.Errorf("stored: %+v, %v", raw, err)
		}
	})
}

func TestSinkChoosesForm(t *testing.T) {
	st := newSinkTest(t, startServer(t, nil).ClientURL(), batched)
	s := st.open(st.config(), st.env())
	write(t, s, lane(1, 0, 3, 0)) // the form is known then
	if f := form(s.form.Load()); f != formFast {
		t.Errorf("form %v", f)
	}
	c := st.config()
	c.Mode = "pipelined"
	s = st.open(c, st.env())
	write(t, s, lane(0, 0, 3, 0))
	if f := form(s.form.Load()); f != formPipelined || !strings.Contains(s.Describe().Order, "pipelined") {
		t.Errorf("form %v", f)
	}
	st.wantStored(2, 3)
}

func TestSinkRefusesMessageForGood(t *testing.T) {
	forms(t, func(t *testing.T, change func(*jetstream.StreamConfig)) {
		st := newSinkTest(t, startServer(t, nil).ClientURL(), func(c *jetstream.StreamConfig) {
			change(c)
			c.MaxMsgSize = 2000
		})
		s := st.open(st.config(), st.env())
		b := lane(0, 0, 10, 20)
		b.Messages[0].Value = make([]byte, 2001)
		b.Messages[4].Value = make([]byte, 2<<20)
		b.Messages[9].Headers = []connectors.Header{{Key: "h", Value: make([]byte, 70_000)}}
		indexes, permanent := failures(t, s.Write(t.Context(), []*connectors.Batch{b}))
		if fmt.Sprint(indexes, permanent) != "[0 4 9] [true true true]" {
			t.Errorf("failed: %v %v", indexes, permanent)
		}
		if got := fmt.Sprint(st.stored()["0"]); got != "[1 2 3 5 6 7 8]" {
			t.Errorf("stored %v", got)
		}
	})
}

// A limit that the sink has not heard of yet: the server refuses.
func TestSinkLearnsLimitFromServer(t *testing.T) {
	forms(t, func(t *testing.T, change func(*jetstream.StreamConfig)) {
		st := newSinkTest(t, startServer(t, nil).ClientURL(), change)
		s := st.open(st.config(), st.env())
		write(t, s, lane(0, 0, 1, 0))
		st.stream.MaxMsgSize = 1000
		if _, err := st.js.UpdateStream(t.Context(), st.stream); err != nil {
			t.Fatal(err)
		}
		for at := range 3 { // first, middle and last of a flight
			b := lane(0, 1+3*at, 3, 0)
			b.Messages[at].Value = make([]byte, 1001)
			indexes, permanent := failures(t, s.Write(t.Context(), []*connectors.Batch{b}))
			if fmt.Sprint(indexes, permanent) != fmt.Sprintf("[%d] [true]", at) {
				t.Errorf("failed: %v %v", indexes, permanent)
			}
		}
		if got := fmt.Sprint(st.stored()["0"]); got != "[0 2 3 4 6 7 8]" {
			t.Errorf("stored %v", got)
		}
	})
}

func TestSinkWaitsForRoomInStream(t *testing.T) {
	forms(t, func(t *testing.T, change func(*jetstream.StreamConfig)) {
		st := newSinkTest(t, startServer(t, nil).ClientURL(), func(c *jetstream.StreamConfig) {
			change(c)
			c.MaxMsgs, c.Discard = 25, jetstream.DiscardNew
		})
		s := st.open(st.config(), st.env())
		write(t, s, lane(0, 0, 20, 0))
		rest := lane(0, 20, 10, 0)
		err := s.Write(t.Context(), []*connectors.Batch{rest})
		indexes, permanent := failures(t, err)
		if fmt.Sprint(indexes, permanent) != "[5 6 7 8 9] [false false false false false]" || !strings.Contains(err.Error(), "maximum messages") {
			t.Errorf("failed: %v %v %v", indexes, permanent, err)
		}
		if asked := st.host.all(connectors.Throttled); len(asked) > 0 {
			t.Errorf("a full stream asks nobody to slow down: %v", asked)
		}
		st.wantStored(1, 25)
		st.stream.MaxMsgs = 100
		if _, err := st.js.UpdateStream(t.Context(), st.stream); err != nil {
			t.Fatal(err)
		}
		rest.Messages = rest.Messages[5:]
		write(t, s, rest)
		st.wantStored(1, 30)
	})
}

func TestSinkRefusesLossyStream(t *testing.T) {
	st := newSinkTest(t, startServer(t, nil).ClientURL(), func(c *jetstream.StreamConfig) { c.MaxMsgs = 10 })
	s := st.open(st.config(), st.env())
	err := s.Write(t.Context(), []*connectors.Batch{lane(0, 0, 1, 0)})
	if !connectors.IsPermanent(err) || !strings.Contains(err.Error(), "accept_loss: [discard_old]") || !strings.Contains(err.Error(), "discard policy") {
		t.Errorf("err = %v", err)
	}
	env := st.env()
	env.AcceptLoss = []string{"discard_old"}
	write(t, st.open(st.config(), env), lane(0, 0, 1, 0))
}

func TestSinkWaitsForStream(t *testing.T) {
	st := newSinkTest(t, startServer(t, nil).ClientURL(), nil)
	c := st.config()
	c.Stream, c.Subject = "LATER", "later.{{ partition }}"
	s := st.open(c, st.env())
	if e := st.host.awaitKind(t, connectors.Disconnected); !strings.Contains(e.Err.Error(), "stream LATER does not exist") || !strings.Contains(e.Err.Error(), " stream add LATER --subjects='later.*' --storage=file --defaults") {
		t.Errorf("reported %v", e.Err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Write(t.Context(), []*connectors.Batch{lane(0, 0, 5, 0)}) }()
	st.stream.Name, st.stream.Subjects = "LATER", []string{"later.*"}
	if _, err := st.js.CreateStream(t.Context(), st.stream); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	st.host.awaitKind(t, connectors.Connected)
	st.wantStored(1, 5)
}

func TestSinkNamesSubjectThatNoStreamTakes(t *testing.T) {
	forms(t, func(t *testing.T, change func(*jetstream.StreamConfig)) {
		st := newSinkTest(t, startServer(t, nil).ClientURL(), func(c *jetstream.StreamConfig) {
			change(c)
			c.Subjects = []string{"orders.k0", "orders.k1"}
		})
		c := st.config()
		c.Subject = "orders.{{ key }}"
		s := st.open(c, st.env())
		err := s.Write(t.Context(), []*connectors.Batch{lane(0, 0, 4, 0)})
		indexes, permanent := failures(t, err)
		if fmt.Sprint(indexes, permanent) != "[2 3] [false false]" || !strings.Contains(err.Error(), `"orders.k2"`) || !strings.Contains(err.Error(), "stream T") {
			t.Errorf("failed: %v %v %v", indexes, permanent, err)
		}
		st.wantStored(1, 2)
	})
}

// The subject goes to another stream since the sink has looked.
func TestSinkNoticesOtherStream(t *testing.T) {
	st := newSinkTest(t, startServer(t, nil).ClientURL(), nil)
	s := st.open(st.config(), st.env())
	write(t, s, lane(0, 0, 1, 0))
	st.stream.Subjects = []string{"elsewhere"}
	if _, err := st.js.UpdateStream(t.Context(), st.stream); err != nil {
		t.Fatal(err)
	}
	if _, err := st.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "OTHER", Subjects: []string{"orders.>"}}); err != nil {
		t.Fatal(err)
	}
	err := s.Write(t.Context(), []*connectors.Batch{lane(0, 1, 1, 0)})
	if !connectors.IsPermanent(err) || !strings.Contains(err.Error(), "OTHER") {
		t.Errorf("err = %v", err)
	}
}

func TestSinkWithoutHeaders(t *testing.T) {
	forms(t, func(t *testing.T, change func(*jetstream.StreamConfig)) {
		st := newSinkTest(t, startServer(t, nil).ClientURL(), change)
		env := st.env()
		env.Headers = false
		s := st.open(st.config(), env)
		write(t, s, lane(0, 0, 100, 0))
		st.wantStored(1, 100)
	})
}

func TestSinkNamesDeniedStream(t *testing.T) {
	srv := startServer(t, func(o *server.Options) {
		o.Users = []*server.User{{Username: "u", Password: "p", Permissions: &server.Permissions{
			Publish:   &server.SubjectPermission{Deny: []string{"$JS.API.STREAM.INFO.>"}},
			Subscribe: &server.SubjectPermission{Allow: []string{">"}},
		}}, {Username: "admin", Password: "p"}}
	})
	st := newSinkTest(t, strings.Replace(srv.ClientURL(), "nats://", "nats://admin:p@", 1), nil)
	c := st.config()
	c.Servers, c.User, c.Password = connectors.List{srv.ClientURL()}, "u", "p"
	st.open(c, st.env())
	if e := st.host.awaitKind(t, connectors.Disconnected); !strings.Contains(e.Err.Error(), "$JS.API.STREAM.INFO.T") {
		t.Errorf("reported %v", e.Err)
	}
}

func TestSinkNamesDeniedSubject(t *testing.T) {
	t.Parallel()
	forms(t, func(t *testing.T, change func(*jetstream.StreamConfig)) {
		srv := startServer(t, func(o *server.Options) {
			o.Users = []*server.User{{Username: "u", Password: "p", Permissions: &server.Permissions{
				Publish: &server.SubjectPermission{Deny: []string{"orders.k2"}},
			}}, {Username: "admin", Password: "p"}}
		})
		st := newSinkTest(t, strings.Replace(srv.ClientURL(), "nats://", "nats://admin:p@", 1), change)
		c := st.config()
		c.Servers, c.User, c.Password, c.Subject = connectors.List{srv.ClientURL()}, "u", "p", "orders.{{ key }}"
		s := st.open(c, st.env())
		b := lane(0, 0, 5, 0)
		err := s.Write(t.Context(), []*connectors.Batch{b})
		indexes, permanent := failures(t, err)
		if fmt.Sprint(indexes, permanent) != "[2 3 4] [false false false]" || !strings.Contains(err.Error(), `"orders.k2"`) {
			t.Errorf("failed: %v %v %v", indexes, permanent, err)
		}
		b.Messages = b.Messages[2:3]
		var denied *DeniedError
		if err := s.Write(t.Context(), []*connectors.Batch{b}); !errors.As(err, &denied) || denied.Subject != "orders.k2" {
			t.Errorf("err = %v", err)
		}
	})
}
