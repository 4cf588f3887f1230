package cmd

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// topAnswer is what `top` reads of /status.
type topAnswer struct {
	Time     time.Time   `json:"time"`
	Instance string      `json:"instance"`
	Version  string      `json:"version"`
	Draining bool        `json:"draining"`
	Routes   []*topRoute `json:"routes"`
}

// topRoute is what `top` shows of a route: what `status` does, and more.
type topRoute struct {
	routeView
	Counts struct {
		Fetched      int64 `json:"fetched_messages"`
		Bytes        int64 `json:"fetched_bytes"`
		Acknowledged int64 `json:"acknowledged_messages"`
		DeadLettered int64 `json:"dead_lettered"`
		Retries      int64 `json:"retries"`
	} `json:"counts"`
	InFlight []struct {
		Partition string    `json:"partition"`
		Messages  int64     `json:"messages"`
		Oldest    time.Time `json:"oldest"`
		Offset    int64     `json:"offset"`
		Error     string    `json:"error"`
	} `json:"in_flight"`
	Stalls []topStall `json:"stalls"`
}

type topStall struct {
	Begin   time.Time `json:"begin"`
	End     time.Time `json:"end"`
	Cause   string    `json:"cause"`
	Blocker string    `json:"blocker"`
	Stalled float64   `json:"stalled"`
	TraceID string    `json:"trace_id"`
}

// topLine is a route with its rates, as --json prints it.
type topLine struct {
	Route    string  `json:"route"`
	State    string  `json:"state"`
	Seconds  float64 `json:"state_seconds"`
	Cause    string  `json:"cause,omitempty"`
	Blocker  string  `json:"blocker,omitempty"`
	Detail   string  `json:"detail,omitempty"`
	In       float64 `json:"in_per_second"`
	Out      float64 `json:"out_per_second"`
	Bytes    float64 `json:"bytes_per_second"`
	Window   int64   `json:"window_percent"`
	Lag      *int64  `json:"lag,omitempty"` // absent: unknown
	Oldest   float64 `json:"oldest_seconds"`
	Retries  int64   `json:"retries"`
	DeadSent int64   `json:"dead_lettered"`

	route *topRoute
}

// board is the picture of top: the latest answer, the one before it, and what the keys chose.
type board struct {
	pattern, sort, url string
	colour             bool

	now, before *topAnswer
	away        error // the daemon did not answer the latest look
	held        bool
	chosen      string // a route
	open        bool   // its details are shown
}

const (
	sortTrouble = "trouble"
	sortName    = "name"
	sortRate    = "rate"
	sortLag     = "lag"
)

// sorts are the orders that a table can have. Equals stand by name.
func sorts() map[string]func(a, b *topLine) int {
	return map[string]func(a, b *topLine) int{
		sortTrouble: func(a, b *topLine) int { return cmp.Compare(trouble(a.State), trouble(b.State)) },
		sortName:    func(*topLine, *topLine) int { return 0 },
		sortRate:    func(a, b *topLine) int { return cmp.Compare(b.Out, a.Out) },
		sortLag: func(a, b *topLine) int {
			return cmp.Compare(lagOf(b), lagOf(a))
		},
	}
}

func lagOf(l *topLine) int64 {
	if l.Lag == nil {
		return -1
	}
	return *l.Lag
}

// trouble is where a state stands among those that nobody wants to last.
func trouble(state string) int {
	states := []string{"halted", "stalled", "disconnected", "starved", "paused", "rebalancing"}
	if i := slices.Index(states, state); i >= 0 {
		return i
	}
	return len(states)
}

// take makes answer the latest.
func (b *board) take(answer *topAnswer) {
	b.before, b.now = b.now, answer
	if b.before != nil && b.before.Instance != answer.Instance {
		b.before = nil // another process counts from 0
	}
}

// lines are the routes to show, in order.
func (b *board) lines() []*topLine {
	earlier := map[string]*topRoute{}
	var seconds float64
	if b.before != nil {
		seconds = b.now.Time.Sub(b.before.Time).Seconds()
		for _, r := range b.before.Routes {
			earlier[r.Route] = r
		}
	}
	all := []*topLine{}
	for _, r := range b.now.Routes {
		if match, err := path.Match(b.pattern, r.Route); err != nil || !match {
			continue
		}
		l := lineOf(r, b.now.Time)
		if e := earlier[r.Route]; e != nil && seconds > 0 {
			l.In = float64(r.Counts.Fetched-e.Counts.Fetched) / seconds
			l.Out = float64(r.Counts.Acknowledged-e.Counts.Acknowledged) / seconds
			l.Bytes = float64(r.Counts.Bytes-e.Counts.Bytes) / seconds
		}
		all = append(all, l)
	}
	order := sorts()[b.sort]
	slices.SortFunc(all, func(x, y *topLine) int { return cmp.Or(order(x, y), cmp.Compare(x.Route, y.Route)) })
	return all
}

func lineOf(r *topRoute, now time.Time) *topLine {
	l := &topLine{
		Route: r.Route, State: r.State, Seconds: now.Sub(r.Since).Seconds(), Cause: r.Cause, Blocker: r.Blocker, Detail: r.Detail,
		Retries: r.Counts.Retries, DeadSent: r.Counts.DeadLettered, route: r,
	}
	if r.Ended {
		l.State = "ended"
	}
	if r.Known {
		l.Lag = &r.Lag
	}
	if r.Window.Limit > 0 {
		l.Window = 100 * r.Window.Messages / r.Window.Limit
	}
	if len(r.InFlight) > 0 && !r.InFlight[0].Oldest.IsZero() {
		l.Oldest = now.Sub(r.InFlight[0].Oldest).Seconds()
	}
	return l
}

// press does what a key asks for; true: it ends.
func (b *board) press(key string) (end bool) {
	switch key {
	case "q", "Q", "\x03", "\x04":
		return true
	case "p", " ":
		b.held = !b.held
	case "s":
		order := []string{sortTrouble, sortName, sortRate, sortLag}
		b.sort = order[(slices.Index(order, b.sort)+1)%len(order)]
	case "\r", "\n":
		b.open = !b.open
	case "\x1b":
		b.open = false
	case "j", "\x1b[B", "\x1bOB":
		b.step(1)
	case "k", "\x1b[A", "\x1bOA":
		b.step(-1)
	}
	return false
}

// step chooses the next route, or the one before.
func (b *board) step(by int) {
	all := b.lines()
	if len(all) == 0 {
		return
	}
	at := slices.IndexFunc(all, func(l *topLine) bool { return l.Route == b.chosen })
	b.chosen = all[min(max(at+by, 0), len(all)-1)].Route
}

// ago is how long something took or takes, short enough for a column.
func ago(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d < 0:
		return "0s"
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", seconds)
	case d < time.Hour:
		return d.Round(time.Second).String()
	}
	return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
}

// rate is a number a second, short enough for a column.
func rate(n float64) string {
	if n < 100_000 {
		return humanize.Comma(int64(n + 0.5))
	}
	return strings.ReplaceAll(humanize.SIWithDigits(n, 1, ""), " ", "")
}

// since is ago, for what may not be.
func since(seconds float64) string {
	if seconds <= 0 {
		return "-"
	}
	return ago(seconds)
}
