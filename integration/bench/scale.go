package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-bridge/sluice/integration/bench/load"
	"github.com/sluice-bridge/sluice/integration/daemon"
	"github.com/sluice-bridge/sluice/integration/truth"
)

const (
	// calm is how long a process is left alone before it is measured, and watch how long it is measured.
	calm, watch = 5 * time.Second, 20 * time.Second
	// hotLanes are partitions that get a load, each of hotMessages.
	hotLanes, hotMessages = 64, 10_000
	scaleStream           = "SCALE"
)

// crowd is one line of the table of scale: so many routes Kafka -> JetStream of so many partitions each,
// and so many routes the other way.
type crowd struct{ routes, partitions, back int }

func crowds(short bool) []crowd {
	all := []crowd{
		{routes: 1, partitions: 1}, {routes: 5, partitions: 4, back: 5},
		{routes: 10, partitions: 10}, {routes: 50, partitions: 10}, {routes: 100, partitions: 10}, {routes: 200, partitions: 10},
		{routes: 1, partitions: 10}, {routes: 1, partitions: 100}, {routes: 1, partitions: 1000}, {routes: 1, partitions: 2000},
	}
	if short {
		return all[:3]
	}
	return all
}

// idle is what a process is while nothing moves.
type idle struct {
	resident, peak int64
	own            int64   // of what is resident
	cpu            float64 // share of a core
	goroutines     int
	ready          time.Duration // from the start until every end was connected
}

// scale measures what routes and partitions cost while they are idle, and what 64 hot lanes move in a
// process of 200 routes.
func (b *bench) scale(ctx context.Context) error {
	var t strings.Builder
	t.WriteString("**Scale in one process**, idle for 5 s, then watched for 20 s; B6 is the second line (4 partitions, 5 routes each way). " +
		"Own is what is resident without the program's file; each: what a route, or else a partition, costs more than the first line's\n\n" +
		"| routes | partitions | connected after | resident (peak) MiB | own MiB | goroutines | % of a core | each: own KiB | goroutines | % of a core |\n" +
		"|---|---|---|---|---|---|---|---|---|---|\n")
	var first *idle
	var hot string
	for _, c := range crowds(b.short) {
		s, err := b.gather(ctx, c)
		if err != nil {
			return err
		}
		d, i, err := b.measureIdle(ctx, c, s)
		if err != nil {
			return fmt.Errorf("%+v: %w", c, err)
		}
		b.say("%+v: %+v", c, i)
		if first == nil {
			first = i
		}
		fmt.Fprintf(&t, "| %d | %d | %.1f s | %d (%d) | %.1f | %d | %.2f | %s |\n",
			c.routes+c.back, c.routes*c.partitions+c.back, i.ready.Seconds(), i.resident>>20, i.peak>>20,
			float64(i.own)/(1<<20), i.goroutines, 100*i.cpu, i.each(first, c))
		if c.routes == 200 {
			hot, err = b.measureHot(ctx, d, c, s)
		}
		_ = d.Stop(time.Minute)
		if err := s.remove(ctx); err != nil {
			return err
		}
		if err != nil {
			return err
		}
	}
	fmt.Fprintln(b.out, t.String())
	fmt.Fprintln(b.out, hot)
	return nil
}

// each says what a route costs, or a partition where there is one route, by what i has more than the first
// crowd, which is one of each.
func (i *idle) each(first *idle, c crowd) string {
	n := float64(c.routes + c.back - 1)
	if n == 0 {
		n = float64(c.partitions - 1)
	}
	if n == 0 {
		return "– | – | –"
	}
	return fmt.Sprintf("%.1f | %.2f | %.4f", float64(i.own-first.own)/1024/n, float64(i.goroutines-first.goroutines)/n, 100*(i.cpu-first.cpu)/n)
}

// gathering is where a crowd reads and writes.
type gathering struct {
	b      *bench
	topics []string
	back   []string // topics written to
	config string
}

// gather makes the topics and streams of a crowd and the configuration for them.
func (b *bench) gather(ctx context.Context, c crowd) (*gathering, error) {
	b.trials++
	g := &gathering{b: b}
	var text strings.Builder
	text.WriteString("routes:\n")
	var subjects []string
	for i := range c.routes {
		topic := fmt.Sprintf("crowd-%d-%d", b.trials, i)
		if err := (truth.Topic{Addr: b.kafka.Addr, Name: topic}).Create(ctx, int32(c.partitions), nil); err != nil {
			return g, err
		}
		g.topics = append(g.topics, topic)
		subjects = append(subjects, topic)
		fmt.Fprintf(&text, "  %s: {from: \"kafka://%s/%s\", to: \"jetstream://%s/%s\"}\n", topic, b.kafka.Addr, topic, b.address(), scaleStream)
	}
	_, err := b.js.CreateStream(ctx, jetstream.StreamConfig{Name: scaleStream, Subjects: subjects, Storage: jetstream.FileStorage})
	if err != nil {
		return g, err
	}
	for i := range c.back {
		topic := fmt.Sprintf("back-%d-%d", b.trials, i)
		if err := (truth.Topic{Addr: b.kafka.Addr, Name: topic}).Create(ctx, load.Partitions, nil); err != nil {
			return g, err
		}
		g.back = append(g.back, topic)
		if _, err := b.js.CreateStream(ctx, jetstream.StreamConfig{Name: topic, Subjects: []string{topic}, Storage: jetstream.FileStorage}); err != nil {
			return g, err
		}
		fmt.Fprintf(&text, "  %s: {from: \"jetstream://%s/%s\", to: \"kafka://%s/%s\"}\n", topic, b.address(), topic, b.kafka.Addr, topic)
	}
	g.config = filepath.Join(b.dir, fmt.Sprintf("crowd%d.yaml", b.trials))
	return g, os.WriteFile(g.config, []byte(text.String()), 0o600)
}

func (g *gathering) remove(ctx context.Context) error {
	if err := g.b.js.DeleteStream(ctx, scaleStream); err != nil {
		return err
	}
	for _, topic := range g.back {
		if err := g.b.js.DeleteStream(ctx, topic); err != nil {
			return err
		}
	}
	_, err := g.b.admin.DeleteTopics(ctx, append(g.topics, g.back...)...)
	return err
}

func (b *bench) measureIdle(ctx context.Context, c crowd, g *gathering) (*daemon.Daemon, *idle, error) {
	began := time.Now()
	d, err := (&daemon.Program{Path: b.programs.sluice}).Launch(g.config+".log", []string{"run", "-c", g.config})
	if err != nil {
		return d, nil, err
	}
	i := &idle{}
	for connected := false; !connected; {
		if time.Since(began) > 2*time.Minute {
			return d, nil, fmt.Errorf("not all routes are connected: %s", d.Tail(20))
		}
		time.Sleep(50 * time.Millisecond)
		routes, err := d.Routes(ctx)
		connected = err == nil && len(routes) == c.routes+c.back
		for _, r := range routes {
			connected = connected && r.SourceConnected && r.SinkConnected
		}
	}
	i.ready = time.Since(began)
	time.Sleep(calm)
	before, err := d.CPU()
	if err != nil {
		return d, nil, err
	}
	time.Sleep(watch)
	after, err := d.CPU()
	if err != nil {
		return d, nil, err
	}
	i.cpu = float64(after-before) / float64(watch)
	if i.resident, i.peak, err = d.Resident(); err != nil {
		return d, nil, err
	}
	if i.own, err = d.Own(); err != nil {
		return d, nil, err
	}
	_, text, err := d.Get(ctx, "/metrics")
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, "go_goroutine_count"); ok {
			fields := strings.Fields(value)
			n, _ := strconv.ParseFloat(fields[len(fields)-1], 64)
			i.goroutines = int(n)
		}
	}
	return d, i, err
}

// measureHot loads one partition of each of 64 routes and returns what moved.
func (b *bench) measureHot(ctx context.Context, d *daemon.Daemon, c crowd, g *gathering) (string, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(b.kafka.Addr), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.MaxBufferedRecords(20_000))
	if err != nil {
		return "", err
	}
	defer client.Close()
	messages := load.New(100)
	before, err := d.CPU()
	if err != nil {
		return "", err
	}
	for n := range int64(hotLanes * hotMessages) {
		client.Produce(ctx, &kgo.Record{
			Topic: g.topics[n%hotLanes], Key: load.Key(nil, n), Value: messages.Value(n),
			Headers: []kgo.RecordHeader{{Key: load.Header, Value: load.ID(nil, n)}},
		}, nil)
	}
	if err := client.Flush(ctx); err != nil {
		return "", err
	}
	stream, err := b.js.Stream(ctx, scaleStream)
	if err != nil {
		return "", err
	}
	to := &streamSink{js: b.js, url: b.nats.URL, name: scaleStream, stream: stream}
	if _, err := await(ctx, to, hotLanes*hotMessages, furtherLooks, patience, d.Exited()); err != nil {
		return "", err
	}
	after, err := d.CPU()
	if err != nil {
		return "", err
	}
	info, err := stream.Info(ctx)
	if err != nil {
		return "", err
	}
	_, peak, err := d.Resident()
	took := info.State.LastTime.Sub(info.State.FirstTime)
	return fmt.Sprintf("Of %d routes, %d with one hot partition each: %d messages of 100 B at %s/s while they were written, %.2f µs a message, peak %d MiB\n",
		c.routes, hotLanes, hotLanes*hotMessages, thousands(float64(hotLanes*hotMessages)/took.Seconds()),
		float64((after-before).Microseconds())/(hotLanes*hotMessages), peak>>20), err
}
