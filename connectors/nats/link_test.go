package nats

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/sluice-bridge/sluice/connectors"
)

// links runs a test over both links of a connection to a server, which a client of its own speaks to.
func links(t *testing.T, test func(t *testing.T, l link, nc, other *nats.Conn)) {
	srv := startServer(t, func(o *server.Options) { o.MaxPayload = 4 << 20 })
	for _, plain := range []bool{false, true} {
		t.Run(fmt.Sprintf("plain %v", plain), func(t *testing.T) {
			cfg := Connection{Servers: connectors.List{srv.ClientURL()}, Plain: plain}
			c := dial(&cfg, &connectors.Env{Route: "r", Host: newSourceHost()}, true)
			defer c.close(context.Background())
			nc, _, err := c.await(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			l, _, err := c.link(nc)
			if err != nil {
				t.Fatal(err)
			}
			if _, isPlain := l.(*plainLink); isPlain != plain {
				t.Fatalf("the link is %T", l)
			}
			test(t, l, nc, client(t, srv.ClientURL()))
		})
	}
}

// sent is a message as a test made it.
type sent struct {
	Subject, Reply string
	Header         nats.Header
	Data           string
}

func (m *sent) msg() *nats.Msg {
	return &nats.Msg{Subject: m.Subject, Reply: m.Reply, Header: m.Header, Data: []byte(m.Data)}
}

// someSent makes messages of all sizes, with headers and without.
func someSent(rng *rand.Rand, n int, subject string) (all []sent) {
	for i := range n {
		m := sent{Subject: fmt.Sprintf("%s.%d", subject, i%7)}
		if i%3 == 0 {
			m.Header = nats.Header{"h": {fmt.Sprint(i)}, "Two": {"a", "b c"}}
		}
		if i%4 == 0 {
			m.Reply = fmt.Sprintf("reply.%d", i)
		}
		size := rng.IntN(300)
		switch rng.IntN(20) {
		case 0:
			size = rng.IntN(2 << 20)
		case 1:
			size = 0
		}
		m.Data = fmt.Sprintf("%d:", i) + strings.Repeat("x", size)
		all = append(all, m)
	}
	return all
}

// Whatever is published to what a link is subscribed to arrives as it was, in order, while nats.go has
// traffic of its own.
func TestLinksReceive(t *testing.T) {
	links(t, func(t *testing.T, l link, nc, other *nats.Conn) {
		var all []sent
		for _, m := range someSent(rand.New(rand.NewPCG(1, 2)), 600, "a") {
			if m.Subject != "a.0" { // both subscriptions would get it
				all = append(all, m)
			}
		}
		var mu sync.Mutex
		var got []sent
		var subjects []int
		done := make(chan struct{})
		end, err := l.subscribe(len(all)+1, func(a *arrival) {
			mu.Lock()
			defer mu.Unlock()
			defer a.release()
			for i := range a.frames {
				f := &a.frames[i]
				m := sent{Subject: strings.Clone(f.subject), Reply: strings.Clone(f.reply), Data: string(f.data())}
				if f.headed > 0 {
					var err error
					if m.Header, err = nats.DecodeHeadersMsg(f.head()); err != nil {
						t.Error(err)
					}
				}
				got, subjects = append(got, m), append(subjects, int(f.of))
			}
			if len(got) == len(all) {
				close(done)
			}
		}, "a.0", "a.>")
		if err != nil {
			t.Fatal(err)
		}
		defer end()
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
		answer, err := nc.Subscribe("ping", func(m *nats.Msg) { _ = m.Respond(m.Data) })
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = answer.Unsubscribe() }()
		go func() {
			for i := range all {
				_ = other.PublishMsg(all[i].msg())
			}
		}()
		for range 50 {
			payload := bytes.Repeat([]byte("p"), 3000)
			m, err := nc.Request("ping", payload, 10*time.Second)
			if err != nil || !bytes.Equal(m.Data, payload) {
				t.Fatalf("nats.go is disturbed: %v", err)
			}
		}
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			t.Fatalf("%d of %d messages arrived", len(got), len(all))
		}
		mu.Lock()
		defer mu.Unlock()
		if diff := cmp.Diff(all, got); diff != "" {
			t.Errorf("(-want +got):\n%.2000s", diff)
		}
		for i, s := range subjects {
			if s != 1 {
				t.Fatalf("message %d came for subject %d, want 1", i, s)
			}
		}
	})
}

// Frames of a link and messages of nats.go go out side by side and each arrives whole.
func TestLinksSend(t *testing.T) {
	links(t, func(t *testing.T, l link, nc, other *nats.Conn) {
		ours, theirs := someSent(rand.New(rand.NewPCG(3, 4)), 400, "ours"), someSent(rand.New(rand.NewPCG(5, 6)), 400, "theirs")
		want := len(ours) + len(theirs)
		came := make(chan *nats.Msg, want)
		sub, err := other.ChanSubscribe(">", came)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = sub.Unsubscribe() }()
		if err := other.Flush(); err != nil {
			t.Fatal(err)
		}
		var both sync.WaitGroup
		both.Go(func() {
			var buf []byte
			for i := range ours {
				m := &ours[i]
				var block []byte
				if m.Header != nil {
					block = appendBlock(nil, m.Header)
				}
				buf = appendFrame(buf, []byte(m.Subject), []byte(m.Reply), block, []byte(m.Data))
				if i%5 == 0 || i == len(ours)-1 {
					if err := l.send(buf); err != nil {
						t.Error(err)
					}
					buf = buf[:0]
				}
			}
		})
		both.Go(func() {
			for i := range theirs {
				if err := nc.PublishMsg(theirs[i].msg()); err != nil {
					t.Error(err)
				}
			}
		})
		both.Wait()
		got := map[string][]sent{}
		for range want {
			select {
			case m := <-came:
				name, _, _ := strings.Cut(m.Subject, ".")
				got[name] = append(got[name], sent{m.Subject, m.Reply, m.Header, string(m.Data)})
			case <-time.After(20 * time.Second):
				t.Fatalf("%d messages came, want %d: %v", len(got["ours"])+len(got["theirs"]), want, nc.LastError())
			}
		}
		if diff := cmp.Diff(map[string][]sent{"ours": ours, "theirs": theirs}, got); diff != "" {
			t.Errorf("(-want +got):\n%.2000s", diff)
		}
	})
}

// Nothing arrives after the end of a subscription, and nats.go does not see it.
func TestLinksUnsubscribe(t *testing.T) {
	links(t, func(t *testing.T, l link, nc, other *nats.Conn) {
		came := make(chan struct{}, 1000)
		take := func(a *arrival) {
			for range a.frames {
				came <- struct{}{}
			}
			a.release()
		}
		first, err := l.subscribe(100, take, "u.>")
		if err != nil {
			t.Fatal(err)
		}
		publish := func() {
			t.Helper()
			if err := nc.Flush(); err != nil {
				t.Fatal(err)
			}
			if err := other.Publish("u.x", []byte("v")); err != nil {
				t.Fatal(err)
			}
			if err := other.Flush(); err != nil {
				t.Fatal(err)
			}
			if err := nc.Flush(); err != nil { // behind the message, if there is one
				t.Fatal(err)
			}
		}
		publish()
		<-came
		first()
		publish()
		if len(came) > 0 || nc.LastError() != nil {
			t.Errorf("%d messages after the end; nats.go: %v", len(came), nc.LastError())
		}
		second, err := l.subscribe(100, take, "u.x")
		if err != nil {
			t.Fatal(err)
		}
		defer second()
		publish()
		<-came
	})
}
