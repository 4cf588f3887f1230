package cmd

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/rs/zerolog"

	"github.com/sluice-bridge/sluice/flowcontrol"
	"github.com/sluice-bridge/sluice/telemetry"
)

// backlogPatience is how long the connected line waits for the source to know its backlog.
const backlogPatience = 3 * time.Second

// report tells people about the routes: once at start, once when both ends are connected, and, on a
// terminal, a line of progress. Any goroutine.
type report struct {
	log    zerolog.Logger
	people io.Writer // nil: lines of JSON
	screen *screen   // nil: no progress

	mu    sync.Mutex
	known map[string]*progress
}

// progress is what the report remembers of a route.
type progress struct {
	facts     string // as told last
	connected time.Time
	told      bool
	acked     uint64
	at        time.Time
	rate      float64
}

// starting tells what a route is about to do, before it connects.
func (r *report) starting(all []telemetry.RouteStatus) {
	r.known = map[string]*progress{}
	for i := range all {
		r.start(&all[i])
	}
}

func (r *report) start(s *telemetry.RouteStatus) {
	r.known[s.Route] = &progress{facts: facts(s), at: time.Now(), acked: s.Counts.AcknowledgedMessages}
	r.tell(s, "route starts")
}

// begun tells of routes that have begun since the start, and forgets those that are gone. all are those there are now.
func (r *report) begun(all []telemetry.RouteStatus, names []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.known
	r.known = map[string]*progress{}
	for i := range all {
		if name := all[i].Route; slices.Contains(names, name) {
			r.start(&all[i])
		} else {
			r.known[name] = before[name]
		}
	}
}

func (r *report) tell(s *telemetry.RouteStatus, message string) {
	if r.people != nil && r.log.GetLevel() <= zerolog.InfoLevel {
		var text bytes.Buffer
		Introduce(&text, s)
		// A terminal that is gone is not a reason to stop moving messages.
		_, _ = r.people.Write(text.Bytes())
		return
	}
	e := r.log.Info().Str("route", s.Route).Str("source", s.Source).Str("sink", s.Sink).
		Str("guarantee", s.Guarantee).Str("order", s.Order).Strs("touches", s.Touches)
	if s.Backlog != "" {
		e = e.Str("backlog", s.Backlog)
	}
	e.Str("memory", s.Memory).Msg(message)
}

func facts(s *telemetry.RouteStatus) string {
	return strings.Join(append(s.Touches[:len(s.Touches):len(s.Touches)], s.Guarantee, s.Order, s.Memory), "\x00")
}

// waits reports whether there may be anything to tell.
func (r *report) waits() bool {
	if r.screen != nil {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.known {
		if !p.told {
			return true
		}
	}
	return false
}

// look is called about once a second while the report waits.
func (r *report) look(all []telemetry.RouteStatus, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var parts []string
	for i := range all {
		s := &all[i]
		p := r.known[s.Route]
		if p == nil {
			continue
		}
		r.connected(s, p, now)
		if d := now.Sub(p.at).Seconds(); d > 0 {
			p.rate = float64(s.Counts.AcknowledgedMessages-p.acked) / d
		}
		p.acked, p.at = s.Counts.AcknowledgedMessages, now
		parts = append(parts, describe(s, p.rate, now))
	}
	if r.screen != nil {
		r.screen.show(strings.Join(parts, " │ "))
	}
}

// connected tells once what a route knows since both of its ends answered: what it is about to move,
// and anything that has become clearer since the start.
func (r *report) connected(s *telemetry.RouteStatus, p *progress, now time.Time) {
	if p.told || !s.EverConnected {
		return
	}
	if p.connected.IsZero() {
		p.connected = now
	}
	if s.Backlog == "" && now.Sub(p.connected) < backlogPatience {
		return
	}
	p.told = true
	if s.Backlog != "" || facts(s) != p.facts {
		r.tell(s, "route knows what it moves")
	}
}

// describe is a route in a few words: rate, use of the window, state, who holds it back.
func describe(s *telemetry.RouteStatus, rate float64, now time.Time) string {
	text := fmt.Sprintf("%s %s/s, window %d %%", s.Route, humanize.Comma(int64(rate)), WindowUse(s.Window))
	if s.Window.Adaptive {
		text += fmt.Sprintf(" of %d, at most %d", s.Window.MessagesNow, s.Window.MessagesLimit)
	}
	switch {
	case s.Ended:
		return s.Route + " has ended"
	case s.Cause != flowcontrol.CauseNone:
		text += fmt.Sprintf(", %s for %s by %s", s.State, now.Sub(s.Since).Round(time.Second), s.Blocker)
	default:
		text += ", " + s.State.String()
	}
	return text
}

// WindowUse is how full a window is in percent, by the fuller of the two bounds that hold now. It is more
// than 100 while an adaptive window has become smaller than what is in flight.
func WindowUse(w telemetry.WindowStatus) int64 {
	if w.MessagesNow == 0 || w.BytesLimit == 0 {
		return 0
	}
	return max(100*w.Messages/w.MessagesNow, 100*w.Bytes/w.BytesLimit)
}
