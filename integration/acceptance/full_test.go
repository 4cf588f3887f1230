//go:build integration

package acceptance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/sluice-bridge/sluice/integration/brokers"
	"github.com/sluice-bridge/sluice/integration/daemon"
	"github.com/sluice-bridge/sluice/integration/truth"
)

// disk is a small file system of a test's own.
type disk struct {
	s   *scene
	dir string
}

func newDisk(s *scene, mib int) *disk {
	s.Helper()
	d := &disk{s, s.TempDir()}
	err := syscall.Mount("tmpfs", d.dir, "tmpfs", 0, fmt.Sprintf("size=%dm", mib))
	if errors.Is(err, syscall.EPERM) {
		s.Skip("only root may make a disk that is small")
	}
	s.must(err)
	s.Cleanup(func() { s.must(syscall.Unmount(d.dir, syscall.MNT_DETACH)) })
	return d
}

func (d *disk) filler() string { return filepath.Join(d.dir, "filler") }

// fill leaves so many bytes of the disk free.
func (d *disk) fill(spare int64) {
	d.s.Helper()
	f, err := os.Create(d.filler())
	d.s.must(err)
	defer f.Close()
	n, err := io.Copy(f, zeros{})
	if !errors.Is(err, syscall.ENOSPC) {
		d.s.Fatalf("the disk is not full: %v", err)
	}
	d.s.must(f.Truncate(max(0, n-spare)))
}

// free gives the disk room again. It has to have been full.
func (d *disk) free() {
	d.s.Helper()
	var now syscall.Statfs_t
	d.s.must(syscall.Statfs(d.dir, &now))
	if left := int64(now.Bavail) * now.Bsize; left > 1<<20 {
		d.s.Errorf("the disk was not full: %d bytes are left", left)
	}
	d.s.must(os.Remove(d.filler()))
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// startNATSOn starts a nats-server of the test's own with its data on a disk.
func (s *scene) startNATSOn(dir, maxFile string) *brokers.NATS {
	s.Helper()
	ports, err := brokers.FreePorts(1)
	s.must(err)
	home := s.TempDir()
	n := &brokers.NATS{Name: "full", URL: fmt.Sprintf("nats://127.0.0.1:%d", ports[0])}
	n.Process = &brokers.Process{
		Name: "nats-server", Path: suite.pair.NATS.Process.Path, Dir: home, Log: filepath.Join(home, "nats.log"), Args: []string{"-c", "nats.conf"},
	}
	s.must(os.WriteFile(filepath.Join(home, "nats.conf"), fmt.Appendf(nil,
		"listen: \"127.0.0.1:%d\"\nserver_name: full\njetstream: {store_dir: \"%s\", max_mem: 1GB, max_file: %s}\n", ports[0], dir, maxFile), 0o600))
	s.must(n.Process.Start())
	s.Cleanup(func() { _ = n.Process.Kill() })
	s.must(n.Ready(s.ctx))
	return n
}

// atRest waits until the route holds what it can and says why it does not go on, looks for a while
// whether that stays so, and returns how many messages the sink has.
func (s *scene) atRest(d *daemon.Daemon, count func(context.Context) (int64, error), says func(*daemon.Route) bool) int64 {
	s.Helper()
	first := d.Until(s.ctx, s.T, "at rest", says)
	before, _ := count(s.ctx) // the sink may be away
	s.sleep(3 * time.Second)
	r, err := d.Status(s.ctx)
	s.must(err)
	if code, _, err := d.Get(s.ctx, "/livez"); err != nil || code != 200 {
		s.Errorf("/livez: %d, %v", code, err)
	}
	if r.Window.Messages > r.Window.MessagesLimit || r.Window.Bytes > r.Window.BytesLimit || r.Counts.DeadLettered+r.Counts.Dropped > 0 {
		s.Errorf("it does more than to wait: %+v", r)
	}
	if after, err := count(s.ctx); err == nil && after != before {
		s.Errorf("the sink had %d messages and has %d", before, after)
	}
	s.Logf("at rest: %s, %s %s; %s", first.State, first.Cause, first.Blocker, first.Detail)
	return before
}

func stalled(r *daemon.Route) bool { return r.State == "stalled" }

// held reports that what is in flight was refused for such a reason.
func held(reason string) func(*daemon.Route) bool {
	return func(r *daemon.Route) bool {
		for _, lane := range r.InFlight {
			if r.State == "stalled" && strings.Contains(lane.Error, reason) {
				return true
			}
		}
		return false
	}
}

// A nats-server that cannot write answers nothing. It has to be started again when its disk has room; the
// route does not.
func TestNATSDiskFull(t *testing.T) {
	suite.pair.NeedControl(t)
	s := newScene(t, 3*time.Minute)
	full := newDisk(s, 64)
	server := s.startNATSOn(full.dir, "1GB")
	s.stream.URL = server.URL
	s.create(nil)
	n := messages(100_000, 20_000)
	s.must(s.topic.Write(s.ctx, s.load, 0, n, 0))
	full.fill(4 << 20)
	d := s.start(s.toStream(""))
	have := s.atRest(d, s.stream.Count, stalled)
	full.free()
	s.must(server.Process.Kill())
	begin := time.Now()
	s.must(server.Restart(s.ctx))
	s.arriveAll(d, n)
	took := time.Since(begin)
	s.end(d)
	r := s.compareToStream()
	s.whole(r, window)
	row("nats-server's disk full at %d of %d messages, all through %v after its restart: %v", have, n, took.Round(100*time.Millisecond), r)
}

// What nats-server's limits refuse waits with the server's reason, and goes on by itself when there is room:
// the limit of the stream is raised, or another stream of the same store is purged.
func TestNATSQuota(t *testing.T) {
	suite.pair.NeedControl(t)
	const limit = 8 << 20
	for name, tt := range map[string]struct {
		limit func(*jetstream.StreamConfig)
		other int64 // bytes that another stream takes of the store's 32 MB
		says  string
		frees func(s *scene, other truth.Stream)
	}{
		"stream": {
			limit: func(c *jetstream.StreamConfig) { c.MaxBytes, c.Discard = limit, jetstream.DiscardNew },
			says:  "maximum bytes exceeded",
			frees: func(s *scene, _ truth.Stream) {
				s.must(s.stream.Update(s.ctx, func(c *jetstream.StreamConfig) { c.MaxBytes = -1 }))
			},
		},
		"store": {
			other: 24 << 20,
			says:  "resource",
			frees: func(s *scene, other truth.Stream) { s.must(other.Delete(s.ctx)) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, 2*time.Minute)
			server := s.startNATSOn(s.TempDir(), "32MB")
			s.stream.URL = server.URL
			s.create(tt.limit)
			other := truth.Stream{URL: server.URL, Name: "OTHER"}
			s.must(other.Create(s.ctx, nil, "other.>"))
			s.must(other.Write(s.ctx, s.load, "other", 0, tt.other/1200, 0))
			const n = 15_000 // 18 MB
			s.must(s.topic.Write(s.ctx, s.load, 0, n, 0))
			d := s.start(s.toStream("    retry: {max: 1s}\n"))
			have := s.atRest(d, s.stream.Count, held(tt.says))
			begin := time.Now()
			tt.frees(s, other)
			s.arriveAll(d, n)
			took := time.Since(begin)
			s.end(d)
			// A smaller message has a place where the one before it had none, and comes again behind it.
			r := s.compareToStream()
			s.Log(r)
			if r.Lost+r.Phantom+r.Altered > 0 || r.Doubled > window {
				t.Errorf("want nothing but doubled ones: %v", r)
			}
			row("the limit of nats-server's %s reached at %d of %d messages, all through %v after there was room: %v", name, have, n, took.Round(100*time.Millisecond), r)
		})
	}
}

// A broker whose disk is full ends. It has to be started again when its disk has room; the route does not.
func TestKafkaDiskFull(t *testing.T) {
	suite.pair.NeedControl(t)
	s := newScene(t, 4*time.Minute)
	full := newDisk(s, 256)
	home, data := s.TempDir(), filepath.Join(full.dir, "data")
	s.must(os.Mkdir(data, 0o755))
	s.must(os.Symlink(data, filepath.Join(home, "data")))
	kafka, err := brokers.StartKafka(s.ctx, home)
	s.must(err)
	s.Cleanup(func() { _ = kafka.Process.Kill() })
	s.topic.Addr = kafka.Addr
	s.create(nil)
	n := messages(100_000, 20_000)
	s.must(s.stream.Write(s.ctx, s.load, s.name, 0, n, 0))
	full.fill(4 << 20)
	d := s.start(s.toTopic("", ""))
	s.atRest(d, s.topicCount, func(r *daemon.Route) bool { return !r.SinkConnected && r.Detail != "" })
	full.free()
	s.must(kafka.Process.Kill()) // it is about to end, if it has not
	begin := time.Now()
	s.must(kafka.Restart(s.ctx))
	s.inTopic(n, time.Minute)
	d.Until(s.ctx, t, "everything committed", func(r *daemon.Route) bool { return r.Window.Messages == 0 && r.LagKnown && r.Lag == 0 })
	took := time.Since(begin)
	s.end(d)
	r := s.compareToTopic()
	s.whole(r, window)
	row("Kafka's disk full, all of %d messages through %v after its restart: %v", n, took.Round(100*time.Millisecond), r)
}

// Where dead letters have no room, what was refused holds its lane; it is neither dropped nor skipped.
func TestDeadLettersFull(t *testing.T) {
	s := newScene(t, 2*time.Minute)
	s.create(func(c *jetstream.StreamConfig) { c.MaxMsgSize = 600 })
	dead := truth.Stream{URL: s.stream.URL, Name: s.stream.Name + "-DEAD"}
	s.must(dead.Create(s.ctx, func(c *jetstream.StreamConfig) { c.MaxMsgs, c.Discard = 100, jetstream.DiscardNew }, "dead-"+s.name+".>"))
	s.Cleanup(func() { _ = dead.Delete(context.WithoutCancel(s.ctx)) })
	const n = 1000
	s.load.Size = 1024 // refused, but for the empty ones
	s.must(s.topic.Write(s.ctx, s.load, 0, n, 0))
	d := s.start(s.toStream(fmt.Sprintf(`    retry: {max: 1s}
    on_reject: dead_letter
    dead_letter: {sink: {jetstream: {servers: ["%s"], stream: "%s"}}, map: {subject: "dead-%s.{{ partition }}"}}
`, s.stream.URL, dead.Name, s.name)))
	s.arrive("the dead letters", dead.Count, 100, time.Minute)
	status := d.Until(s.ctx, t, "held by its dead letters", func(r *daemon.Route) bool { return r.Blocker == "sink.dead_letter" })
	s.sleep(3 * time.Second)
	if have, err := dead.Count(s.ctx); err != nil || have != 100 {
		t.Errorf("%d dead letters, %v", have, err)
	}
	begin := time.Now()
	s.must(dead.Update(s.ctx, func(c *jetstream.StreamConfig) { c.MaxMsgs = -1 }))
	d.Until(s.ctx, t, "done", func(r *daemon.Route) bool { return r.Window.Messages == 0 && r.LagKnown && r.Lag == 0 })
	took := time.Since(begin)
	s.end(d)
	stored, letters := s.ofStream(s.stream.Name), s.ofStream(dead.Name)
	for origin := range letters {
		if stored[origin] != "" {
			t.Errorf("%s is stored and a dead letter", origin)
		}
	}
	if len(stored)+len(letters) != n {
		t.Errorf("%d stored and %d dead letters of %d", len(stored), len(letters), n)
	}
	row("dead letters full at 100 (%s), the other %d through %v after there was room; none lost or doubled", status.Blocker, len(letters)-100, took.Round(100*time.Millisecond))
}
