//go:build integration

package page

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/sluice-bridge/sluice/integration/daemon"
	"github.com/sluice-bridge/sluice/integration/proxy"
	"github.com/sluice-bridge/sluice/integration/truth"
)

// stage is a daemon between two brokers of this process, the sink behind a proxy, with a load.
type stage struct {
	daemon *daemon.Daemon
	proxy  *proxy.Proxy
}

func newStage(t *testing.T) *stage {
	t.Helper()
	dir := t.TempDir()
	ctx := t.Context()
	program, err := daemon.Build(ctx, dir)
	check(t, err)
	kafka, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(4, "orders", "quiet"), kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
	check(t, err)
	t.Cleanup(kafka.Close)
	ns, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: dir, NoLog: true, NoSigs: true})
	check(t, err)
	ns.Start()
	t.Cleanup(func() { ns.Shutdown(); ns.WaitForShutdown() })
	if !ns.ReadyForConnections(time.Minute) {
		t.Fatal("nats-server did not start")
	}
	stream := truth.Stream{URL: ns.ClientURL(), Name: "ORDERS"}
	check(t, stream.Create(ctx, nil, "orders.>", "quiet.>"))
	p, err := proxy.New("127.0.0.1:0", ns.Addr().String())
	check(t, err)
	t.Cleanup(func() { _ = p.Close() })

	topic := truth.Topic{Addr: kafka.ListenAddrs()[0], Name: "orders"}
	loading, stop := context.WithCancel(ctx)
	loaded := make(chan struct{})
	go func() {
		defer close(loaded)
		load := &truth.Load{Run: "page", Size: 512, Subjects: 16, Began: time.Now().Truncate(time.Millisecond)}
		_ = topic.Write(loading, load, 0, 1<<30, 1000) // it ends with the test
	}()
	t.Cleanup(func() { stop(); <-loaded })

	spans := daemon.NewCollector(t)
	s := &stage{proxy: p}
	s.daemon = program.Start(t, fmt.Sprintf(`
telemetry: {trace_url: "http://127.0.0.1:16686/trace/{trace_id}"}
connections:
  kafka: {kafka: {brokers: [%q]}}
  nats:  {nats: {servers: ["nats://%s"]}}
routes:
  orders:
    source: {kafka: {connection: kafka, topics: orders}}
    map: {subject: "orders.{{ partition }}"}
    sink: {jetstream: {connection: nats, stream: ORDERS}}
    window: {max_messages: 1024}
  quiet:
    source: {kafka: {connection: kafka, topics: quiet}}
    map: {subject: "quiet.{{ partition }}"}
    sink: {jetstream: {connection: nats, stream: ORDERS}}
`, topic.Addr, p.Addr), spans.Environment()...)
	s.daemon.Until(ctx, t, "moving", func(r *daemon.Route) bool { return r.Counts.Acknowledged > 0 })
	return s
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// The page shows a forced stall while it lasts, in words, colour and shape, with its trace; and the daemon's
// death and return, without losing a row.
func TestStallIsSeen(t *testing.T) {
	program(t)
	s := newStage(t)
	b := open(t, s.daemon.Admin+"/#orders", 1440, 900)
	row := func(name string) string {
		return fmt.Sprintf(`document.querySelector("#routes tr[data-route=%s]")`, name)
	}
	b.until("flowing", row("orders")+`?.dataset.state === "flowing"`)
	b.until("idle", row("quiet")+`?.dataset.state === "idle"`)
	warm := 5
	if os.Getenv("SLUICE_PICTURES") != "" {
		warm = 50 // so that there is something to see
	}
	b.until("a few points", fmt.Sprintf("performance.now() > %d000", warm))
	flowing := looks(b, "orders")
	b.accessible("flowing, 1440 px")

	s.proxy.Block()
	b.until("stalled", row("orders")+`.dataset.state === "stalled"`)
	b.until("limited no more", `document.querySelector("#stalls .kind")?.textContent === "stalled now"`)
	b.until("five seconds of it", `/acknowledgement for ([5-9]|\d\d)/.test(document.querySelector("#sentence").textContent)`)
	for selector, want := range map[string]string{
		"#sentence": "the window is full of messages, and the sink has not acknowledged what it has",
		"#counts":   "1 stalled",
		"#advice":   "Look at the sink",
		"#stalls":   "window.messages · sink.ack",
		"#routes":   "sink.ack · window.messages",
		"#spoken":   "orders is stalled",
	} {
		if got := b.text(selector); !strings.Contains(got, want) {
			t.Errorf("%s says %q, want %q", selector, got, want)
		}
	}
	if href := eval[string](b, `document.querySelector("#stalls a").href`); !strings.HasPrefix(href, "http://127.0.0.1:16686/trace/") || len(href) < 60 {
		t.Errorf("the trace's link is %q", href)
	}
	stalled, idle := looks(b, "orders"), looks(b, "quiet")
	if stalled == flowing || stalled.colour == idle.colour || stalled.shape == idle.shape || stalled.shape == flowing.shape {
		t.Errorf("stalled looks like %v, flowing like %v, idle like %v", stalled, flowing, idle)
	}
	b.accessible("stalled, 1440 px")
	b.picture("stall-1440")
	b.shoot("page", chromedp.CaptureScreenshot()) // README's
	b.scheme("dark")
	b.accessible("stalled, dark")
	b.picture("stall-dark")
	b.scheme("light")
	b.size(320, 700)
	b.accessible("stalled, 320 px")
	b.picture("stall-320")
	b.size(1440, 900)

	s.proxy.Open()
	b.until("no longer stalled", row("orders")+`.dataset.state !== "stalled"`)
	b.until("the stall is past", `[...document.querySelectorAll("#stalls .kind")].some((k) => k.textContent === "stalled")`)

	b.daemonAway(true)
	check(t, s.daemon.Kill())
	b.until("reconnecting", `document.querySelector("#link-text").textContent.startsWith("reconnecting")`)
	if n := eval[int](b, `document.querySelectorAll("#routes tbody tr").length`); n != 2 {
		t.Errorf("%d rows are left while the daemon is away", n)
	}
	b.accessible("reconnecting")
	b.picture("away-1440")
	s.daemon.Again(t)
	b.until("back", `document.querySelector("#link-text").textContent === "live"`)
	b.daemonAway(false)
	b.until("moving again", row("orders")+`?.dataset.state === "flowing"`)
}

// look is what the state's cell shows beside its word.
type look struct{ word, colour, shape string }

func looks(b *tab, route string) look {
	b.t.Helper()
	cell := fmt.Sprintf(`document.querySelector("#routes tr[data-route=%s] td")`, route)
	return look{
		eval[string](b, cell+`.textContent`), eval[string](b, `getComputedStyle(`+cell+`).color`),
		eval[string](b, cell+`.querySelector("use").getAttribute("href")`),
	}
}
