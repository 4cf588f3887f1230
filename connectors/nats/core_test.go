package nats

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/sluice-bridge/sluice/connectors"
)

func client(t testing.TB, url string) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func coreEnv(h connectors.Host) connectors.Env {
	return connectors.Env{Route: "r", Instance: "i", Logger: zerolog.Nop(), Host: h, Headers: true}
}

func closeEnd(t testing.TB, closer interface{ Close(context.Context) error }) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := closer.Close(ctx); err != nil {
		t.Error(err)
	}
}

// openCore opens a source and waits for its subscriptions. It is closed with the test.
func openCore(t testing.TB, url string, change func(*CoreSourceConfig)) (*coreSource, *sourceHost) {
	t.Helper()
	c := coreSourceDefaults(connectors.About{})
	c.Servers, c.Subjects = connectors.List{url}, connectors.List{"orders.>"}
	if change != nil {
		change(&c)
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	h := newSourceHost()
	env := coreEnv(h)
	s := openCoreSource(&c, &env)
	t.Cleanup(func() { closeEnd(t, s) })
	h.awaitKind(t, connectors.Connected)
	return s, h
}

func TestCoreSourceDelivers(t *testing.T) {
	url := startServer(t, nil).ClientURL()
	s, _ := openCore(t, url, nil)
	nc := client(t, url)
	const n = 1000
	for i := range n {
		m := nats.NewMsg("orders.a")
		m.Data, m.Header = fmt.Append(nil, i), nats.Header{"x": {"1"}}
		if err := nc.PublishMsg(m); err != nil {
			t.Fatal(err)
		}
	}
	room := connectors.Room{Messages: 100, Bytes: 1 << 20}
	for got := 0; got < n; {
		b, err := s.Fetch(t.Context(), room)
		if err != nil {
			t.Fatal(err)
		}
		if b.Partition != "orders.>" || len(b.Messages) > room.Messages || b.Memory > room.Bytes || b.Memory <= 0 {
			t.Fatalf("batch of %q: %d messages, %d bytes", b.Partition, len(b.Messages), b.Memory)
		}
		for _, m := range b.Messages {
			if string(m.Value) != fmt.Sprint(got) || m.Subject != "orders.a" || m.Offset != int64(got) || m.Headers[0].Key != "x" {
				t.Fatalf("message %d: %+v", got, m)
			}
			got++
		}
	}
}

func TestCoreSourceCountsDrops(t *testing.T) {
	url := startServer(t, nil).ClientURL()
	s, h := openCore(t, url, func(c *CoreSourceConfig) { c.Buffer.Messages = 10 })
	nc := client(t, url)
	for i := range 50 {
		if err := nc.Publish("orders.a", fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
		if err := nc.Flush(); err != nil { // or nats.go has dropped most before the buffer sees them
			t.Fatal(err)
		}
	}
	e := h.awaitKind(t, connectors.Dropped)
	if e.N > 40 || !strings.Contains(e.Text, "orders.>") {
		t.Errorf("reported %+v", e)
	}
	room := connectors.Room{Messages: 100, Bytes: 1 << 20}
	b, err := s.Fetch(t.Context(), room)
	if err != nil || string(b.Messages[0].Value) != "0" {
		t.Fatalf("%v, %v", b, err)
	}
	h.await(t, 0, "drops that sum up to 40", func(connectors.Event) bool {
		var sum int64
		for _, e := range h.all(connectors.Dropped) {
			sum += e.N
		}
		return sum == 40
	})
	if len(b.Messages) != 10 {
		t.Errorf("%d messages were kept", len(b.Messages))
	}
}

// What the server has sent when the daemon ends is counted to the last message: it is lost, but not silently.
func TestCoreSourceCountsWhatItLeaves(t *testing.T) {
	url := startServer(t, nil).ClientURL()
	s, h := openCore(t, url, nil)
	nc := client(t, url)
	const n = 20_000
	for range n {
		if err := nc.Publish("orders.a", []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	closeEnd(t, s)
	var sum int64
	for _, e := range h.all(connectors.Dropped) {
		sum += e.N
	}
	if sum != n {
		t.Errorf("%d are counted of the %d that nobody fetched", sum, n)
	}
}

func TestCoreSourceRoom(t *testing.T) {
	url := startServer(t, nil).ClientURL()
	s, _ := openCore(t, url, nil)
	if err := client(t, url).Publish("orders.a", make([]byte, 10_000)); err != nil {
		t.Fatal(err)
	}
	small := connectors.Room{Messages: 10, Bytes: 5000}
	_, err := s.Fetch(t.Context(), small)
	no, ok := err.(*connectors.NoRoomError)
	if !ok || no.Need < 10_000 {
		t.Fatalf("err = %v", err)
	}
	small.Alone = true
	if b, err := s.Fetch(t.Context(), small); err != nil || len(b.Messages) != 1 {
		t.Fatalf("%v, %v", b, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := s.Fetch(ctx, small); err != context.DeadlineExceeded {
		t.Errorf("err = %v", err)
	}
}

func TestCoreSourceAnswersAtCommit(t *testing.T) {
	url := startServer(t, nil).ClientURL()
	s, _ := openCore(t, url, func(c *CoreSourceConfig) { c.AckMode = "reply" })
	nc := client(t, url)
	answer := make(chan error, 1)
	go func() {
		m, err := nc.Request("orders.a", []byte("v"), 10*time.Second)
		if err == nil && string(m.Data) != "+ACK" {
			err = fmt.Errorf("answer %q", m.Data)
		}
		answer <- err
	}()
	b, err := s.Fetch(t.Context(), connectors.Room{Messages: 10, Bytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-answer:
		t.Fatalf("answered before the commit: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	b.Messages = nil // as the bridge leaves it
	if err := s.Commit(t.Context(), []*connectors.Batch{b}); err != nil {
		t.Fatal(err)
	}
	if err := <-answer; err != nil {
		t.Error(err)
	}
}

// TestCoreSourceAnswersNothingItGaveUp: a source that is closed before the commit leaves the requester
// without an answer, who asks again.
func TestCoreSourceAnswersNothingItGaveUp(t *testing.T) {
	url := startServer(t, nil).ClientURL()
	s, _ := openCore(t, url, func(c *CoreSourceConfig) { c.AckMode = "reply" })
	nc := client(t, url)
	inbox := nc.NewInbox()
	answers, err := nc.SubscribeSync(inbox)
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.PublishRequest("orders.a", inbox, []byte("v")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Fetch(t.Context(), connectors.Room{Messages: 10, Bytes: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	// What the source has sent before its end is here once the server answers us.
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if m, err := answers.NextMsg(10 * time.Millisecond); err == nil {
		t.Errorf("answered %q although nothing was committed", m.Data)
	}
}

func TestCoreSourceQueueGroup(t *testing.T) {
	url := startServer(t, nil).ClientURL()
	queue := func(c *CoreSourceConfig) { c.Queue = "q" }
	a, _ := openCore(t, url, queue)
	b, _ := openCore(t, url, queue)
	nc := client(t, url)
	const n = 200
	for range n {
		if err := nc.Publish("orders.a", nil); err != nil {
			t.Fatal(err)
		}
	}
	var mu sync.Mutex
	sum, all := 0, make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var done sync.WaitGroup
	for _, s := range []*coreSource{a, b} {
		done.Go(func() {
			for ctx.Err() == nil {
				batch, err := s.Fetch(ctx, connectors.Room{Messages: 10, Bytes: 1 << 20})
				if err != nil {
					return
				}
				mu.Lock()
				if sum += len(batch.Messages); sum == n {
					close(all)
				}
				mu.Unlock()
			}
		})
	}
	select {
	case <-all:
	case <-time.After(time.Minute):
		t.Error("messages are missing")
	}
	cancel()
	done.Wait()
	if sum != n {
		t.Errorf("%d messages, want %d", sum, n)
	}
}

func TestCoreSourceNamesDeniedSubject(t *testing.T) {
	srv := startServer(t, func(o *server.Options) {
		o.Users = []*server.User{{Username: "u", Password: "p", Permissions: &server.Permissions{
			Subscribe: &server.SubjectPermission{Deny: []string{"orders.>"}},
		}}}
	})
	c := coreSourceDefaults(connectors.About{})
	c.Servers, c.Subjects, c.User, c.Password = connectors.List{srv.ClientURL()}, connectors.List{"orders.>"}, "u", "p"
	h := newSourceHost()
	env := coreEnv(h)
	s := openCoreSource(&c, &env)
	t.Cleanup(func() { closeEnd(t, s) })
	if e := h.awaitKind(t, connectors.Disconnected); !strings.Contains(e.Err.Error(), `"orders.>"`) {
		t.Errorf("reported %v", e.Err)
	}
	if _, err := s.Fetch(t.Context(), connectors.Room{Messages: 1, Bytes: 1}); err == nil || !strings.Contains(err.Error(), "permission") {
		t.Errorf("err = %v", err)
	}
}

func TestCoreSourceOutlivesServer(t *testing.T) {
	p := startProcess(t, 0)
	s, h := openCore(t, p.url(), nil)
	p.kill()
	h.awaitKind(t, connectors.Disconnected)
	p.start()
	h.await(t, 0, "second Connected", func(connectors.Event) bool { return len(h.all(connectors.Connected)) > 1 })
	if err := client(t, p.url()).Publish("orders.a", []byte("v")); err != nil {
		t.Fatal(err)
	}
	if b, err := s.Fetch(t.Context(), connectors.Room{Messages: 1, Bytes: 1 << 20}); err != nil || string(b.Messages[0].Value) != "v" {
		t.Errorf("%v, %v", b, err)
	}
}

// openCoreWriter opens a sink that publishes to orders.<key>. It is closed with the test.
func openCoreWriter(t testing.TB, change func(*CoreSinkConfig)) (*coreSink, *sourceHost) {
	t.Helper()
	c := coreSinkDefaults(connectors.About{})
	c.Subject, c.FlushWindow = "orders.{{ key }}", 100
	change(&c)
	spec, err := coreSinkSpec(c, connectors.About{})
	if err != nil {
		t.Fatal(err)
	}
	h := newSourceHost()
	s, err := spec.Open(t.Context(), coreEnv(h))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeEnd(t, s) })
	return s.(*coreSink), h
}

func TestCoreSinkPublishes(t *testing.T) {
	url := startServer(t, nil).ClientURL()
	sub, err := client(t, url).SubscribeSync("orders.*")
	if err != nil {
		t.Fatal(err)
	}
	s, _ := openCoreWriter(t, func(c *CoreSinkConfig) { c.Servers = connectors.List{url} })
	const n = 950
	b := lane(0, 0, n, 0)
	b.Messages[7].Value = make([]byte, 2<<20)
	indexes, permanent := failures(t, s.Write(t.Context(), []*connectors.Batch{b}))
	if fmt.Sprint(indexes, permanent) != "[7] [true]" {
		t.Errorf("failed: %v %v", indexes, permanent)
	}
	for i := range n {
		if i == 7 {
			continue
		}
		m, err := sub.NextMsg(time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if m.Subject != fmt.Sprintf("orders.k%d", i) || m.Header.Get(headerKey) != fmt.Sprintf("k%d", i) {
			t.Fatalf("message %d: %+v", i, m)
		}
	}
}

func TestCoreSinkRefusesDeniedSubject(t *testing.T) {
	srv := startServer(t, func(o *server.Options) {
		o.Users = []*server.User{{Username: "u", Password: "p", Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Deny: []string{"orders.k3", "orders.k150"}},
		}}}
	})
	s, _ := openCoreWriter(t, func(c *CoreSinkConfig) { c.Servers, c.User, c.Password = connectors.List{srv.ClientURL()}, "u", "p" })
	for range 5 {
		err := s.Write(t.Context(), []*connectors.Batch{lane(0, 0, 200, 0)})
		indexes, permanent := failures(t, err)
		if fmt.Sprint(indexes, permanent) != "[3 150] [true true]" || !strings.Contains(err.Error(), `"orders.k3"`) {
			t.Fatalf("failed: %v %v %v", indexes, permanent, err)
		}
	}
}

func TestCoreSinkOutlivesServer(t *testing.T) {
	p := startProcess(t, 0)
	s, h := openCoreWriter(t, func(c *CoreSinkConfig) { c.Servers = connectors.List{p.url()} })
	write(t, s, lane(0, 0, 10, 0))
	p.freeze()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := s.Write(ctx, []*connectors.Batch{lane(0, 0, 10, 0)}); err == nil {
		t.Error("a frozen server confirmed")
	}
	p.thaw()
	p.kill()
	h.awaitKind(t, connectors.Disconnected)
	p.start()
	write(t, s, lane(0, 0, 10, 0))
}
