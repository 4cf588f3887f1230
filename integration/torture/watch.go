package main

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sluice-bridge/sluice/integration/daemon"
)

const (
	// sampleEvery is how often a daemon is asked how it is.
	sampleEvery = 50 * time.Millisecond
	// lately is how far back what moved counts as work that a fault has hit.
	lately = 500 * time.Millisecond
)

// evidence is what a fault found on a route.
type evidence struct {
	InFlight int64 `json:"in_flight"` // messages fetched and not acknowledged
	Moved    int64 `json:"moved"`     // messages acknowledged within the half second before
	Lag      int64 `json:"lag"`       // messages waiting at the source
	Open     int64 `json:"open"`      // messages fetched and not committed
}

// hit reports whether there was work.
func (e evidence) hit() bool { return e.InFlight > 0 || e.Moved > 0 && e.Lag > 0 }

// peaks are the most that the daemons of a route ever had.
type peaks struct {
	InFlight      int64   `json:"in_flight"`
	InFlightLimit int64   `json:"in_flight_limit"`
	Bytes         int64   `json:"bytes"` // with more than one message
	BytesLimit    int64   `json:"bytes_limit"`
	Resident      int64   `json:"resident_bytes"`
	ResidentWhen  string  `json:"resident_when"`     // when it was so much, and what the daemon was at
	MemoryLine    int64   `json:"memory_line_bytes"` // what the daemon says that it takes at most
	Open          int64   `json:"open"`              // messages fetched and not committed
	OpenLimit     int64   `json:"open_limit"`        // what a crash doubles at most, as /status states
	StalledSec    float64 `json:"stalled_s"`         // watched while stalled or disconnected
	StalledCPU    float64 `json:"stalled_cpu_s"`     // used in that time
	Seconds       float64 `json:"watched_s"`
	Retries       int64   `json:"retries"` // of writes, in that time
}

// watch is what the daemons of a route say of themselves, and the operating system of them.
type watch struct {
	mu      sync.Mutex
	latest  map[*daemon.Daemon]*sample
	acked   int64 // by all daemons there ever were
	history []moved
	peaks   peaks
	told    map[gap]bool
	gaps    int64  // messages told to be in gaps, by all daemons
	dropped int64  // messages
	halted  string // why a daemon waited for an operator; empty: none did
}

type moved struct {
	at    time.Time
	acked int64
}

type sample struct {
	at     time.Time
	since  time.Time // of the first of this daemon
	status daemon.Route
	cpu    time.Duration
}

func newWatch() *watch { return &watch{latest: map[*daemon.Daemon]*sample{}, told: map[gap]bool{}} }

// follow watches a daemon until it has ended.
func (w *watch) follow(d *daemon.Daemon) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { <-d.Exited(); cancel() }()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.latest, d)
	}()
	for pause(ctx, sampleEvery) == nil {
		_ = w.look(ctx, d)
	}
}

// look asks a daemon once.
func (w *watch) look(ctx context.Context, d *daemon.Daemon) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	status, err := d.Status(ctx)
	if err != nil {
		return err
	}
	s := &sample{at: time.Now(), status: status}
	s.cpu, _ = d.CPU()
	_, resident, _ := d.Resident()
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.latest[d]
	if before == nil {
		before = &sample{at: s.at, since: s.at, cpu: s.cpu}
	}
	if before.at.After(s.at) {
		return nil // another look was faster
	}
	s.since = before.since
	w.latest[d] = s
	w.acked += status.Counts.Acknowledged - before.status.Counts.Acknowledged
	w.gaps += status.Counts.GapMessages - before.status.Counts.GapMessages
	w.dropped += status.Counts.Dropped - before.status.Counts.Dropped
	for _, g := range status.Gaps {
		w.told[gap{g.Partition, g.From, g.To}] = true
	}
	w.history = append(w.history, moved{s.at, w.acked})
	for len(w.history) > 1 && s.at.Sub(w.history[1].at) > lately {
		w.history = w.history[1:]
	}
	if status.State == "halted" && w.halted == "" {
		w.halted = cmp.Or(status.Detail, "no reason is given")
	}
	p := &w.peaks
	p.InFlight, p.InFlightLimit = max(p.InFlight, status.Window.Messages), status.Window.MessagesLimit
	if p.BytesLimit = status.Window.BytesLimit; status.Window.Messages > 1 {
		p.Bytes = max(p.Bytes, status.Window.Bytes)
	}
	p.MemoryLine = max(p.MemoryLine, memoryLine(status.Memory))
	if resident > p.Resident {
		p.Resident = resident
		p.ResidentWhen = fmt.Sprintf("%v, %v old, pid %d, %s: %s since %v, %d messages of %d bytes in flight, %d not committed, lag %d",
			s.at.Format(time.RFC3339), s.at.Sub(s.since).Round(time.Millisecond), d.Pid(), d.ResidentKinds(), status.State, status.Since.Format(time.RFC3339),
			status.Window.Messages, status.Window.Bytes, status.Window.Uncommitted, status.Lag)
	}
	p.Open, p.OpenLimit = max(p.Open, status.Window.Uncommitted), status.Window.UncommittedLimit
	p.Seconds += s.at.Sub(before.at).Seconds()
	p.Retries += status.Counts.Retries - before.status.Counts.Retries
	if idle(before) && idle(s) {
		p.StalledSec += s.at.Sub(before.at).Seconds()
		p.StalledCPU += (s.cpu - before.cpu).Seconds()
	}
	return nil
}

// idle tells whether a daemon has nothing to do but wait for a broker.
func idle(s *sample) bool {
	return s.status.State == "stalled" || s.status.State == "disconnected"
}

// memoryLine reads "at most 144 MiB = ...".
func memoryLine(text string) int64 {
	number, _, _ := strings.Cut(strings.TrimPrefix(text, "at most "), " MiB")
	n, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0
	}
	return int64(n * (1 << 20))
}

// evidence returns what is under way now.
func (w *watch) evidence() (e evidence) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.latest {
		e.InFlight += s.status.Window.Messages
		e.Open += s.status.Window.Uncommitted
		e.Lag = max(e.Lag, s.status.Lag)
	}
	if len(w.history) > 0 && time.Since(w.history[len(w.history)-1].at) < lately {
		e.Moved = w.acked - w.history[0].acked
	}
	return e
}

// stated returns what a crash doubles at most, as the daemon said last.
func (w *watch) stated() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.peaks.OpenLimit
}

// progress returns how many messages all daemons have had acknowledged.
func (w *watch) progress() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.acked
}

// quiet tells whether nothing is left to do, and else what is.
func (w *watch) quiet() (bool, string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.latest {
		st := &s.status
		if st.Window.Messages > 0 || !st.LagKnown || st.Lag > 0 {
			return false, st.State + " " + st.Blocker + " " + st.Detail
		}
	}
	return len(w.latest) > 0, "no daemon answers"
}

// why returns why a daemon waits, or waited, for an operator; empty if none did.
func (w *watch) why() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.halted
}
