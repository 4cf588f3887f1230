package daemon

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-bridge/sluice/integration/brokers"
)

// Program is a built sluice.
type Program struct{ Path string }

// Build compiles cmd/sluice into dir.
func Build(ctx context.Context, dir string) (*Program, error) {
	p := &Program{Path: filepath.Join(dir, "sluice")}
	return p, brokers.Build(ctx, "github.com/sluice-bridge/sluice/cmd/sluice", p.Path)
}

// Daemon is one process of the program. When the test ends it is killed, and its log is shown if the
// test failed.
type Daemon struct {
	*brokers.Process
	Admin string // http://host:port
}

// Start runs the configuration, given as YAML, with its admin listener on a free port.
func (p *Program) Start(t testing.TB, yaml string, env ...string) *Daemon {
	t.Helper()
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	return p.Run(t, []string{"run", "-c", file}, env...)
}

// Run runs the program with arguments of the test's choice, to which Launch adds some, until the test
// ends.
func (p *Program) Run(t testing.TB, args []string, env ...string) *Daemon {
	t.Helper()
	d, err := p.Launch(filepath.Join(t.TempDir(), "sluice.log"), args, env...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = d.Kill()
		if t.Failed() {
			t.Logf("log of sluice (%s):\n%s", d.Admin, d.Tail(60))
		}
	})
	return d
}

// Launch runs the program with arguments, to which it adds the admin listener's and the log level that
// SLUICE_LOG_LEVEL sets. The caller ends it.
func (p *Program) Launch(log string, args []string, env ...string) (*Daemon, error) {
	ports, err := brokers.FreePorts(1)
	if err != nil {
		return nil, err
	}
	listen := fmt.Sprintf("127.0.0.1:%d", ports[0])
	d := &Daemon{
		Admin: "http://" + listen,
		Process: &brokers.Process{
			Name: "sluice", Path: p.Path, Env: env, Log: log,
			Args: append(args[:len(args):len(args)], "--admin", listen, "--log-format", "json"),
		},
	}
	if level := os.Getenv("SLUICE_LOG_LEVEL"); level != "" {
		d.Args = append(d.Args, "--log-level", level)
	}
	return d, d.Process.Start()
}

// Again starts a program that has ended once more, with the same configuration.
func (d *Daemon) Again(t testing.TB) {
	t.Helper()
	if err := d.Process.Start(); err != nil {
		t.Fatal(err)
	}
}

// Route is what /status says of a route, as far as tests look.
type Route struct {
	Route           string
	State           string
	Since           time.Time
	Cause           string
	Blocker         string
	Detail          string
	Owner           string
	SourceConnected bool `json:"source_connected"`
	SinkConnected   bool `json:"sink_connected"`
	Ended           bool
	Window          struct {
		Messages, Bytes int64
		MessagesLimit   int64 `json:"messages_limit"`
		BytesLimit      int64 `json:"bytes_limit"`

		Uncommitted      int64
		UncommittedLimit int64 `json:"uncommitted_limit"`
	}
	InFlight []struct {
		Partition string
		Messages  int64
		Paused    bool
		Error     string
	} `json:"in_flight"`
	Halted *struct {
		Reason, Detail, Way string
		Partition           string
		Offset              int64
	}
	Gaps []struct { // the latest
		Partition string
		From, To  int64
	}
	Stalls []struct { // the latest
		Begin, End     time.Time
		Cause, Blocker string
		Partition      string
		Stalled        float64
	}
	Holder, Evidence string
	Unread           *struct {
		Age   *float64 `json:"age_seconds"`
		Loss  *float64 `json:"loss_seconds"`
		Limit string
	}
	Actions  []struct{ Who, Why, What, Before, After string }
	Lag      int64
	LagKnown bool `json:"lag_known"`
	Counts   struct {
		Fetched      int64 `json:"fetched_messages"`
		Acknowledged int64 `json:"acknowledged_messages"`
		Committed    int64 `json:"committed_messages"`
		DeadLettered int64 `json:"dead_lettered"`
		Dropped      int64
		Returned     int64
		Filtered     int64
		Stale        int64
		Retries      int64
		Crossings    int64
		Gaps         int64
		GapMessages  int64 `json:"gap_messages"`
	}
	Guarantee, Order, Memory, Backlog string
	Touches                           []string
}

// Status asks /status for the first route.
func (d *Daemon) Status(ctx context.Context) (Route, error) {
	all, err := d.Routes(ctx)
	if err != nil {
		return Route{}, err
	}
	return all[0], nil
}

// Routes asks /status for all routes.
func (d *Daemon) Routes(ctx context.Context) ([]Route, error) {
	var answer struct{ Routes []Route }
	code, body, err := d.Get(ctx, "/status")
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || code != http.StatusOK || len(answer.Routes) == 0 {
		return nil, fmt.Errorf("/status: %d %.300s (%w)", code, body, err)
	}
	return answer.Routes, nil
}

// Get asks the admin listener for a path.
func (d *Daemon) Get(ctx context.Context, path string) (code int, body string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, d.Admin+path, nil)
	if err != nil {
		return 0, "", err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	var text strings.Builder
	_, err = bufio.NewReader(answer.Body).WriteTo(&text)
	return answer.StatusCode, text.String(), err
}

// Until waits until the first route's status satisfies ok, and returns it.
func (d *Daemon) Until(ctx context.Context, t testing.TB, what string, ok func(*Route) bool) Route {
	t.Helper()
	var last Route
	var err error
	for {
		if last, err = d.Status(ctx); err == nil && ok(&last) {
			return last
		}
		select {
		case <-ctx.Done():
			t.Fatalf("never %s; last status %+v (%v)", what, last, err)
		case <-d.Exited():
			t.Fatalf("never %s: sluice ended with %d", what, d.ExitCode())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Line is one line of the JSON log.
type Line map[string]any

func (l Line) text(key string) string { s, _ := l[key].(string); return s }

// Message is the line's text.
func (l Line) Message() string { return l.text("message") }

// Level is the line's level.
func (l Line) Level() string { return l.text("level") }

// Lines returns the log so far. A line that is not JSON has only a message.
func (d *Daemon) Lines() ([]Line, error) {
	text, err := os.ReadFile(d.Log)
	if err != nil {
		return nil, err
	}
	var lines []Line
	for raw := range strings.Lines(string(text)) {
		l := Line{}
		if json.Unmarshal([]byte(raw), &l) != nil {
			l = Line{"message": strings.TrimSpace(raw)}
		}
		lines = append(lines, l)
	}
	return lines, nil
}

// Watch samples the process and its first route until stop is called, about every 100 ms.
type Watch struct {
	MaxMessages, MaxBytes int64          // in flight
	MaxResident           int64          // bytes
	States                map[string]int // samples in each state
	MaxPause              time.Duration  // the longest time without a message acknowledged
	Blockers              map[string]int // samples
	mu                    sync.Mutex     // guards the above while sampling
	stop                  func()         // ends it
	done                  chan struct{}  // closed when it has ended
}

// Watch starts sampling.
func (d *Daemon) Watch(ctx context.Context) *Watch {
	ctx, cancel := context.WithCancel(ctx)
	w := &Watch{States: map[string]int{}, Blockers: map[string]int{}, stop: cancel, done: make(chan struct{})}
	go func() {
		defer close(w.done)
		last, acked := time.Now(), int64(-1)
		for {
			if s, err := d.Status(ctx); err == nil {
				now, _, _ := d.Resident()
				if s.Counts.Acknowledged != acked {
					last, acked = time.Now(), s.Counts.Acknowledged
				}
				w.take(&s, now, time.Since(last))
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	}()
	return w
}

func (w *Watch) take(s *Route, resident int64, paused time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.MaxMessages = max(w.MaxMessages, s.Window.Messages)
	w.MaxBytes = max(w.MaxBytes, s.Window.Bytes)
	w.MaxResident = max(w.MaxResident, resident)
	w.MaxPause = max(w.MaxPause, paused)
	w.States[s.State]++
	if s.Blocker != "" {
		w.Blockers[s.Blocker]++
	}
}

// Stop ends the sampling; the fields can be read then.
func (w *Watch) Stop() {
	w.stop()
	<-w.done
}
