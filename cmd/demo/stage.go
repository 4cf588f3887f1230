package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/sluice-bridge/sluice/bridge"
	"github.com/sluice-bridge/sluice/cmd"
	"github.com/sluice-bridge/sluice/flowcontrol"
	"github.com/sluice-bridge/sluice/telemetry"
)

// The acts of the demo, as parts of its duration. What follows the load is for catching up and for the
// verification.
const (
	loadPart   = 0.85
	firstPart  = 0.12
	secondPart = 0.42
	stallPart  = 0.15
	// A wait is called a stall after a second without an acknowledgement.
	minStall = 2 * time.Second
	// lineEvery is how often the live lines come, lookEvery how often the routes are looked at.
	lineEvery = time.Second
	lookEvery = 100 * time.Millisecond
)

// stage plays the demo and tells what happens.
type stage struct {
	options options
	brokers *brokers
	bridge  *bridge.Bridge
	out     io.Writer
	begin   time.Time
	load    load
	held    map[string]*holding
	told    []string // the stalls that are over
}

// holding is what is remembered of a route between two looks.
type holding struct {
	acked    uint64
	at       time.Time
	held     map[hold]int // looks of the present episode
	episodes uint64       // told
}

// hold is what is full and who holds most of it.
type hold struct {
	cause   flowcontrol.Cause
	blocker flowcontrol.Blocker
}

// longest returns what was seen most often.
func (h *holding) longest() (most hold) {
	for what, looks := range h.held {
		if looks > h.held[most] {
			most = what
		}
	}
	return most
}

// play runs the traffic and the stalls until everything is moved. ctx ending ends the traffic early.
func (s *stage) play(ctx context.Context) error {
	s.load.rate = s.options.rate
	traffic, cancel := context.WithCancel(ctx)
	defer cancel()
	loaded := make(chan error, 1)
	go func() { loaded <- s.load.run(traffic, s.brokers, s.part(loadPart)) }()
	stalls := make(chan struct{})
	go func() { defer close(stalls); s.stalls(traffic) }()
	defer func() { cancel(); <-stalls }()

	look, line := time.NewTicker(lookEvery), time.NewTicker(lineEvery)
	defer look.Stop()
	defer line.Stop()
	var deadline <-chan time.Time
	for {
		select {
		case err := <-loaded:
			if err != nil {
				return fmt.Errorf("the demo's own load: %w", err)
			}
			loaded = nil
			cancel()
			deadline = time.After(s.part(stallPart) + patience)
			s.say("── the traffic has ended; what is left is moved")
		case <-deadline:
			return errors.New("the routes did not catch up: " + s.behind())
		case now := <-line.C:
			s.lines(now)
		case <-look.C:
			all := s.bridge.Status()
			s.look(all)
			if loaded == nil && s.moved(all) {
				s.lines(time.Now())
				s.close(all)
				return nil
			}
		}
	}
}

func (s *stage) part(share float64) time.Duration {
	return time.Duration(share * float64(s.options.duration))
}

// stalls holds back first the one broker, then the other.
func (s *stage) stalls(ctx context.Context) {
	length := max(s.part(stallPart), minStall)
	acts := []struct {
		at   time.Duration
		who  string
		how  string
		gate *gate
	}{
		{s.part(firstPart), "nats-server", "the proxy in front of it holds every byte", s.brokers.proxy.gate},
		{s.part(secondPart), "Kafka", "its listener holds every produce request", s.brokers.gate},
	}
	for _, act := range acts {
		if !sleep(ctx, time.Until(s.begin.Add(act.at))) {
			return
		}
		s.say("── %s stops answering for %s: %s", act.who, length.Round(100*time.Millisecond), act.how)
		act.gate.shut()
		whole := sleep(ctx, length)
		act.gate.release()
		s.say("── %s answers again", act.who)
		if !whole {
			return
		}
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// say writes one line with the time since the begin.
func (s *stage) say(format string, args ...any) {
	line := fmt.Sprintf("%5.1f s  ", time.Since(s.begin).Seconds()) + fmt.Sprintf(format, args...) + "\n"
	// A reader that is gone does not keep the demo from its verdict.
	_, _ = io.WriteString(s.out, line)
}

// look remembers who holds back a route and tells the end of each episode.
func (s *stage) look(all []telemetry.RouteStatus) {
	for i := range all {
		r := &all[i]
		h := s.held[r.Route]
		if h == nil {
			h = &holding{at: s.begin, held: map[hold]int{}}
			s.held[r.Route] = h
		}
		if r.Cause != flowcontrol.CauseNone && r.Blocker != flowcontrol.BlockerNone {
			h.held[hold{r.Cause, r.Blocker}]++
		}
		if last := r.Clock.Last; last.Seq > h.episodes {
			s.tell(r.Route, h, &last)
		}
	}
}

// tell tells a stall that is over.
func (s *stage) tell(route string, h *holding, e *flowcontrol.Episode) {
	if e.Stalled > 0 {
		most := h.longest()
		text := fmt.Sprintf("%s was held back for %.1f s by %s (%s was full)", route, e.Waited.Seconds(), most.blocker, most.cause)
		s.told = append(s.told, text)
		s.say("%s and goes on", text)
	}
	h.episodes = e.Seq
	clear(h.held)
}

// close tells the stalls that are over but not yet for long enough to be called so.
func (s *stage) close(all []telemetry.RouteStatus) {
	for i := range all {
		if e := &all[i].Clock.Current; e.Seq > 0 {
			s.tell(all[i].Route, s.held[all[i].Route], e)
		}
	}
}

// lines tells the state of every route.
func (s *stage) lines(now time.Time) {
	all := s.bridge.Status()
	s.look(all)
	for i := range all {
		r := &all[i]
		h := s.held[r.Route]
		rate := float64(r.Counts.AcknowledgedMessages-h.acked) / max(now.Sub(h.at).Seconds(), 0.001)
		h.acked, h.at = r.Counts.AcknowledgedMessages, now
		percent := int(min(100, cmd.WindowUse(r.Window)))
		bar := strings.Repeat("█", percent/10) + strings.Repeat("░", 10-percent/10)
		state := r.State.String()
		if r.Cause != flowcontrol.CauseNone {
			state = fmt.Sprintf("%s: held back for %.1f s by %s (%s is full)", state, now.Sub(r.Clock.Current.Begin).Seconds(), r.Blocker, r.Cause)
		} else if r.Detail != "" && !(r.SourceConnected && r.SinkConnected) {
			state += ": " + r.Detail
		}
		s.say("%-9s %s → %s %7s/s  window %s %3d %%  %s", r.Route, r.Source, r.Sink, humanize.Comma(int64(rate)), bar, percent, state)
	}
}

// moved reports whether every message that was sent is acknowledged and committed.
func (s *stage) moved(all []telemetry.RouteStatus) bool {
	for i := range all {
		if all[i].Counts.CommittedMessages < uint64(s.sent(all[i].Route)) {
			return false
		}
	}
	return true
}

func (s *stage) sent(route string) int64 {
	if route == "orders" {
		return s.load.orders.Load()
	}
	return s.load.telemetry.Load()
}

// behind says what is missing where.
func (s *stage) behind() string {
	var texts []string
	for _, r := range s.bridge.Status() {
		texts = append(texts, fmt.Sprintf("%s has fetched %d, written %d and committed %d of %d (%s %s)", r.Route,
			r.Counts.FetchedMessages, r.Counts.AcknowledgedMessages, r.Counts.CommittedMessages, s.sent(r.Route), r.State, r.Detail))
	}
	return strings.Join(texts, ", ")
}
