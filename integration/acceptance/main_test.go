//go:build integration

package acceptance

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/sluice-bridge/sluice/integration/brokers"
	"github.com/sluice-bridge/sluice/integration/daemon"
	"github.com/sluice-bridge/sluice/integration/truth"
)

// suite is what the tests share.
var suite struct {
	pair   *brokers.Pair
	sluice *daemon.Program
	scale  float64
	table  []string // rows of the table that the last lines show
}

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	suite.scale = 0.05
	if s := os.Getenv("SLUICE_SCALE"); s != "" {
		var err error
		if suite.scale, err = strconv.ParseFloat(s, 64); err != nil || suite.scale <= 0 || suite.scale > 1 {
			fmt.Printf("SLUICE_SCALE=%q: want a number above 0 and at most 1\n", s)
			return 2
		}
	}
	dir, err := os.MkdirTemp("", "sluice-acceptance-")
	if err != nil {
		fmt.Println(err)
		return 2
	}
	defer os.RemoveAll(dir)
	if suite.sluice, err = daemon.Build(context.Background(), dir); err != nil {
		fmt.Println(err)
		return 2
	}
	suite.pair = brokers.StartPair(dir)
	defer suite.pair.Stop()
	code := m.Run()
	for _, row := range suite.table {
		fmt.Println(row)
	}
	fmt.Printf("acceptance at scale %g: %s\n", suite.scale, suite.pair.Line())
	return code
}

// row adds a line to the table of figures. The findings of a report stand with their test.
func row(format string, args ...any) {
	line, _, _ := strings.Cut(fmt.Sprintf(format, args...), "\n")
	suite.table = append(suite.table, line)
}

// messages scales a number of messages, to at least least.
func messages(full, least int64) int64 { return max(least, int64(float64(full)*suite.scale)) }

// whole reports whether the suite runs at full size: on a machine that does nothing else, so that a bound of
// time says something of Sluice. Below, such bounds are for what hangs.
func whole() bool { return suite.scale == 1 }

// seconds scales a time, to at least least seconds.
func seconds(full, least float64) time.Duration {
	return time.Duration(max(least, full*suite.scale) * float64(time.Second))
}

// scene is a topic and a stream of a test's own.
type scene struct {
	*testing.T
	ctx    context.Context
	name   string // lower case, unique among the tests
	topic  truth.Topic
	stream truth.Stream
	load   *truth.Load
	daemon *daemon.Daemon // that start started last
}

// newScene makes names and a context; nothing is created at the brokers.
func newScene(t *testing.T, patience time.Duration) *scene {
	t.Helper()
	suite.pair.Need(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	t.Cleanup(func() {
		if err := suite.pair.Heal(context.WithoutCancel(ctx)); err != nil {
			t.Error(err)
		}
	})
	name := strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(t.Name()))
	return &scene{
		T: t, ctx: ctx, name: name,
		topic:  truth.Topic{Addr: suite.pair.Kafka.Addr, Name: name},
		stream: truth.Stream{URL: suite.pair.NATS.URL, Name: strings.ToUpper(name)},
		load:   &truth.Load{Run: name, Size: 1024, Subjects: 64},
	}
}

// create creates the topic with 4 partitions and the stream for "<name>.>". They go when the test ends.
func (s *scene) create(change func(*jetstream.StreamConfig)) {
	s.Helper()
	s.must(s.topic.Create(s.ctx, 4, nil))
	s.Cleanup(func() { _ = s.topic.Delete(context.WithoutCancel(s.ctx)) })
	s.createStream(change)
}

func (s *scene) createStream(change func(*jetstream.StreamConfig)) {
	s.Helper()
	s.must(s.stream.Create(s.ctx, change, s.name+".>"))
	s.Cleanup(func() { _ = s.stream.Delete(context.WithoutCancel(s.ctx)) })
}

// start starts a daemon, without which nothing arrives any more.
func (s *scene) start(yaml string, env ...string) *daemon.Daemon {
	s.Helper()
	s.daemon = suite.sluice.Start(s.T, yaml, env...)
	return s.daemon
}

func (s *scene) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// toStream is the configuration of a route from the topic to the stream. extra stands in the route.
func (s *scene) toStream(extra string) string {
	return fmt.Sprintf(`
routes:
  %[1]s:
    source: {kafka: {brokers: ["%[2]s"], topics: "%[3]s"}}
    map: {subject: "%[1]s.{{ partition }}"}
    sink: {jetstream: {servers: ["%[4]s"], stream: "%[5]s"}}
%[6]s`, s.name, s.topic.Addr, s.topic.Name, s.stream.URL, s.stream.Name, extra)
}

// toTopic is the configuration of a route from the stream to the topic. source stands in the source's
// section, extra in the route.
func (s *scene) toTopic(source, extra string) string {
	return fmt.Sprintf(`
routes:
  %[1]s:
    source: {jetstream: {servers: ["%[2]s"], stream: "%[3]s"%[6]s}}
    sink: {kafka: {brokers: ["%[4]s"], topic: "%[5]s"}}
%[7]s`, s.name, s.stream.URL, s.stream.Name, s.topic.Addr, s.topic.Name, source, extra)
}

// arrive waits until count says n, failing when it has not grown for patience.
func (s *scene) arrive(what string, count func(context.Context) (int64, error), n int64, patience time.Duration) {
	s.Helper()
	var have int64
	grown := time.Now()
	for {
		now, err := count(s.ctx)
		if err == nil && now >= n {
			return
		}
		if err == nil && now > have {
			have, grown = now, time.Now()
		}
		if time.Since(grown) > patience || s.ctx.Err() != nil {
			s.Fatalf("%s has %d of %d messages and has not grown for %v (%v)", what, have, n, time.Since(grown).Round(time.Second), err)
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-s.ctx.Done():
		case <-s.daemon.Exited():
			s.Fatalf("%s has %d of %d messages and sluice has ended with %d", what, have, n, s.daemon.ExitCode())
		}
	}
}

func (s *scene) inStream(n int64, patience time.Duration) {
	s.Helper()
	s.arrive("the stream", s.stream.Count, n, patience)
}

func (s *scene) inTopic(n int64, patience time.Duration) {
	s.Helper()
	s.arrive("the topic", s.topicCount, n, patience)
}

func (s *scene) topicCount(ctx context.Context) (int64, error) {
	n, _, err := s.topic.Count(ctx)
	return n, err
}

// end ends the daemon softly and wants exit code 0.
func (s *scene) end(d *daemon.Daemon) {
	s.Helper()
	s.must(d.Signal(terminate))
	select {
	case <-d.Exited():
	case <-time.After(40 * time.Second):
		s.Fatal("sluice did not end within 40 s of SIGTERM")
	}
	if code := d.ExitCode(); code != 0 {
		s.Fatalf("exit code %d after SIGTERM, want 0", code)
	}
}

// compareToStream compares the topic, the source, with the stream.
func (s *scene) compareToStream() *truth.Report {
	s.Helper()
	return s.compare(s.topic.Log, s.stream.Log, truth.Key, truth.Value, truth.Exact, truth.Time)
}

// compareToTopic compares the stream, the source, with the topic. The order of headers across names is
// nothing that a stream has.
func (s *scene) compareToTopic() *truth.Report {
	s.Helper()
	return s.compare(s.stream.Log, s.topic.Log, truth.Key, truth.Value, truth.Grouped, truth.Time)
}

func (s *scene) compare(source, sink func(context.Context, string) ([]truth.Entry, error), fields ...truth.Field) *truth.Report {
	s.Helper()
	want, err := source(s.ctx, s.load.Run)
	s.must(err)
	got, err := sink(s.ctx, s.load.Run)
	s.must(err)
	report, err := truth.Compare(want, got, fields...)
	s.must(err)
	return report
}

// clean wants nothing lost, doubled, reordered, altered or invented.
func (s *scene) clean(r *truth.Report) {
	s.Helper()
	s.Log(r)
	if !r.Clean() {
		s.Errorf("the sink is not what the source was")
	}
}

// whole wants nothing lost, reordered, altered or invented, and at most so many doubled.
func (s *scene) whole(r *truth.Report, doubled int64) {
	s.Helper()
	s.Log(r)
	if !r.Whole() || r.Doubled > doubled {
		s.Errorf("want nothing but at most %d doubled", doubled)
	}
}

// background runs do and returns how to wait for it.
func (s *scene) background(do func(context.Context) error) (wait func()) {
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(s.ctx)
	s.Cleanup(cancel)
	go func() { done <- do(ctx) }()
	return func() {
		s.Helper()
		s.must(<-done)
	}
}

// sleep lets time pass: for what is to last a given time, such as a freeze.
func (s *scene) sleep(d time.Duration) {
	s.Helper()
	select {
	case <-time.After(d):
	case <-s.ctx.Done():
		s.Fatal(s.ctx.Err())
	}
}
