package main

import (
	"fmt"
	"sync"
	"time"
)

// fault is one line of the timeline.
type fault struct {
	At        float64             `json:"at_s"` // since the begin of the run
	Route     string              `json:"route"`
	Kind      string              `json:"kind"`
	Held      float64             `json:"held_s"` // until everything was as it should be again
	Found     map[string]evidence `json:"found"`  // by route
	Hit       bool                `json:"hit"`    // it found work
	Recovered float64             `json:"recovered_s"`
	Allowed   int64               `json:"may_double"` // messages, on each route
	Doubled   int64               `json:"doubled"`    // what it did double, on all routes
	Note      string              `json:"note,omitempty"`
}

// finding is something that may not happen.
type finding struct {
	At    float64  `json:"at_s"`
	Check string   `json:"check"`
	Route string   `json:"route"`
	Text  string   `json:"text"`
	Said  []string `json:"said,omitempty"` // what the programs said last; too long for the page
}

// The checks that a run is judged by.
const (
	checkLost      = "lost"
	checkDoubled   = "doubled"
	checkPhantom   = "phantom"
	checkReordered = "reordered"
	checkAltered   = "altered"
	checkGap       = "gap"       // one that was not, or one that was and is not reported as it is
	checkWindow    = "window"    // more in flight than the window
	checkMemory    = "memory"    // more resident than the line that was printed
	checkRecovery  = "recovery"  // no acknowledgement for too long after a fault
	checkIdle      = "idle"      // busy while there is nothing to do
	checkExit      = "exit"      // a daemon that ended by itself, or not as it should
	checkHalt      = "halt"      // a route that waits for an operator and should not, or should and does not
	checkBackwards = "backwards" // a committed position that went back
	checkHarness   = "harness"   // the run itself went wrong
)

// timeline is what was done and what was found. Any goroutine.
type timeline struct {
	begun time.Time
	tell  func(format string, args ...any)

	mu       sync.Mutex
	faults   []*fault
	findings []finding
}

func newTimeline(tell func(string, ...any)) *timeline {
	return &timeline{begun: time.Now(), tell: tell}
}

func (t *timeline) now() float64 { return round(time.Since(t.begun)) }

func round(d time.Duration) float64 { return d.Round(time.Millisecond).Seconds() }

// begin notes a fault that is about to be done to routes; it is filled in later by who did it. It may
// double what the daemon has just said that a crash doubles at most, for each of so many crashes.
func (t *timeline) begin(kind string, crashes int64, routes ...*route) *fault {
	f := &fault{At: t.now(), Kind: kind, Found: map[string]evidence{}, Recovered: -1}
	for i, r := range routes {
		if i > 0 {
			f.Route += " "
		}
		f.Route += r.name
		e := r.watch.evidence()
		f.Found[r.name] = e
		f.Hit = f.Hit || e.hit()
		f.Allowed = max(f.Allowed, crashes*r.watch.stated())
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.faults = append(t.faults, f)
	return f
}

// amend changes a fault that is in the timeline.
func (t *timeline) amend(f *fault, change func(*fault)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	change(f)
}

// find notes what may not happen.
func (t *timeline) find(check string, r *route, format string, args ...any) {
	f := finding{At: t.now(), Check: check, Text: fmt.Sprintf(format, args...)}
	if r != nil {
		f.Route = r.name
		f.Said = r.lastSaid(check)
	}
	t.tell("FOUND %s on %s: %s", f.Check, f.Route, f.Text)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.findings = append(t.findings, f)
}

// found tells whether anything was found that may not happen.
func (t *timeline) found() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.findings) > 0
}

// counts returns how many faults there were, and how many of them hit work.
func (t *timeline) counts() (all, hit int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range t.faults {
		if f.Hit {
			hit++
		}
	}
	return len(t.faults), hit
}
