package bridge

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/connectortest"
	"github.com/sluice-bridge/sluice/flowcontrol"
)

// lane is a route over a topic of its own, for tests of reloads.
type lane struct {
	source, sink *connectortest.Topic
	calls        *counted
	RouteConfig
}

func newLane(name string, messages int, delay time.Duration) *lane {
	l := &lane{source: filled(name, 2, messages), sink: connectortest.NewTopic(name+"-out", 0), calls: &counted{}}
	l.RouteConfig = between(l.source, l.sink)
	l.Source = l.calls.source(l.Source)
	l.Sink = connectortest.FaultySink(l.Sink, func([]*connectors.Batch) connectortest.Fault { return connectortest.Fault{Delay: delay} })
	l.Digest = name
	return l
}

// exactly wants the sink to have each message of the source once, in order.
func (l *lane) exactly(t *testing.T, messages int) {
	t.Helper()
	for p := range 2 {
		name := l.Name + "/" + strconv.Itoa(p)
		all := l.sink.Messages(name)
		if len(all) != messages {
			t.Errorf("%s: %d messages, want %d", name, len(all), messages)
			continue
		}
		for i, m := range all {
			if string(m.Value) != strconv.Itoa(i) {
				t.Errorf("%s: %q at %d", name, m.Value, i)
				break
			}
		}
	}
}

func contextOf(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithCancel(t.Context())
}

func (s *started) routeCalled(name string) *Route {
	s.t.Helper()
	r, err := s.route(name)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// TestReloadUnderLoad: a route that is the same goes on without noticing, all others drain, and nothing is lost or
// doubled; who is gone is gone, who is new begins.
func TestReloadUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 3000
		kept, changed, gone, added := newLane("kept", n, time.Millisecond), newLane("changed", n, 3*time.Millisecond),
			newLane("gone", n, time.Millisecond), newLane("added", n, time.Millisecond)
		s, log := startLogged(t, zerolog.InfoLevel, kept.RouteConfig, changed.RouteConfig, gone.RouteConfig)
		run := func() *run { return s.routeCalled("kept").running() }
		s.until("moving, and waiting for room", func(*Route) bool {
			return kept.source.CommittedSum() > 100 && changed.source.CommittedSum() > 100 && gone.source.CommittedSum() > 100 &&
				s.Status()[1].Clock.Current.Seq == 1
		})
		before, old, at := run(), s.routeCalled("changed"), s.Status()[1].Counts
		again := changed.RouteConfig
		again.Digest, again.Window.Messages = "changed anew", 128
		did, err := s.Reload([]RouteConfig{added.RouteConfig, kept.RouteConfig, again}, ann)
		if err != nil {
			t.Fatal(err)
		}
		want := &Reloaded{Added: []string{"added"}, Removed: []string{"gone"}, Restarted: []string{"changed"}, Unchanged: []string{"kept"}}
		if diff := cmp.Diff(want, did); diff != "" {
			t.Error(diff)
		}
		if c := s.Status()[2].Clock; c.Last.Seq != 1 {
			t.Errorf("the episode of the route before goes on: %+v", c)
		}
		left := gone.sink.Written()
		if left == 2*n || gone.source.CommittedSum() != left {
			t.Errorf("gone: %d written, %d committed of %d", left, gone.source.CommittedSum(), 2*n)
		}
		var names []string
		for _, r := range s.Status() {
			names = append(names, r.Route)
		}
		if !slices.Equal(names, []string{"added", "kept", "changed"}) {
			t.Errorf("routes: %v", names)
		}
		if now := s.Status()[2]; now.Counts.FetchedMessages < at.FetchedMessages || now.Window.MessagesLimit != 128 || !now.EverConnected ||
			len(now.Actions) != 1 || now.Actions[0].What != "reload" {
			t.Errorf("the route does not go on where it was: %+v", now)
		}
		s.until("done", func(*Route) bool {
			return kept.source.CommittedSum() == 2*n && changed.source.CommittedSum() == 2*n && added.source.CommittedSum() == 2*n
		})
		if run() != before || kept.calls.opened.Load() != 1 {
			t.Errorf("the route that is the same was opened %d times", kept.calls.opened.Load())
		}
		if old == s.routeCalled("changed") || changed.calls.opened.Load() != 2 || gone.calls.opened.Load() != 1 || added.calls.opened.Load() != 1 {
			t.Errorf("opened: %d, %d, %d", changed.calls.opened.Load(), gone.calls.opened.Load(), added.calls.opened.Load())
		}
		kept.exactly(t, n)
		changed.exactly(t, n)
		added.exactly(t, n)
		if gone.sink.Written() != left {
			t.Error("what was removed goes on")
		}
		if lines := log.lines(t, "audit", true); len(lines) != 0 {
			t.Errorf("the bridge leaves audit lines of a reload: %v", lines)
		}
		s.end()
	})
}

// TestReloadSettings: limit and pause change while a route runs, as far as the configuration says something new; what
// an operator wants beside it stays, also in a route that begins anew.
func TestReloadSettings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane("orders", 10, 0)
		s := start(t, l.RouteConfig)
		defer s.end()
		s.until("moving", func(*Route) bool { return l.source.CommittedSum() == 20 })
		reload := func(change func(*RouteConfig), want *Reloaded) {
			t.Helper()
			change(&l.RouteConfig)
			did, err := s.Reload([]RouteConfig{l.RouteConfig}, ann)
			if diff := cmp.Diff(want, did); err != nil || diff != "" {
				t.Error(err, diff)
			}
		}
		orders := []string{"orders"}
		is := func(what string, limit Limit, paused string) {
			t.Helper()
			r := s.routeCalled("orders")
			who := ""
			if p := r.Status().Paused; p != nil {
				who = p.Who
			}
			if got := r.pacer.limit(); got != limit || who != paused {
				t.Errorf("%s: limit %v, paused by %q; want %v, %q", what, got, who, limit, paused)
			}
		}
		five, nine := Limit{Messages: 5}, 9.0
		reload(func(c *RouteConfig) { c.Limit = five }, &Reloaded{Changed: orders})
		is("a limit", five, "")
		if _, err := s.SetLimit("orders", LimitOrder{Messages: &nine, By: ann}); err != nil {
			t.Fatal(err)
		}
		reload(func(*RouteConfig) {}, &Reloaded{Unchanged: orders})
		is("nothing new", Limit{Messages: 9}, "")
		reload(func(c *RouteConfig) { c.Digest = "2" }, &Reloaded{Restarted: orders})
		is("begun anew", Limit{Messages: 9}, "")
		reload(func(c *RouteConfig) { c.Limit = Limit{} }, &Reloaded{Changed: orders})
		is("no limit", Limit{}, "")

		synctest.Wait() // in a Fetch
		reload(func(c *RouteConfig) { c.Paused = true }, &Reloaded{Changed: orders})
		is("a pause", Limit{}, byConfiguration)
		synctest.Wait()
		if state := s.Status()[0].State; state != flowcontrol.Paused {
			t.Errorf("it is %v", state)
		}
		l.source.Put(0, connectors.Message{Value: []byte("10")})
		synctest.Wait()
		if n := s.Status()[0].Counts.FetchedMessages; n != 20 {
			t.Errorf("%d messages were fetched of 20 before the pause", n)
		}
		if _, err := s.Resume("orders", Resume{By: ann}); err != nil {
			t.Fatal(err)
		}
		s.until("moving again", func(*Route) bool { return l.source.CommittedSum() == 21 })
		reload(func(c *RouteConfig) { c.Digest = "3" }, &Reloaded{Restarted: orders})
		is("resumed, and begun anew", Limit{}, "")
		if err := s.Pause("orders", ann); err != nil {
			t.Fatal(err)
		}
		reload(func(c *RouteConfig) { c.Paused = false }, &Reloaded{Changed: orders})
		is("paused by an operator", Limit{}, ann.Who)
		reload(func(c *RouteConfig) { c.Digest = "4" }, &Reloaded{Restarted: orders})
		is("the same, begun anew", Limit{}, ann.Who)
		if state := s.Status()[0].State; state != flowcontrol.Paused {
			t.Errorf("it is %v", state)
		}
		l.source.Put(0, connectors.Message{Value: []byte("11")})
		if _, err := s.Resume("orders", Resume{By: ann}); err != nil {
			t.Fatal(err)
		}
		s.until("moving once more", func(*Route) bool { return l.source.CommittedSum() == 22 })
		reload(func(c *RouteConfig) { c.Digest, c.Limit, c.Paused = "5", five, true }, &Reloaded{Restarted: orders})
		is("begun anew with news", five, byConfiguration)
		if err := s.Pause("orders", ann); err == nil {
			t.Error("paused twice")
		}
		reload(func(c *RouteConfig) { c.WayBack = "back" }, &Reloaded{Restarted: orders})
		is("with a way back", five, byConfiguration)
		if _, err := s.Resume("orders", Resume{By: ann}); err != nil {
			t.Fatal(err)
		}
		if err := s.Pause("orders", ann); err != nil {
			t.Fatal(err)
		}
		reload(func(c *RouteConfig) { c.Digest, c.Paused = "6", false }, &Reloaded{Restarted: orders})
		is("paused by an operator, and begun anew with news", five, ann.Who)
	})
}

// TestReloadRefused: what cannot run changes nothing at all.
func TestReloadRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, other := newLane("orders", 10, 0), newLane("other", 10, 0)
		b, err := New(Config{Instance: "test", Routes: []RouteConfig{l.RouteConfig}, Memory: 200 << 20}, zerolog.Nop(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Reload(nil, ann); err == nil {
			t.Error("a bridge that does not run was reloaded")
		}
		done := make(chan error, 1)
		ctx, stop := contextOf(t)
		go func() { done <- b.Run(ctx) }()
		s := &started{Bridge: b, t: t, stop: stop, done: done}
		s.until("moving", func(*Route) bool { return l.source.CommittedSum() == 20 })
		nowhere, large := other.RouteConfig, other.RouteConfig
		nowhere.Sink, large.Window.Bytes = nil, 1<<30
		for want, routes := range map[string][]RouteConfig{
			"source and sink are required": {nowhere},
			"lower window.max_bytes":       {l.RouteConfig, large},
			"two routes are named":         {other.RouteConfig, other.RouteConfig},
		} {
			if _, err := b.Reload(routes, ann); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "nothing was changed") {
				t.Errorf("want %q: %v", want, err)
			}
		}
		if r := s.Status(); len(r) != 1 || r[0].Ended || l.calls.opened.Load() != 1 || other.calls.opened.Load() != 0 {
			t.Errorf("%+v", r)
		}
		s.end()
		if _, err := b.Reload([]RouteConfig{other.RouteConfig}, ann); err == nil {
			t.Error("a bridge that has ended was reloaded")
		}
	})
}

// TestReloadSharesMemory: routes that share memory share it with those that come, and what is gone leaves its part.
func TestReloadSharesMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wide := func(name string) *lane {
			l := newLane(name, 100, 0)
			l.Window.Bytes = 256 << 20
			return l
		}
		a, c, d := wide("a"), wide("c"), wide("d")
		b, err := New(Config{Instance: "test", Routes: []RouteConfig{a.RouteConfig, c.RouteConfig}, Memory: 200 << 20}, zerolog.Nop(), nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := contextOf(t)
		s := &started{Bridge: b, t: t, stop: stop, done: make(chan error, 1)}
		go func() { s.done <- b.Run(ctx) }()
		s.until("moving", func(*Route) bool { return a.source.CommittedSum() == 200 })
		two := b.budget.Most()
		for _, step := range []struct {
			routes []RouteConfig
			most   func(int64) bool
		}{
			{[]RouteConfig{a.RouteConfig, c.RouteConfig, d.RouteConfig}, func(most int64) bool { return most < two }},
			{[]RouteConfig{a.RouteConfig, d.RouteConfig}, func(most int64) bool { return most == two }},
			{[]RouteConfig{d.RouteConfig}, func(most int64) bool { return most > two }},
		} {
			if _, err := b.Reload(step.routes, ann); err != nil {
				t.Fatal(err)
			}
			if most := b.budget.Most(); !step.most(most) {
				t.Errorf("%d routes: one may have %d, of two %d", len(step.routes), most, two)
			}
			if bytes, line := b.Memory(); bytes > 200<<20 {
				t.Error(line)
			}
		}
		s.until("done", func(*Route) bool { return d.source.CommittedSum() == 200 })
		s.end()
	})
}

// TestReloadSharesASizer: what begins anew, or is new, shares the window's sizer with whoever writes to the same place.
func TestReloadSharesASizer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		adaptive := func(name string) *lane {
			l := newLane(name, 10, 0)
			sink := *l.Sink
			sink.Places = []string{"there"}
			l.Adaptive, l.Sink = true, &sink
			return l
		}
		a, c, d := adaptive("a"), adaptive("c"), adaptive("d")
		s := start(t, a.RouteConfig, c.RouteConfig)
		defer s.end()
		s.until("moving", func(*Route) bool { return a.source.CommittedSum() == 20 })
		again := c.RouteConfig
		again.Digest = "c anew"
		if _, err := s.Reload([]RouteConfig{a.RouteConfig, again, d.RouteConfig}, ann); err != nil {
			t.Fatal(err)
		}
		if of := s.routeCalled("a").sizer; of == nil || s.routeCalled("c").sizer != of || s.routeCalled("d").sizer != of {
			t.Error("they do not share one")
		}
	})
}

// TestReloadBesideADeadSink: what cannot be drained in time comes again, once, and is said.
func TestReloadBesideADeadSink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane("orders", 500, 0)
		mended := l.RouteConfig
		mended.Digest = "mended"
		never := make(chan struct{})
		l.Sink = connectortest.FaultySink(l.sink.SinkSpec(), func([]*connectors.Batch) connectortest.Fault { return connectortest.Fault{Wait: never} })
		s := start(t, l.RouteConfig)
		s.until("stalled", func(r *Route) bool { return r.Status().State == flowcontrol.Stalled })
		inFlight, begin := s.Status()[0].Window.Messages, time.Now()
		did, err := s.Reload([]RouteConfig{mended}, ann)
		if err != nil || did.ComeAgain != inFlight {
			t.Errorf("%+v, %v; %d were in flight", did, err, inFlight)
		}
		if took := time.Since(begin); took < DefaultDrain || took > DefaultDrain+2*time.Second {
			t.Errorf("it took %v", took)
		}
		s.until("done", func(*Route) bool { return l.source.CommittedSum() == 1000 })
		l.exactly(t, 500)
		s.end()
	})
}

// TestReloadOfAHaltedRoute: another configuration lets it try again, the same does not.
func TestReloadOfAHaltedRoute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane("orders", 100, 0)
		l.Sink = connectortest.FaultySink(l.sink.SinkSpec(), refuse("orders/0", 42, on()))
		s := start(t, l.RouteConfig)
		s.until("halted", halted)
		if did, err := s.Reload([]RouteConfig{l.RouteConfig}, ann); err != nil || len(did.Unchanged) != 1 || s.Status()[0].Halted == nil {
			t.Errorf("%+v, %v", did, err)
		}
		l.OnReject, l.Digest = Drop, "drop"
		if _, err := s.Reload([]RouteConfig{l.RouteConfig}, ann); err != nil {
			t.Fatal(err)
		}
		s.until("done", func(*Route) bool { return l.source.CommittedSum() == 200 })
		s.end()
	})
}

// TestEndWhileReloading: the end of the bridge comes first, and nothing begins any more.
func TestEndWhileReloading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, other := newLane("orders", 500, 0), newLane("other", 10, 0)
		never := make(chan struct{})
		l.Sink = connectortest.FaultySink(l.sink.SinkSpec(), func([]*connectors.Batch) connectortest.Fault { return connectortest.Fault{Wait: never} })
		s := start(t, l.RouteConfig)
		s.until("stalled", func(r *Route) bool { return r.Status().State == flowcontrol.Stalled })
		reloaded := make(chan error, 1)
		go func() {
			_, err := s.Reload([]RouteConfig{other.RouteConfig}, ann)
			reloaded <- err
		}()
		time.Sleep(time.Second)
		s.stop()
		if err := <-reloaded; err == nil {
			t.Error("a route has begun while the bridge ended")
		}
		<-s.done
		if left := s.Left(); len(left) != 1 || left[0].Messages == 0 || other.calls.opened.Load() != 0 {
			t.Errorf("%+v", left)
		}
	})
}
