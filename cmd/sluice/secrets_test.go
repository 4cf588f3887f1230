package main

import (
	"archive/tar"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
)

// collector takes what is exported by OTLP over HTTP, as it comes.
type collector struct {
	*httptest.Server
	answer int // its status code
	mu     sync.Mutex
	body   map[string][]byte // by path
}

func newCollector(t *testing.T, answer int) *collector {
	c := &collector{answer: answer, body: map[string][]byte{}}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(c.answer)
		body, _ := io.ReadAll(r.Body)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.body[r.URL.Path] = append(c.body[r.URL.Path], body...)
	}))
	t.Cleanup(c.Close)
	return c
}

// taken returns what came to a path.
func (c *collector) taken(path string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.body[path])
}

// secured are brokers that want passwords.
type secured struct {
	kafka *kfake.Cluster
	nats  *server.Server
}

const (
	kafkaPassword = "CANARY-kafka"
	natsPassword  = "CANARY-nats"
)

func startSecured(ctx context.Context, t *testing.T) *secured {
	t.Helper()
	s := &secured{}
	var err error
	if s.kafka, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders", "back"), kfake.EnableSASL(), kfake.Superuser("PLAIN", "me", kafkaPassword)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.kafka.Close)
	s.nats, err = server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true,
		Users: []*server.User{{Username: "me", Password: natsPassword}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.nats.Start()
	t.Cleanup(func() { s.nats.Shutdown(); s.nats.WaitForShutdown() })
	if !s.nats.ReadyForConnections(time.Minute) {
		t.Fatal("no nats-server")
	}
	nc, err := nats.Connect(s.nats.ClientURL(), nats.UserInfo("me", natsPassword))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders"}}); err != nil {
		t.Fatal(err)
	}
	return s
}

// produce adds messages whose sender wants to see their trace.
func (s *secured) produce(ctx context.Context, t *testing.T, n int) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(s.kafka.ListenAddrs()...), kgo.DefaultProduceTopic("orders"),
		kgo.SASL(plain.Auth{User: "me", Pass: kafkaPassword}.AsMechanism()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for range n {
		r := kgo.StringRecord("CANARY-payload")
		r.Headers = []kgo.RecordHeader{{Key: "traceparent", Value: []byte("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")}}
		if err := client.ProduceSync(ctx, r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

// commit gives a group a position, without which a route asks the sink before it fetches.
func (s *secured) commit(ctx context.Context, t *testing.T, group string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(s.kafka.ListenAddrs()...), kgo.SASL(plain.Auth{User: "me", Pass: kafkaPassword}.AsMechanism()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	offsets := kadm.Offsets{}
	offsets.AddOffset("orders", 0, 0, -1)
	if err := kadm.NewClient(client).CommitAllOffsets(ctx, group, offsets); err != nil {
		t.Fatal(err)
	}
}

// speaksTLS is a listener that wants TLS of whoever comes.
func speaksTLS(t *testing.T) string {
	t.Helper()
	h := httptest.NewUnstartedServer(http.NotFoundHandler())
	h.Config.ErrorLog = nil
	l := tls.NewListener(h.Listener, &tls.Config{MinVersion: tls.VersionTLS12})
	t.Cleanup(func() { _ = l.Close(); h.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(io.Discard, c)
				_ = c.Close()
			}()
		}
	}()
	return h.Listener.Addr().String()
}

// secretsCase is one way a daemon with secrets may fare.
type secretsCase struct {
	kafka, nats                       string // addresses
	kafkaPasswordEnd, natsPasswordEnd string // make a password wrong
	format                            string // of the log
	until                             func(status string) bool
	traces                            bool // a message or a stall was traced
	drain                             string
	collector                         int    // its answer
	log                               string // what it has to say
	code                              int    // of a daemon that is told to end
}

// Whatever becomes of a daemon with secrets in every place that takes one, it never shows one: not in its
// log at any level, its status, its metrics, what it exports, a dump of its goroutines or a panic.
func TestSecretsAreNotShown(t *testing.T) {
	t.Parallel()
	ctx := soon(t)
	s := startSecured(ctx, t)
	kafka, nats := s.kafka.ListenAddrs()[0], s.nats.Addr().String()
	nobody, secure := "127.0.0.1:1", speaksTLS(t)
	for name, test := range map[string]secretsCase{
		"all is well": {kafka: kafka, nats: nats, format: "json", traces: true, until: func(status string) bool {
			return strings.Count(status, `"lag":0,"lag_known":true`) == 2 && !strings.Contains(status, `"committed_messages":0`)
		}},
		"wrong":     {kafka: kafka, nats: nats, kafkaPasswordEnd: "-wrong", natsPasswordEnd: "-wrong", format: "json", until: failing},
		"nobody":    {kafka: nobody, nats: nobody, format: "console", until: failing},
		"wants TLS": {kafka: secure, nats: secure, format: "json", until: failing},
		// The stall's span tells why the sink does not take the message.
		"stalls": {kafka: kafka, nats: nats, natsPasswordEnd: "-wrong", format: "json", traces: true, drain: "1s", code: 4, collector: http.StatusForbidden, log: "403 Forbidden", until: func(status string) bool {
			return failing(status) && strings.Contains(status, `"cause":"window.messages"`)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := soon(t)
			c := newCollector(t, cmp.Or(test.collector, http.StatusOK))
			group := strings.ReplaceAll(name, " ", "-")
			s.commit(ctx, t, group)
			file := test.write(t, strings.Replace(c.URL, "://", "://CANARY-url@", 1), group)
			env := []string{
				"NATS_PASSWORD=" + natsPassword + test.natsPasswordEnd, "OTEL_EXPORTER_OTLP_HEADERS=x-key=CANARY-env",
				"OTEL_BSP_SCHEDULE_DELAY=100", "OTEL_METRIC_EXPORT_INTERVAL=200", "GOTRACEBACK=all",
			}
			outputs := map[string]string{}
			for _, end := range []syscall.Signal{syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGUSR1} {
				s.produce(ctx, t, 2)
				p := startWith(ctx, t, env, "run", "-c", file)
				p.watch(ctx, t, c, test.until, outputs)
				for test.traces && c.taken("/v1/traces") == "" && ctx.Err() == nil {
					time.Sleep(20 * time.Millisecond)
				}
				if err := p.Process.Signal(end); err != nil {
					t.Fatal(err)
				}
				code := p.code(t)
				outputs["log, then "+end.String()] = p.out.String()
				if end == syscall.SIGTERM && code != test.code {
					t.Errorf("exit code %d, want %d", code, test.code)
				}
			}
			outputs["traces"], outputs["metrics"] = c.taken("/v1/traces"), c.taken("/v1/metrics")
			p := startWith(ctx, t, env, "doctor", "-c", file, "--timeout", "3s")
			p.code(t)
			outputs["doctor"] = p.out.String()
			test.check(t, outputs)
		})
	}
}

// write returns the configuration, which has a secret in every place that takes one.
func (test secretsCase) write(t *testing.T, collector, name string) (file string) {
	t.Helper()
	dir := t.TempDir()
	file = filepath.Join(dir, "sluice.yaml")
	for path, text := range map[string]string{
		filepath.Join(dir, "kafka-password"): kafkaPassword + test.kafkaPasswordEnd + "\n",
		file: fmt.Sprintf(`
connections:
  k: {kafka: {brokers: ["%[1]s"], username: me, password: "${file:kafka-password}"}}
  n: {nats: {servers: ["%[2]s"], user: me, password: "${NATS_PASSWORD}"}}
routes:
  there:
    source: {kafka: {topics: orders, group: %[4]s}}
    sink: {jetstream: {stream: ORDERS, subject: orders}}
    dead_letter: {to: "jetstream://me:%[3]s@%[2]s/ORDERS/orders"}
    window: {max_messages: 1}
  back:
    source: {jetstream: {connection: n, servers: ["nats://me:%[3]s@%[2]s"], stream: ORDERS, durable: %[4]s}}
    sink: {kafka: {topic: back}}
admin: {listen: "127.0.0.1:0", token: CANARY-token}
shutdown: {drain: %[7]s}
log: {level: trace, format: %[5]s}
telemetry: {endpoint: "%[6]s", protocol: http/protobuf, traces: otlp, metrics: otlp, headers: {authorization: "Bearer CANARY-otlp"}}
`, test.kafka, test.nats, natsPassword+test.natsPasswordEnd, name, test.format, collector, cmp.Or(test.drain, "25s")),
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return file
}

// check looks for secrets in what a daemon showed, and whether there was something to look at.
func (test secretsCase) check(t *testing.T, outputs map[string]string) {
	t.Helper()
	for what, word := range map[string]string{
		"/status": `"instance"`, "/metrics": "sluice_", "metrics": "sluice.", "log, then terminated": cmp.Or(test.log, "memory limit"),
		"log, then quit": "goroutine ", "doctor": "Summary: ", "log, then user defined signal 1": "as a test wants it",
		"sluice-debug/config.yaml": "username: me", "sluice-debug/goroutines.txt": "goroutine ", "sluice-debug/metrics.txt": "sluice_",
		"sluice-debug/history.json": `"there"`, "sluice-debug/status.json": `"instance"`,
		"traces": map[bool]string{true: "sluice", false: ""}[test.traces],
	} {
		if !strings.Contains(outputs[what], word) {
			t.Errorf("%s shows no %q: %q", what, word, outputs[what])
		}
	}
	for what, text := range outputs {
		if i := strings.Index(text, canary); i >= 0 {
			t.Errorf("%s holds a secret: ...%s", what, text[max(0, i-200):min(len(text), i+50)])
		}
	}
}

// failing reports whether a status names what is wrong with both routes.
func failing(status string) bool {
	return strings.Count(status, `_connected":false`) >= 2 && strings.Count(status, `"detail":"`) == 2
}

// watch asks the daemon for all it tells until it is where the test wants it, and something is exported.
func (p *process) watch(ctx context.Context, t *testing.T, c *collector, until func(string) bool, outputs map[string]string) {
	t.Helper()
	address := p.listens(ctx, t)
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for {
		for _, path := range []string{"/status", "/metrics", "/readyz", "/routes/there/position"} {
			outputs[path] = p.ask(ctx, t, address+path)
		}
		outputs["traces"], outputs["metrics"] = c.taken("/v1/traces"), c.taken("/v1/metrics")
		if until(outputs["/status"]) && outputs["metrics"] != "" {
			unpack(t, p.ask(ctx, t, address+"/debug/bundle"), outputs)
			return
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			t.Fatalf("never there: %q", outputs)
		}
	}
}

// ask returns what the admin listener answers to whoever has the token.
func (p *process) ask(ctx context.Context, t *testing.T, url string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer CANARY-token")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatalf("%v\n%s", err, &p.out)
	}
	body, err := io.ReadAll(answer.Body)
	if err := answer.Body.Close(); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// unpack adds the files of a bundle.
func unpack(t *testing.T, archive string, outputs map[string]string) {
	t.Helper()
	gz, err := gzip.NewReader(strings.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	for files := tar.NewReader(gz); ; {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(files)
		if err != nil {
			t.Fatal(err)
		}
		outputs[h.Name] = string(text)
	}
}

// listens returns the address of the admin listener, which the log tells in either format.
func (p *process) listens(ctx context.Context, t *testing.T) string {
	t.Helper()
	_, after, _ := strings.Cut(p.out.await(ctx, t, "address"), "http://127.0.0.1:")
	port := after[:strings.IndexFunc(after, func(r rune) bool { return r < '0' || r > '9' })]
	return "http://" + net.JoinHostPort("127.0.0.1", port)
}
