package nats

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/sluice-bridge/sluice/connectors"
)

// TestSourceStallsLongerThanAckWait: the server takes everything in flight for undelivered; it is
// recognized, not returned again, and acknowledged by its new deliveries.
func TestSourceStallsLongerThanAckWait(t *testing.T) {
	t.Parallel()
	for _, explicit := range []bool{false, true} {
		t.Run(fmt.Sprint("explicit ", explicit), func(t *testing.T) {
			t.Parallel()
			st := newStreamTest(t, func(c *jetstream.StreamConfig) {
				if explicit {
					c.Retention = jetstream.WorkQueuePolicy
				}
			})
			st.publish(1, 200)
			c := st.config()
			c.AckWait = connectors.Duration(time.Second)
			s := st.open(c, newSourceHost(), "a")
			batches := readAll(t, s, 1, 200, roomy)
			// A waiting pull is what the server redelivers to.
			ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
			if b, err := s.Fetch(ctx, roomy); err == nil {
				t.Fatalf("%s came again", b.Messages[0].Value)
			}
			cancel()
			commit(t, s, batches[:len(batches)/2+1]...)
			st.publish(201, 10)
			batches = append(batches[len(batches)/2+1:], readAll(t, s, 201, 10, roomy)...)
			commit(t, s, batches...)
			if info := st.durable(); info.AckFloor.Stream != 210 || info.NumAckPending != 0 {
				t.Errorf("floor %d, %d pending", info.AckFloor.Stream, info.NumAckPending)
			}
		})
	}
}

// TestSourceOutlivesServer restarts the server while messages are in flight, fetched and not, and
// while nothing can be acknowledged.
func TestSourceOutlivesServer(t *testing.T) {
	t.Parallel()
	st := newStreamTest(t, nil)
	st.publish(1, 300)
	h := newSourceHost()
	s := st.open(st.config(), h, "a")
	batches := readAll(t, s, 1, 150, connectors.Room{Messages: 50, Bytes: 1 << 20})
	commit(t, s, batches[0])
	o := *optionsOf(st.server)
	st.nc.Close()
	stopServer(st.server)
	down, next := h.await(t, 0, "lost connection", func(e connectors.Event) bool { return e.Kind == connectors.Disconnected })
	if down.Err == nil || !strings.Contains(down.Err.Error(), "127.0.0.1") {
		t.Errorf("the loss is reported as %v", down.Err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	if err := s.Commit(ctx, batches[1:]); err == nil {
		t.Error("a commit succeeds without a server")
	}
	cancel()
	st.server = runServer(t, &o)
	st.connect()
	more := readAll(t, s, 151, 150, roomy)
	h.await(t, next, "connection", func(e connectors.Event) bool { return e.Kind == connectors.Connected })
	commit(t, s, batches[1:]...)
	commit(t, s, more...)
	if floor := st.durable().AckFloor.Stream; floor != 300 {
		t.Errorf("floor %d, want 300", floor)
	}
	if events := len(h.all(connectors.Disconnected)); events > 3 {
		t.Errorf("one outage is reported %d times", events)
	}
}

func optionsOf(s *server.Server) *server.Options {
	addr := s.Addr().String()
	o := &server.Options{Host: "127.0.0.1", JetStream: true, StoreDir: s.StoreDir(), NoSigs: true, NoLog: true}
	_, _ = fmt.Sscanf(addr[strings.LastIndex(addr, ":")+1:], "%d", &o.Port)
	// The server adds "jetstream" by itself.
	o.StoreDir = strings.TrimSuffix(o.StoreDir, "/jetstream")
	return o
}

// TestSourceWaitsForWhatIsMissing: no server, then a server without the stream, then all of it.
func TestSourceWaitsForWhatIsMissing(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	o := *optionsOf(s)
	stopServer(s)
	st := &streamTest{t: t, server: s}
	h := newSourceHost()
	c := st.config()
	c.Servers = connectors.List{fmt.Sprintf("127.0.0.1:%d", o.Port)}
	source := st.open(c, h, "a")
	_, next := h.await(t, 0, "missing server", func(e connectors.Event) bool { return e.Kind == connectors.Disconnected })
	st.server = runServer(t, &o)
	e, next := h.await(t, next, "missing stream", func(e connectors.Event) bool {
		return e.Kind == connectors.Disconnected && strings.Contains(e.Err.Error(), "stream")
	})
	if text := e.Err.Error(); !strings.Contains(text, "stream S does not exist") || !strings.Contains(text, " stream add S --subjects=") {
		t.Errorf("a missing stream is %v", e.Err)
	}
	st.connect()
	if _, err := st.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}}); err != nil {
		t.Fatal(err)
	}
	st.publish(1, 10)
	readAll(t, source, 1, 10, roomy)
	h.await(t, next, "connection", func(e connectors.Event) bool { return e.Kind == connectors.Connected })
}

func TestSourceNamesCause(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, want string
		server     func(*server.Options)
		config     func(*JetStreamSourceConfig)
	}{
		{"wrong password", "user or password", func(o *server.Options) { o.Username, o.Password = "u", "p" },
			func(c *JetStreamSourceConfig) { c.User, c.Password = "u", "no" }},
		{"no JetStream", "JetStream is not enabled", func(o *server.Options) { o.JetStream = false }, nil},
		{"no permission", `permission for "$JS.API.STREAM.INFO.S"`, func(o *server.Options) {
			o.Users = []*server.User{{Username: "u", Password: "p", Permissions: &server.Permissions{
				Publish: &server.SubjectPermission{Deny: []string{"$JS.API.STREAM.>"}},
			}}}
		}, func(c *JetStreamSourceConfig) { c.User, c.Password = "u", "p" }},
		{"no inbox", `permission for "_INBOX.`, func(o *server.Options) {
			o.Users = []*server.User{{Username: "u", Password: "p", Permissions: &server.Permissions{
				Subscribe: &server.SubjectPermission{Deny: []string{"_INBOX.>"}},
			}}}
		}, func(c *JetStreamSourceConfig) { c.User, c.Password = "u", "p" }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			st := &streamTest{t: t, server: startServer(t, tc.server)}
			c := st.config()
			if tc.config != nil {
				tc.config(&c)
			}
			h := newSourceHost()
			st.open(c, h, "a")
			e := h.awaitKind(t, connectors.Disconnected)
			if !strings.Contains(e.Err.Error(), tc.want) || strings.Contains(e.Err.Error(), "no@") {
				t.Errorf("the cause is %q, want %q in it", e.Err, tc.want)
			}
		})
	}
}

func TestSourceReportsGaps(t *testing.T) {
	t.Parallel()
	st := newStreamTest(t, nil)
	st.publish(1, 10)
	h := newSourceHost()
	s := st.open(st.config(), h, "a")
	commit(t, s, readAll(t, s, 1, 10, roomy)...)
	closeSource(t, s)

	st.publish(11, 90) // unread, and gone before anybody reads
	st.purge(61)
	h = newSourceHost()
	s = st.open(st.config(), h, "a")
	readAll(t, s, 61, 40, roomy)
	st.publish(101, 1)
	st.wantGaps(h, [2]int64{11, 61})
	readAll(t, s, 101, 1, roomy)

	// While it runs, beyond what it has asked for.
	st.publish(102, 1000)
	batches := readAll(t, s, 102, 10, connectors.Room{Messages: 10, Bytes: 1 << 20})
	st.purge(1051)
	first := int(batches[len(batches)-1].Next)
	for b := fetchOne(t, s, roomy); ; b = fetchOne(t, s, roomy) {
		if b.Messages[0].Offset >= 1051 {
			break
		}
		first = int(b.Next)
	}
	st.wantGaps(h, [2]int64{11, 61}, [2]int64{int64(first), 1051})
}

func (st *streamTest) purge(below uint64) {
	st.t.Helper()
	s, err := st.js.Stream(context.Background(), "S")
	if err != nil {
		st.t.Fatal(err)
	}
	if err := s.Purge(context.Background(), jetstream.WithPurgeSequence(below)); err != nil {
		st.t.Fatal(err)
	}
}

func (st *streamTest) wantGaps(h *sourceHost, want ...[2]int64) {
	st.t.Helper()
	var got [][2]int64
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.gaps {
		if e.Partition != "S" {
			st.t.Errorf("gap of partition %q", e.Partition)
		}
		got = append(got, [2]int64{e.From, e.To})
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		st.t.Errorf("gaps %v, want %v", got, want)
	}
}

// TestSourceRecreatedStream: positions of the old stream mean nothing in the new one.
func TestSourceRecreatedStream(t *testing.T) {
	t.Parallel()
	st := newStreamTest(t, nil)
	st.publish(1, 10)
	s := st.open(st.config(), newSourceHost(), "a")
	commit(t, s, readAll(t, s, 1, 10, roomy)...)
	if err := st.js.DeleteStream(t.Context(), "S"); err != nil {
		t.Fatal(err)
	}
	if _, err := st.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err := s.Fetch(ctx, roomy)
	var h *connectors.HaltError
	if !errors.As(err, &h) || h.Reason != "source_recreated" || h.Way != "sluice position r set --to earliest" {
		t.Fatalf("got %v, want a halt that says so", err)
	}
}

// TestSourceDeletedDurable: it goes on where it was, not where the configuration starts.
func TestSourceDeletedDurable(t *testing.T) {
	t.Parallel()
	st := newStreamTest(t, nil)
	st.publish(1, 20)
	s := st.open(st.config(), newSourceHost(), "a")
	batches := readAll(t, s, 1, 20, connectors.Room{Messages: 10, Bytes: 1 << 20})
	commit(t, s, batches...)
	if err := st.js.DeleteConsumer(t.Context(), "S", "sluice-r"); err != nil {
		t.Fatal(err)
	}
	st.publish(21, 5)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	b, err := s.Fetch(ctx, roomy)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(b.Messages[0].Value); got != "21" {
		t.Errorf("it went on at %s, want 21", got)
	}
}

// TestSourceBinds looks at durables that somebody else has made.
func TestSourceBinds(t *testing.T) {
	t.Parallel()
	st := newStreamTest(t, nil)
	st.publish(1, 10)
	for _, tc := range []struct {
		name, want string
		durable    jetstream.ConsumerConfig
		config     func(*JetStreamSourceConfig)
		accept     []string
	}{
		{name: "explicit", durable: jetstream.ConsumerConfig{AckPolicy: jetstream.AckExplicitPolicy}},
		{name: "all", durable: jetstream.ConsumerConfig{AckPolicy: jetstream.AckAllPolicy}},
		{name: "none", durable: jetstream.ConsumerConfig{AckPolicy: jetstream.AckNonePolicy}, want: "ack policy is none"},
		{name: "maxdeliver", durable: jetstream.ConsumerConfig{AckPolicy: jetstream.AckAllPolicy, MaxDeliver: 5}, want: "accept_loss: [max_deliver]"},
		{name: "accepted", durable: jetstream.ConsumerConfig{AckPolicy: jetstream.AckAllPolicy, MaxDeliver: 5}, accept: []string{"max_deliver"}},
		{name: "filter", durable: jetstream.ConsumerConfig{AckPolicy: jetstream.AckAllPolicy, FilterSubject: "s.x"},
			config: func(c *JetStreamSourceConfig) { c.Subjects = connectors.List{"s.y"} }, want: "filters [s.x]"},
		{name: "samefilter", durable: jetstream.ConsumerConfig{AckPolicy: jetstream.AckAllPolicy, FilterSubject: "s.x"},
			config: func(c *JetStreamSourceConfig) { c.Subjects = connectors.List{"s.x"} }},
		{name: "shared", durable: jetstream.ConsumerConfig{AckPolicy: jetstream.AckAllPolicy},
			config: func(c *JetStreamSourceConfig) { c.Shared = true }, want: "shared: true needs explicit"},
		{name: "headers", durable: jetstream.ConsumerConfig{AckPolicy: jetstream.AckAllPolicy, HeadersOnly: true}, want: "headers only"},
		{name: "inactive", durable: jetstream.ConsumerConfig{AckPolicy: jetstream.AckAllPolicy, InactiveThreshold: time.Hour}, want: "inactive_threshold"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.durable.Durable = tc.name
			if _, err := st.js.CreateConsumer(t.Context(), "S", tc.durable); err != nil {
				t.Fatal(err)
			}
			c := st.config()
			c.Durable, c.Consumer.Create = tc.name, false
			if tc.config != nil {
				tc.config(&c)
			}
			env := sourceEnv(newSourceHost(), "a")
			env.AcceptLoss = tc.accept
			s := newJetStreamSource(c, env, defaultPace())
			defer closeSource(t, s)
			if tc.want == "" {
				commit(t, s, readAll(t, s, 1, 10, roomy)...)
				info, err := st.js.Consumer(t.Context(), "S", tc.name)
				if err != nil {
					t.Fatal(err)
				}
				if got := info.CachedInfo(); got.AckFloor.Stream != 10 || got.Config.FilterSubject != tc.durable.FilterSubject || got.Config.AckWait != 30*time.Second {
					t.Errorf("floor %d, config %+v", got.AckFloor.Stream, got.Config)
				}
				return
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if _, err := s.Fetch(ctx, roomy); !connectors.IsPermanent(err) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want a Permanent error with %q", err, tc.want)
			}
		})
	}
}

// TestSourceWithoutDurable: with create: false it waits until somebody makes the durable.
func TestSourceWithoutDurable(t *testing.T) {
	t.Parallel()
	st := newStreamTest(t, nil)
	st.publish(1, 10)
	c := st.config()
	c.Consumer.Create = false
	h := newSourceHost()
	s := st.open(c, h, "a")
	if e := h.awaitKind(t, connectors.Disconnected); !strings.Contains(e.Err.Error(), "consumer.create is false") || !strings.Contains(e.Err.Error(), " consumer add S ") {
		t.Errorf("the cause is %v", e.Err)
	}
	if _, err := st.js.CreateConsumer(t.Context(), "S", jetstream.ConsumerConfig{Durable: "sluice-r", AckPolicy: jetstream.AckAllPolicy}); err != nil {
		t.Fatal(err)
	}
	readAll(t, s, 1, 10, roomy)
}

// TestSourceMayNotOwn: without the right to change the durable every message is acknowledged by itself.
func TestSourceMayNotOwn(t *testing.T) {
	t.Parallel()
	s := startServer(t, func(o *server.Options) {
		o.Users = []*server.User{
			{Username: "admin", Password: "p"},
			{Username: "u", Password: "p", Permissions: &server.Permissions{
				Publish: &server.SubjectPermission{Deny: []string{"$JS.API.CONSUMER.CREATE.>"}},
			}},
		}
	})
	st := &streamTest{t: t, server: s}
	st.connectAs("admin", "p")
	if _, err := st.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}}); err != nil {
		t.Fatal(err)
	}
	st.publish(1, 50)
	c := st.config()
	c.User, c.Password, c.Consumer.Create = "u", "p", false
	for _, policy := range []jetstream.AckPolicy{jetstream.AckExplicitPolicy, jetstream.AckAllPolicy} {
		c.Durable = "d-" + policy.String()
		if _, err := st.js.CreateConsumer(t.Context(), "S", jetstream.ConsumerConfig{Durable: c.Durable, AckPolicy: policy}); err != nil {
			t.Fatal(err)
		}
		source := st.open(c, newSourceHost(), "a")
		if policy == jetstream.AckAllPolicy {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			_, err := source.Fetch(ctx, roomy)
			cancel()
			var denied *DeniedError
			if !connectors.IsPermanent(err) || !errors.As(err, &denied) {
				t.Errorf("got %v, want a Permanent error that names the permission", err)
			}
			continue
		}
		commit(t, source, readAll(t, source, 1, 50, roomy)...)
		if facts := source.Describe(); !strings.Contains(facts.Order, "none") {
			t.Errorf("the order is said to be %q", facts.Order)
		}
		info, err := st.js.Consumer(t.Context(), "S", c.Durable)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.CachedInfo(); got.AckFloor.Stream != 50 || got.NumAckPending != 0 {
			t.Errorf("floor %d, %d pending", got.AckFloor.Stream, got.NumAckPending)
		}
	}
}

// TestSourceShared: two daemons share a durable; one that dies leaves its messages to the other.
func TestSourceShared(t *testing.T) {
	t.Parallel()
	st := newStreamTest(t, nil)
	st.publish(1, 200)
	c := st.config()
	c.Shared, c.AckWait = true, connectors.Duration(time.Second)
	a, b := st.open(c, newSourceHost(), "a"), st.open(c, newSourceHost(), "b")
	small := connectors.Room{Messages: 20, Bytes: 1 << 20}
	lost := fetchOne(t, a, small) // and never committed
	closeSource(t, a)
	seen := map[int64]int{}
	for len(seen) < 200 {
		batch := fetchOne(t, b, small)
		for _, m := range batch.Messages {
			seen[m.Offset]++
		}
		commit(t, b, batch)
	}
	for _, m := range lost.Messages {
		if seen[m.Offset] != 1 {
			t.Errorf("message %d was read %d times by the other", m.Offset, seen[m.Offset])
		}
	}
	if info := st.durable(); info.NumAckPending != 0 {
		t.Errorf("%d messages are not acknowledged", info.NumAckPending)
	}
}

// TestSourceOutlivesKilledServer: a killed server forgets the last acknowledgements. What comes again
// because of that was written long ago and is not returned.
func TestSourceOutlivesKilledServer(t *testing.T) {
	t.Parallel()
	p := startProcess(t, 0)
	st := &streamTest{t: t}
	st.connectTo(p.url())
	if _, err := st.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}}); err != nil {
		t.Fatal(err)
	}
	st.publish(1, 2000)
	c := jetStreamSourceDefaults(connectors.About{Route: "r"})
	c.Servers, c.Stream = connectors.List{p.url()}, "S"
	h := newSourceHost()
	s := st.open(c, h, "a")
	for first := 1; first < 1000; first += 100 {
		commit(t, s, readAll(t, s, first, 100, roomy)...)
	}
	flight := readAll(t, s, 1001, 100, roomy)
	floor := st.durable().AckFloor.Stream
	st.nc.Close()
	p.kill()
	p.start()
	st.connectTo(p.url())
	t.Logf("the floor was at %d and is at %d", floor, st.durable().AckFloor.Stream)
	rest := readAll(t, s, 1101, 900, roomy)
	commit(t, s, flight...)
	commit(t, s, rest...)
	if info := st.durable(); info.AckFloor.Stream != 2000 || info.NumAckPending != 0 {
		t.Errorf("floor %d, %d pending", info.AckFloor.Stream, info.NumAckPending)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.revoked > 0 {
		t.Error("what was in flight was given up")
	}
}
