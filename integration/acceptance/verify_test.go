//go:build integration

package acceptance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-bridge/sluice/cmd/verify"
	"github.com/sluice-bridge/sluice/integration/brokers"
)

// tampering is what is done to one message among many, and how it has to be called.
type tampering struct {
	name string
	sink string // what whoever fills the sink does to the message: drop, double, swap or alter
	// source is what the source has that the sink's writer does not know of: alter or add; or abort, what it
	// has not.
	source string
	want   verify.Kind // empty: the ends are equal
}

func tamperings() []tampering {
	return []tampering{
		{name: "nothing"},
		{name: "dropped", sink: "drop", want: verify.Lost},
		{name: "doubled", sink: "double", want: verify.Doubled},
		{name: "swapped", sink: "swap", want: verify.Reordered},
		{name: "altered", sink: "alter", want: verify.Altered},
		{name: "altered at the source", source: "alter", want: verify.Altered},
		{name: "added at the source", source: "add", want: verify.Lost},
	}
}

// extra is the id of the message that is added at the source: of no message of the load.
const extra = int64(1) << 40

// `sluice verify` finds one message that was dropped, doubled, swapped or altered among a million, at
// either end, names its positions, and nothing else. Both ends are filled by clients that are not ours.
func TestVerifyFindsOneInAStream(t *testing.T) {
	verifyEach(t, way{
		create: func(s *scene) { s.create(nil) },
		fill:   (*scene).fillTopic, carry: (*scene).copyToStream, sink: (*scene).writeStream,
		config: func(s *scene) string { return s.toStream("") },
	}, tampering{name: "aborted at the source", source: "abort", want: verify.Phantom})
}

func TestVerifyFindsOneInATopic(t *testing.T) {
	verifyEach(t, way{
		create: func(s *scene) { s.load.Plain = true; s.create(nil) },
		fill:   (*scene).fillStream, carry: (*scene).copyToTopic, sink: (*scene).writeTopic,
		config: func(s *scene) string { return s.toTopic("", "") },
	})
}

// way is how one way of moving messages is set up and filled.
type way struct {
	create func(*scene)
	fill   func(*scene, tampering, int64) *carried // the source; returns a message that was taken back there
	carry  func(*scene, func(carried) error)       // reads the source
	sink   func(*scene, *sinkWriter) (done func()) // sets write; done waits until all is stored
	config func(*scene) string
}

func verifyEach(t *testing.T, d way, more ...tampering) {
	for _, c := range append(tamperings(), more...) {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			s := newScene(t, 30*time.Minute)
			s.load.Size = 100
			n := int64(1_000_000)
			if suite.scale < 1 { // whether one is found does not depend on how many there are
				n = messages(200_000, 5_000)
			}
			d.create(s)
			w := &sinkWriter{s: s, c: c, at: middle(n), ghost: d.fill(s, c, n)}
			done := d.sink(s, w)
			d.carry(s, w.take)
			done()
			r, took, peak, code := s.verify(d.config(s))
			row("verify %s: %d messages at the source, %d at the sink, %.1f s, peak %d MiB: %s",
				t.Name(), r.SourceMessages, r.SinkMessages, took.Seconds(), peak>>20, r.Verdict())
			s.judge(c, r, code, w)
			if limit := int64(200 << 20); peak > limit {
				t.Errorf("peak memory %d MiB, want at most %d", peak>>20, limit>>20)
			}
		})
	}
}

// judge wants the one finding and no other.
func (s *scene) judge(c tampering, r *verify.Report, code int, w *sinkWriter) {
	s.Helper()
	if c.want == "" {
		if code != 0 || !r.Equal || r.SourceMessages != r.SinkMessages || r.SourceMessages == 0 {
			s.Errorf("exit code %d, %s", code, r.Verdict())
		}
		return
	}
	if code != 1 || len(r.Counts) != 1 || r.Counts[c.want] != 1 || len(r.Findings) != 1 {
		s.Fatalf("exit code %d, %v; want one %s", code, r.Counts, c.want)
	}
	f := r.Findings[0]
	if f.Source != w.place || (c.want != verify.Lost) != (f.Sink.Partition != "") {
		s.Errorf("%s; want it at %s", f.String(), w.place)
	}
	if c.want == verify.Altered && !slices.Equal(f.Fields, []string{"value"}) {
		s.Errorf("altered in %v", f.Fields)
	}
}

// verify runs the command and returns its report, how long it took and how much memory.
func (s *scene) verify(config string) (r *verify.Report, took time.Duration, peak int64, code int) {
	s.Helper()
	file := filepath.Join(s.TempDir(), "sluice.yaml")
	s.must(os.WriteFile(file, []byte(config), 0o600))
	command := exec.CommandContext(s.ctx, suite.sluice.Path, "verify", s.name, "-c", file, "--json")
	var out, complaints bytes.Buffer
	command.Stdout, command.Stderr = &out, &complaints
	begin := time.Now()
	s.must(command.Start())
	ended, polled := make(chan struct{}), make(chan struct{})
	go func() { // Rusage does not do: a new process begins with the peak of the one that started it
		defer close(polled)
		for {
			if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", command.Process.Pid)); err == nil {
				_, most := brokers.ResidentOf(text)
				peak = max(peak, most)
			}
			select {
			case <-ended:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	}()
	err := command.Wait()
	took = time.Since(begin)
	close(ended)
	<-polled
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.Fatal(err)
	}
	r = &verify.Report{}
	if err := json.Unmarshal(out.Bytes(), r); err != nil {
		s.Fatalf("%v in %q: %s", err, out.String(), complaints.String())
	}
	return r, took, peak, command.ProcessState.ExitCode()
}

// A route that runs can be verified: what is committed is at the sink, and what is on its way is not
// compared.
func TestVerifyBesideARunningRoute(t *testing.T) {
	for name, toStream := range map[string]bool{"stream": true, "topic": false} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, 5*time.Minute)
			s.load.Size, s.load.Plain = 100, !toStream
			s.create(nil)
			config := s.toTopic("", "")
			write := func(ctx context.Context) error { return s.stream.Write(ctx, s.load, s.name, 0, 1<<40, 3000) }
			arrived := s.inTopic
			if toStream {
				config = s.toStream("")
				write = func(ctx context.Context) error { return s.topic.Write(ctx, s.load, 0, 1<<40, 3000) }
				arrived = s.inStream
			}
			d := s.start(config)
			loading, stop := context.WithCancel(s.ctx)
			defer stop()
			done := make(chan error, 1)
			go func() { done <- write(loading) }()
			for i := range int64(3) {
				arrived(3000*(i+1), time.Minute)
				r, took, _, code := s.verify(config)
				t.Logf("%d messages compared in %v: %s", r.SourceMessages, took.Round(time.Millisecond), r.Verdict())
				if code != 0 || r.SourceMessages == 0 {
					t.Errorf("exit code %d of %d messages: %v", code, r.SourceMessages, r.Findings)
				}
			}
			stop()
			if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			s.end(d)
			if r, _, _, code := s.verify(config); code != 0 || r.SourceMessages != r.SinkMessages {
				t.Errorf("at the end: exit code %d, %d at the source, %d at the sink: %v", code, r.SourceMessages, r.SinkMessages, r.Findings)
			}
		})
	}
}
