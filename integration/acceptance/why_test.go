//go:build integration

package acceptance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-bridge/sluice/integration/daemon"
	"github.com/sluice-bridge/sluice/integration/proxy"
)

// allowed is how long an answer may take once it is the right one: for limited once the source waits, for
// stalled a second after the last acknowledgement, which is what stalled means, for idle and starved once what
// was fetched is acknowledged, for everything else once the fault is there.
const allowed = time.Second

// late is when a test fails for it.
func late() time.Duration {
	if whole() {
		return allowed
	}
	return 10 * allowed
}

// answer is what /status says of a route that does not move as it should.
type answer struct{ state, cause, blocker string }

func (a answer) String() string {
	return strings.Join([]string{a.state, cmp.Or(a.cause, "-"), cmp.Or(a.blocker, "-")}, " ")
}

// wanted is the answer of the table, fixed before the code was written. More than one state are alternatives;
// a cause that ends with a dot stands for all that begin with it; an empty one: the source waits for no room.
type wanted struct{ states, cause, blocker string }

func (w wanted) String() string { return answer{w.states, w.cause, w.blocker}.String() }

func (w wanted) fits(a answer) bool {
	state := slices.Contains(strings.Split(w.states, "|"), a.state)
	if w.cause == "" {
		return state && a.cause == "" && a.blocker == w.blocker
	}
	cause := a.cause == w.cause || strings.HasSuffix(w.cause, ".") && strings.HasPrefix(a.cause, w.cause)
	return state && cause && a.blocker == w.blocker
}

// trial is one daemon between two proxies, with load that does not end.
type trial struct {
	*scene
	way          *direction
	toStream     bool
	source, sink *proxy.Proxy
	load         context.CancelFunc
}

// step is a fault that is brought about, and the answer to it. Those of one trial follow one another, each
// while the ones before it last.
type step struct {
	name   string
	strike func(*trial)
	want   wanted
}

// fault is a row of the table, or several in turn. It runs in each direction in which it exists.
type fault struct {
	name  string
	ways  string // k2j, j2k
	extra func(*trial) string
	// before prepares the brokers; nil: nothing. Nothing has been moved yet.
	before func(*trial)
	window int // 0: 400 messages
	// perSecond is the load before the first step; 0: as fast as it goes.
	perSecond int
	steps     []step
	after     func(*trial)
}

// TestWhy: each fault of the table is injected from outside, and what /status answers is compared with what was
// written down before. It prints the matrix of both.
func TestWhy(t *testing.T) {
	if !whole() {
		t.Skip("takes six minutes of a quiet machine, for its answers are due within a second: at full size")
	}
	suite.pair.NeedControl(t)
	m := &matrix{counts: map[[2]string]int{}}
	for _, f := range faults() {
		for i, name := range []string{"k2j", "j2k"} {
			if strings.Contains(f.ways, name) {
				t.Run(f.name+"/"+name, func(t *testing.T) { f.run(t, i, m) })
			}
		}
	}
	m.print()
}

func (f *fault) run(t *testing.T, way int, m *matrix) {
	s := newScene(t, 2*time.Minute)
	tr := &trial{scene: s, way: &directions[way], toStream: way == 0}
	s.load.Size, s.load.Plain = 400, true
	s.create(nil)
	tr.between()
	if f.before != nil {
		f.before(tr)
	}
	const first = 200 // a first start reads nothing before it knows what the sink holds
	s.must(tr.way.fill(s, s.ctx, 0, first, 0))
	d := s.start(tr.config(cmp.Or(f.window, 400), f.extra))
	s.arrive("the sink", tr.way.arrived(s), first, time.Minute)
	tr.loadFrom(first, f.perSecond)
	if f.after != nil {
		defer f.after(tr)
	}
	for _, st := range f.steps {
		st.strike(tr)
		got, took := judge(s, d, st.want)
		m.add(st.want, got)
		if st.want.states == "stalled" {
			f.evidence(tr, st.name)
		}
		row("why: %-44s %-38v answered %-38v after %v", t.Name()[len("TestWhy/"):]+", "+st.name, st.want, got, took.Round(10*time.Millisecond))
		switch {
		case !st.want.fits(got):
			t.Errorf("%s: answered %v, want %v", st.name, got, st.want)
		case took > allowed:
			t.Errorf("%s: answered %v after %v, want %v at most", st.name, got, took, allowed)
		}
	}
}

// evidence wants whoever the route is stalled by to have been asked.
func (f *fault) evidence(tr *trial, step string) {
	tr.Helper()
	r, err := tr.daemon.Status(tr.ctx)
	tr.must(err)
	if r.Evidence == "" {
		tr.Errorf("%s: stalled, and no evidence: %+v", step, r)
		return
	}
	row("why: %-44s evidence: %.150s", tr.Name()[len("TestWhy/"):]+", "+step, r.Evidence)
}

// between puts a proxy at each end.
func (tr *trial) between() {
	nats, err := proxy.New("127.0.0.1:0", suite.pair.NATS.URL[len("nats://"):])
	tr.must(err)
	kafka, err := proxy.New(suite.pair.Kafka.Proxied[0].Listen, suite.pair.Kafka.Proxied[0].Target)
	tr.must(err)
	tr.Cleanup(func() { tr.must(errors.Join(nats.Close(), kafka.Close())) })
	tr.source, tr.sink = kafka, nats
	if !tr.toStream {
		tr.source, tr.sink = nats, kafka
	}
}

// config is the direction's configuration by way of the proxies, with a small window.
func (tr *trial) config(window int, extra func(*trial) string) string {
	s := tr.scene
	was := *s
	defer func() { s.topic, s.stream = was.topic, was.stream }()
	if s.topic.Addr, s.stream.URL = tr.source.Addr, "nats://"+tr.sink.Addr; !tr.toStream {
		s.topic.Addr, s.stream.URL = tr.sink.Addr, "nats://"+tr.source.Addr
	}
	text := fmt.Sprintf("    window: {max_messages: %d, size: static}\n    retry: {max: 1s}\n", window)
	if extra != nil {
		text += extra(tr)
	}
	if tr.toStream {
		return s.toStream(text)
	}
	return strings.Replace(s.toTopic("", text), fmt.Sprintf("topic: %q}", s.topic.Name), fmt.Sprintf("topic: %q, max_message: 1KiB}", s.topic.Name), 1)
}

// loadFrom writes messages to the source until load or the end of the test.
func (tr *trial) loadFrom(first int64, perSecond int) {
	ctx, cancel := context.WithCancel(tr.ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = tr.way.fill(tr.scene, ctx, first, 1<<40, cmp.Or(perSecond, 3000))
	}()
	tr.load = func() { cancel(); <-done }
	tr.Cleanup(tr.load)
}

// judge asks /status until it gives the wanted answer, or until it is late, and then for two seconds more
// whether it stays with it. It returns the answer that was given for most of that time, and how long after it
// was due the last other answer was given.
func judge(s *scene, d *daemon.Daemon, want wanted) (got answer, took time.Duration) {
	s.Helper()
	const patience, steady = 15 * time.Second, 2 * time.Second
	begin := time.Now()
	due, moved, waits := begin, int64(-1), false
	var right time.Time
	seen, before := map[answer]int{}, map[answer]int{}
	for time.Since(begin) < patience && (right.IsZero() || time.Since(right) < steady) {
		asked := time.Now()
		r, err := d.Status(s.ctx)
		s.must(err)
		if r.Counts.Acknowledged != moved && right.IsZero() {
			moved = r.Counts.Acknowledged
			switch want.states {
			case "stalled":
				due = asked.Add(time.Second)
			case "starved", "idle":
				due = asked
			}
		}
		if r.Cause != "" && !waits && right.IsZero() {
			waits = true
			if strings.Contains(want.states, "limited") {
				due = asked
			}
		}
		a := answer{r.State, r.Cause, ""}
		if r.Cause != "" || r.State == "paused" { // else nobody holds the source
			a.blocker = r.Blocker
		}
		if right.IsZero() && want.fits(a) {
			right, took = asked, max(0, asked.Sub(due))
		}
		if right.IsZero() {
			before[a]++
		} else {
			seen[a]++
		}
		s.sleep(10 * time.Millisecond)
		if right.IsZero() && time.Since(begin) >= patience-steady {
			right, took = asked, asked.Sub(due) // late: what it says instead
		}
	}
	if took > allowed {
		s.Logf("answers before: %v, and then: %v", before, seen)
	}
	return most(seen, want), took
}

// most returns the answer that stands for the samples: the state that most have; its cause and blocker are those
// of most samples in which the source waited, for a source that is held back waits again and again.
func most(seen map[answer]int, want wanted) answer {
	states, reasons := map[string]int{}, map[[2]string]int{}
	total := 0
	for a, n := range seen {
		total += n
		states[a.state] += n
		if a.cause != "" {
			reasons[[2]string{a.cause, a.blocker}] += n
		}
	}
	a := answer{state: top(states)}
	if want.cause == "" && 10*states[a.state] > 9*total {
		if seen[answer{a.state, "", want.blocker}] == states[a.state] {
			a.blocker = want.blocker
		}
		return a
	}
	if len(reasons) > 0 {
		why := top(reasons)
		a.cause, a.blocker = why[0], why[1]
	}
	return a
}

func top[K comparable](counts map[K]int) (best K) {
	for k, n := range counts {
		if n > counts[best] {
			best = k
		}
	}
	return best
}

// matrix counts which answer was given where which was wanted.
type matrix struct {
	wanted []string
	counts map[[2]string]int
}

func (m *matrix) add(want wanted, got answer) {
	w, g := want.String(), got.String()
	if want.fits(got) {
		g = w
	}
	if !slices.Contains(m.wanted, w) {
		m.wanted = append(m.wanted, w)
	}
	m.counts[[2]string{w, g}]++
}

func (m *matrix) print() {
	columns := slices.Clone(m.wanted)
	for _, pair := range slices.SortedFunc(maps.Keys(m.counts), func(a, b [2]string) int { return strings.Compare(a[1], b[1]) }) {
		if !slices.Contains(columns, pair[1]) {
			columns = append(columns, pair[1])
		}
	}
	if len(m.wanted) == 0 {
		return
	}
	row("why: the matrix; a row is what was wanted, a column what was answered")
	for i, c := range columns {
		line := fmt.Sprintf("why: %2d %-46s", i+1, c)
		for _, other := range columns {
			line += fmt.Sprintf(" %2d", m.counts[[2]string{c, other}])
		}
		row("%s", line)
	}
}
