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
	"github.com/sluice-bridge/sluice/connectors/connectortest"
)

// sourceHost is a bridge that takes everything and remembers what it was told.
type sourceHost struct {
	mu           sync.Mutex
	events       []connectors.Event
	gaps         []connectortest.Gap
	unpositioned []connectors.Range
	lost         bool   // what Unpositioned answers
	meanwhile    func() // in Unpositioned
	haltOnGap    bool
	changed      chan struct{}
	revoked      int
}

func newSourceHost() *sourceHost { return &sourceHost{changed: make(chan struct{})} }

func (h *sourceHost) Assign(context.Context, string) (int64, bool, error) { return 0, false, nil }

func (h *sourceHost) Revoke(context.Context, ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.revoked++
}

func (h *sourceHost) Unpositioned(ctx context.Context, at connectors.Range) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.unpositioned = append(h.unpositioned, at)
	if h.meanwhile != nil {
		h.meanwhile()
	}
	if h.lost {
		return connectors.Halt("position_lost", "", errors.New("the sink holds messages of it"))
	}
	return ctx.Err()
}

func (h *sourceHost) Gap(partition string, from, to int64) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.gaps = append(h.gaps, connectortest.Gap{Partition: partition, From: from, To: to})
	if h.haltOnGap {
		return connectors.Halt("gap", "", errors.New("a gap"))
	}
	return nil
}

func (h *sourceHost) Report(e connectors.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
	close(h.changed)
	h.changed = make(chan struct{})
}

// await returns the first event from index from on that ok accepts, and the index behind it.
func (h *sourceHost) await(t testing.TB, from int, what string, ok func(connectors.Event) bool) (connectors.Event, int) {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		h.mu.Lock()
		events, changed := h.events, h.changed
		h.mu.Unlock()
		for i := from; i < len(events); i++ {
			if ok(events[i]) {
				return events[i], i + 1
			}
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("no %s was reported; there were %v", what, events)
		}
	}
}

func (h *sourceHost) awaitKind(t testing.TB, kind connectors.EventKind) connectors.Event {
	t.Helper()
	e, _ := h.await(t, 0, fmt.Sprint("event ", kind), func(e connectors.Event) bool { return e.Kind == kind })
	return e
}

func (h *sourceHost) all(kind connectors.EventKind) (found []connectors.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.events {
		if e.Kind == kind {
			found = append(found, e)
		}
	}
	return found
}

// streamTest is a server with one stream and a client of its own.
type streamTest struct {
	t      testing.TB
	server *server.Server
	nc     *nats.Conn
	js     jetstream.JetStream
}

func newStreamTest(t testing.TB, change func(*jetstream.StreamConfig)) *streamTest {
	t.Helper()
	s := startServer(t, nil)
	st := &streamTest{t: t, server: s}
	st.connect()
	if change == nil {
		change = func(*jetstream.StreamConfig) {}
	}
	cfg := jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}}
	change(&cfg)
	if _, err := st.js.CreateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	return st
}

func (st *streamTest) connect() { st.connectAs("", "") }

func (st *streamTest) connectAs(user, password string) {
	st.connectTo(st.server.ClientURL(), nats.UserInfo(user, password))
}

func (st *streamTest) connectTo(url string, options ...nats.Option) {
	nc, err := nats.Connect(url, append(options, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))...)
	if err != nil {
		st.t.Fatal(err)
	}
	st.t.Cleanup(nc.Close)
	st.nc = nc
	if st.js, err = jetstream.New(nc); err != nil {
		st.t.Fatal(err)
	}
}

// publish stores n messages whose values are their numbers, from first on.
func (st *streamTest) publish(first, n int) {
	st.t.Helper()
	st.publishTo("s.x", first, n)
}

func (st *streamTest) publishTo(subject string, first, n int) {
	st.t.Helper()
	var last jetstream.PubAckFuture
	for i := range n {
		f, err := st.js.PublishAsync(subject, fmt.Appendf(nil, "%d", first+i))
		if err != nil {
			st.t.Fatal(err)
		}
		last = f
	}
	if last == nil {
		return
	}
	select {
	case <-st.js.PublishAsyncComplete():
	case <-time.After(time.Minute):
		st.t.Fatal("published messages are not stored")
	}
}

func (st *streamTest) config() JetStreamSourceConfig {
	c := jetStreamSourceDefaults(connectors.About{Route: "r"})
	c.Servers = connectors.List{st.server.ClientURL()}
	c.Stream = "S"
	c.Plain = os.Getenv(plainEnv) != ""
	return c
}

func sourceEnv(h connectors.Host, instance string) connectors.Env {
	return connectors.Env{
		Route: "r", Instance: instance, Logger: zerolog.Nop(), Host: h,
		Window: connectors.Room{Messages: 256, Bytes: 1 << 20},
	}
}

// open opens a source that is closed with the test.
func (st *streamTest) open(c JetStreamSourceConfig, h connectors.Host, instance string) *jetStreamSource {
	st.t.Helper()
	if err := c.Validate(); err != nil {
		st.t.Fatal(err)
	}
	s := newJetStreamSource(c, sourceEnv(h, instance), defaultPace())
	st.t.Cleanup(func() { closeSource(st.t, s) })
	return s
}

// closeSource closes s unless it is closed.
func closeSource(t testing.TB, s *jetStreamSource) {
	select {
	case <-s.conn.done:
		return
	default:
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.Close(ctx); err != nil && t != nil {
		t.Logf("close: %v", err)
	}
}

var roomy = connectors.Room{Messages: 256, Bytes: 1 << 20}

func fetchOne(t testing.TB, s *jetStreamSource, room connectors.Room) *connectors.Batch {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	b, err := s.Fetch(ctx, room)
	if err != nil {
		t.Fatalf("fetch: %v", err)
	}
	return b
}

// readAll fetches n messages and checks that they are numbered from first on.
func readAll(t testing.TB, s *jetStreamSource, first, n int, room connectors.Room) (batches []*connectors.Batch) {
	t.Helper()
	for n > 0 {
		room.Messages = min(room.Messages, n)
		b := fetchOne(t, s, room)
		if len(b.Messages) > room.Messages || b.Memory > room.Bytes && !room.Alone {
			t.Fatalf("%d messages, %d bytes exceed the room %+v", len(b.Messages), b.Memory, room)
		}
		for i := range b.Messages {
			if got := string(b.Messages[i].Value); got != fmt.Sprint(first) {
				t.Fatalf("message %s at sequence %d, want %d", got, b.Messages[i].Offset, first)
			}
			first++
			n--
		}
		batches = append(batches, b)
	}
	return batches
}

func commit(t testing.TB, s *jetStreamSource, done ...*connectors.Batch) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.Commit(ctx, done); err != nil {
		t.Fatalf("commit: %v", err)
	}
}

func (st *streamTest) durable() *jetstream.ConsumerInfo {
	st.t.Helper()
	c, err := st.js.Consumer(context.Background(), "S", "sluice-r")
	if err != nil {
		st.t.Fatal(err)
	}
	info, err := c.Info(context.Background())
	if err != nil {
		st.t.Fatal(err)
	}
	return info
}

func TestSourceReadsInOrderAndCommits(t *testing.T) {
	t.Parallel()
	st := newStreamTest(t, nil)
	st.publish(1, 1000)
	s := st.open(st.config(), newSourceHost(), "a")
	batches := readAll(t, s, 1, 1000, roomy)
	last := batches[len(batches)-1]
	if last.Next != 1001 || last.Partition != "S" || !strings.HasSuffix(last.Origin, "/S") {
		t.Errorf("last batch: next %d partition %q origin %q", last.Next, last.Partition, last.Origin)
	}
	commit(t, s, batches...)
	if floor := st.durable().AckFloor.Stream; floor != 1000 {
		t.Errorf("acknowledgement floor %d, want 1000", floor)
	}
	if lag, ok := s.Lag(); !ok || lag != 0 {
		t.Errorf("lag %d, %v", lag, ok)
	}
}

func TestSourceRedeliversAfterClose(t *testing.T) {
	t.Parallel()
	st := newStreamTest(t, nil)
	st.publish(1, 300)
	s := st.open(st.config(), newSourceHost(), "a")
	batches := readAll(t, s, 1, 300, connectors.Room{Messages: 100, Bytes: 1 << 20})
	commit(t, s, batches[0])
	first := len(batches[0].Messages) + 1
	closeSource(t, s)
	if owner := st.durable().Config.Metadata[ownerKey]; owner != "" {
		t.Errorf("the mark %q is still there", owner)
	}
	readAll(t, st.open(st.config(), newSourceHost(), "b"), first, 300-first+1, roomy)
}

// TestSourceFetchInterrupted cancels Fetch at every moment: nothing is skipped or repeated.
func TestSourceFetchInterrupted(t *testing.T) {
	t.Parallel()
	st := newStreamTest(t, nil)
	s := st.open(st.config(), newSourceHost(), "a")
	published, want := 0, 1
	for i := 0; want <= 400; i++ {
		if published < 400 {
			st.publish(published+1, 4)
			published += 4
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%7)*100*time.Microsecond)
		b, err := s.Fetch(ctx, connectors.Room{Messages: 1 + i%5, Bytes: 1 << 20})
		cancel()
		if err != nil {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
			continue
		}
		if len(b.Messages) > 1+i%5 {
			t.Fatalf("%d messages exceed the room", len(b.Messages))
		}
		for _, m := range b.Messages {
			if string(m.Value) != fmt.Sprint(want) {
				t.Fatalf("message %s, want %d", m.Value, want)
			}
			want++
		}
		commit(t, s, b)
	}
}

// TestSourceAsksForRoomOnly looks at the server: what it has delivered never exceeds the room.
func TestSourceAsksForRoomOnly(t *testing.T) {
	t.Parallel()
	st := newStreamTest(t, nil)
	st.publish(1, 500)
	s := st.open(st.config(), newSourceHost(), "a")
	readAll(t, s, 1, 40, connectors.Room{Messages: 40, Bytes: 1 << 20})
	if n := st.durable().Delivered.Consumer; n > 80 {
		t.Errorf("%d messages are delivered, at most 40 + 40 may be", n)
	}
}

func TestSourceOversize(t *testing.T) {
	t.Parallel()
	st := newStreamTest(t, nil)
	large := make([]byte, 300<<10)
	for range 3 {
		if _, err := st.js.Publish(t.Context(), "s.x", large); err != nil {
			t.Fatal(err)
		}
	}
	s := st.open(st.config(), newSourceHost(), "a")
	room := connectors.Room{Messages: 10, Bytes: 64 << 10}
	_, err := s.Fetch(t.Context(), room)
	var noRoom *connectors.NoRoomError
	if !errors.As(err, &noRoom) {
		t.Fatalf("got %v, want a NoRoomError", err)
	}
	if noRoom.Need <= room.Bytes {
		t.Fatalf("needs %d, which it had", noRoom.Need)
	}
	need := noRoom.Need
	b := fetchOne(t, s, connectors.Room{Messages: 10, Bytes: 64 << 10, Alone: true})
	if len(b.Messages) != 1 || len(b.Messages[0].Value) != len(large) {
		t.Fatalf("got %d messages", len(b.Messages))
	}
	for {
		b, err := s.Fetch(t.Context(), connectors.Room{Messages: 10, Bytes: need})
		var noRoom *connectors.NoRoomError
		if errors.As(err, &noRoom) && noRoom.Need > need {
			need = noRoom.Need
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if b.Memory > need || b.Memory < int64(len(large)) {
			t.Errorf("batch of %d bytes in a room of %d", b.Memory, need)
		}
		break
	}
}

func TestSourceFilters(t *testing.T) {
	t.Parallel()
	st := newStreamTest(t, nil)
	for i := range 50 {
		st.publishTo("s.other", 0, 3)
		st.publishTo("s.x", i+1, 1)
	}
	c := st.config()
	c.Subjects = connectors.List{"s.x", "s.y.>"}
	h := newSourceHost()
	s := st.open(c, h, "a")
	batches := readAll(t, s, 1, 50, roomy)
	commit(t, s, batches...)
	st.wantGaps(h)
	if floor := st.durable().AckFloor.Stream; floor != 200 {
		t.Errorf("acknowledgement floor %d, want 200", floor)
	}
}

func TestSourceStarts(t *testing.T) {
	t.Parallel()
	st := newStreamTest(t, nil)
	st.publish(1, 10)
	for _, tc := range []struct {
		start string
		first int
	}{{"earliest", 1}, {"latest", 11}, {"7", 7}, {"1h", 1}, {time.Now().Add(time.Hour).Format(time.RFC3339), 0}} {
		c := st.config()
		c.Start, c.Durable = tc.start, "d-"+fmt.Sprint(len(tc.start), tc.first)
		c.Durable = strings.ReplaceAll(c.Durable, " ", "-")
		s := st.open(c, newSourceHost(), "a")
		switch tc.first {
		case 0:
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			if b, err := s.Fetch(ctx, roomy); err == nil {
				t.Errorf("start %s returns %d messages", tc.start, len(b.Messages))
			}
			cancel()
		case 11:
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			if b, err := s.Fetch(ctx, roomy); err == nil {
				t.Errorf("start %s returns %d messages", tc.start, len(b.Messages))
			}
			cancel()
			st.publish(11, 1)
			readAll(t, s, 11, 1, roomy)
		default:
			readAll(t, s, tc.first, 11-tc.first, roomy)
		}
		closeSource(t, s)
	}
}
