package bridge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"
	"pgregory.net/rapid"

	"github.com/sluice-bridge/sluice/bridge/transform"
	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/connectortest"
	"github.com/sluice-bridge/sluice/flowcontrol"
)

// addressed is a sink that keeps of each message what it was given, and the subject that the mapping makes, in place of
// its key.
type addressed struct {
	mu      sync.Mutex
	subject *connectors.Template
	fault   func(m *connectors.Message) error // nil: none
	down    func() error                      // of a whole Write; nil: none
	took    []connectors.Message
}

func (s *addressed) spec() *connectors.SinkSpec {
	return &connectors.SinkSpec{Open: func(_ context.Context, env connectors.Env) (connectors.Sink, error) {
		s.subject = env.Map.Subject
		return s, nil
	}}
}

func (s *addressed) Close(context.Context) error { return nil }

func (s *addressed) Write(_ context.Context, batches []*connectors.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down != nil {
		if err := s.down(); err != nil {
			return err
		}
	}
	var failed []connectors.Failure
	index, again := 0, error(nil)
	for _, b := range batches {
		for i := range b.Messages {
			m := &b.Messages[i]
			err := again
			if err == nil && s.fault != nil {
				if err = s.fault(m); err != nil && !connectors.IsPermanent(err) {
					again = err // nothing is taken behind one that may be taken later
				}
			}
			if err != nil {
				failed = append(failed, connectors.Failure{Index: index, Err: err})
			} else {
				s.took = append(s.took, s.keep(b, m))
			}
			index++
		}
	}
	if failed != nil {
		return &connectors.BatchError{Failed: failed}
	}
	return nil
}

func (s *addressed) keep(b *connectors.Batch, m *connectors.Message) connectors.Message {
	kept := connectors.Message{Subject: m.Subject, Value: bytes.Clone(m.Value), Offset: m.Offset}
	for _, h := range m.Headers {
		kept.Headers = append(kept.Headers, connectors.Header{Key: strings.Clone(h.Key), Value: bytes.Clone(h.Value)})
	}
	if s.subject != nil {
		kept.Key = s.subject.Append(nil, b, m, func(dst []byte, _ string, value []byte) []byte { return append(dst, value...) })
	}
	return kept
}

func (s *addressed) taken() []connectors.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.took
}

// shaped has a route filter and map: by the header to, which says where to.
func shaped(t testing.TB, rc RouteConfig, filter string) RouteConfig {
	t.Helper()
	c := transform.NewCompiler(rc.Name)
	err := c.Filter(filter)
	subject, err2 := c.Template("map.subject", `to.{{ headers["to"] }}.{{ partition }}`)
	if err := errors.Join(err, err2, c.Drop("internal-*"), c.Rename("old", "new"), c.Set("set", "from", "{{ route }}"),
		c.Set("set", "large", `{{ key + key + key }}`)); err != nil {
		t.Fatal(err)
	}
	rc.Map.Subject, rc.Transform = subject, c.Program()
	return rc
}

func to(value, where string, more ...connectors.Header) connectors.Message {
	m := connectors.Message{Value: []byte(value), Headers: more}
	if where != "" {
		m.Headers = append(m.Headers, connectors.Header{Key: "to", Value: []byte(where)})
	}
	return m
}

// TestShape: what does not pass the filter is acknowledged and counted, what does is mapped, and its content stays.
func TestShape(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := connectortest.NewTopic("orders", 1, connectortest.WithBatch(10)), &addressed{}
		for i := range 100 {
			where := "eu"
			if i%4 == 0 {
				where = "nowhere"
			}
			source.Put(0, to(fmt.Sprint(i), where, connectors.Header{Key: "internal-a", Value: []byte("x")}, connectors.Header{Key: "old", Value: []byte("o")}))
		}
		rc := between(source, connectortest.NewTopic("out", 0))
		rc.Sink = sink.spec()
		s := start(t, shaped(t, rc, `headers["to"] != "nowhere"`))
		s.until("committed", func(*Route) bool { return source.CommittedSum() == 100 })
		status := s.Status()[0]
		if c := status.Counts; c.Filtered != 25 || c.AcknowledgedMessages != 100 || c.Dropped != 0 || len(sink.taken()) != 75 {
			t.Errorf("%+v, %d written", c, len(sink.taken()))
		}
		if !strings.Contains(status.Guarantee, "what the filter does not let pass is not written") || status.Window.Messages != 0 {
			t.Errorf("%q, %d in flight", status.Guarantee, status.Window.Messages)
		}
		want := connectors.Message{
			Subject: "orders", Key: []byte("to.eu.0"), Value: []byte("1"), Offset: 1,
			Headers: []connectors.Header{{Key: "new", Value: []byte("o")}, {Key: "to", Value: []byte("eu")}, {Key: "from", Value: []byte("orders")}, {Key: "large", Value: []byte{}}},
		}
		if diff := cmp.Diff(want, sink.taken()[0]); diff != "" {
			t.Error(diff)
		}
		tap, err := s.Tap("orders", true, StageMapped)
		if err != nil {
			t.Fatal(err)
		}
		source.Put(0, to("seen", "nowhere"), to("seen", "us", connectors.Header{Key: "old", Value: []byte("o")}))
		m := <-tap.Messages()
		if diff := cmp.Diff([]string{"new: o", "to: us", "from: orders", "large: "}, m.Payload.Headers); diff != "" || m.Offset != 101 {
			t.Errorf("tapped %d: %s", m.Offset, diff)
		}
		tap.Close()
		s.until("committed", func(*Route) bool { return source.CommittedSum() == 102 })
		s.end()
	})
}

// TestShapeCuts: what would make too much of one batch at once is written in several parts, and nothing of it is forgotten.
func TestShapeCuts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink, writes := connectortest.NewTopic("orders", 1, connectortest.WithBatch(400)), &addressed{}, 0
		sink.down = func() error { writes++; return nil }
		for i := range 400 {
			m := to(fmt.Sprint(i), "eu")
			m.Key = make([]byte, 1300)
			source.Put(0, m)
		}
		rc := between(source, connectortest.NewTopic("out", 0))
		rc.Window.Messages, rc.Window.Bytes, rc.Sink = 512, 1<<30, sink.spec()
		s := start(t, shaped(t, rc, "true"))
		s.until("committed", func(*Route) bool { return source.CommittedSum() == 400 })
		if n := len(sink.taken()); n != 400 || writes < 400*3900/shapeBytes || writes > 40 {
			t.Errorf("%d messages in %d writes", n, writes)
		}
		s.end()
	})
}

// TestShapeRefused: what fails of a message goes to on_reject, as it was before it was mapped, and a redrive maps what
// the letters were.
func TestShapeRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, letters, sink := connectortest.NewTopic("orders", 1, connectortest.WithBatch(5)), connectortest.NewTopic("dead", 0), &addressed{}
		for i := range 20 {
			where := "eu"
			if i == 7 {
				where = "" // the template fails
			}
			source.Put(0, to(fmt.Sprint(i), where, connectors.Header{Key: "internal-a", Value: []byte("x")}))
		}
		refusing := true
		sink.fault = func(m *connectors.Message) error {
			if refusing && (m.Offset == 3 || m.Offset == 11) {
				return connectors.Permanent(errNo)
			}
			return nil
		}
		rc := between(source, connectortest.NewTopic("out", 0))
		rc.Sink, rc.OnReject, rc.DeadLetter = sink.spec(), DeadLetter, letters.SinkSpec()
		rc = shaped(t, rc, `headers["to"] != "nowhere"`)
		s := start(t, rc)
		s.until("committed", func(*Route) bool { return source.CommittedSum() == 20 })
		s.end()
		var reasons []string
		for _, m := range letters.Messages("orders/0") {
			l, ok := ReadLetter(&m)
			if !ok || l.Message.Headers[0].Key != "internal-a" || l.Message.Mapped != nil {
				t.Errorf("%v, %+v", ok, l.Message)
			}
			reasons = append(reasons, fmt.Sprint(l.Message.Offset, " ", l.Reason))
		}
		slices.Sort(reasons) // which is first depends on how many batches a Write has
		want := []string{"11 no", "3 no", "7 map.subject `headers[\"to\"]`: it gives nothing; write ?? and what to take then behind it"}
		if diff := cmp.Diff(want, reasons); diff != "" {
			t.Error(diff)
		}
		refusing, sink.took = false, nil
		r := &Redrive{}
		redriven(t, rc, r)
		if r.Count(Redriven) != 2 || r.Again() != 1 || len(sink.took) != 2 || string(sink.took[0].Key) != "to.eu.0" || len(sink.took[0].Headers) != 3 {
			t.Errorf("redriven %d, again %d, %+v", r.Count(Redriven), r.Again(), sink.took)
		}
		// What the filter does not let pass by now.
		rc = shaped(t, rc, `headers["to"] != "eu"`)
		sink.took = nil
		r = &Redrive{}
		rc.DeadLetter = refilled(t, letters).SinkSpec()
		redriven(t, rc, r)
		if r.Count(Filtered) != 2 || len(sink.took) != 0 || r.Again() != 2 {
			t.Errorf("filtered %d, again %d, %+v", r.Count(Filtered), r.Again(), sink.took)
		}
	})
}

// refilled is another dead-letter target with the same letters.
func refilled(t *testing.T, letters *connectortest.Topic) *connectortest.Topic {
	t.Helper()
	again := connectortest.NewTopic("dead2", 1)
	again.Put(0, letters.Messages("orders/0")...)
	return again
}

// TestShapeHalts: with on_reject: halt the route stops before the message whose mapping fails, loses nothing, and goes on
// when the operator gives the message up.
func TestShapeHalts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := connectortest.NewTopic("orders", 1, connectortest.WithBatch(10)), &addressed{}
		for i := range 50 {
			where := "eu"
			if i == 25 {
				where = ""
			}
			source.Put(0, to(fmt.Sprint(i), where))
		}
		rc := between(source, connectortest.NewTopic("out", 0))
		rc.Sink = sink.spec()
		s := start(t, shaped(t, rc, "true"))
		s.until("halted", func(r *Route) bool { return r.Status().Halted != nil })
		h := s.Status()[0].Halted
		if h.Reason != haltRefused || h.Place == nil || h.Place.Offset != 25 || !strings.Contains(h.Detail, "it gives nothing") {
			t.Errorf("%+v", h)
		}
		if _, err := s.Resume("orders", Resume{Skip: true, Drop: true}); err != nil {
			t.Fatal(err)
		}
		s.until("committed", func(*Route) bool { return source.CommittedSum() == 50 })
		if n := len(sink.taken()); n != 49 || s.Status()[0].Counts.Dropped != 1 {
			t.Errorf("%d written, %+v", n, s.Status()[0].Counts)
		}
		s.end()
	})
}

// TestShaped: whatever is filtered, refused by the mapping or the sink, and tried again, each message is exactly once
// where it belongs, mapped as it alone would be, in order.
func TestShaped(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		kinds := rapid.SliceOfN(rapid.SampledFrom([]string{"eu", "us", "", "nowhere", "bad", "later"}), 1, 250).Draw(rt, "kinds")
		size := rapid.IntRange(1, 250).Draw(rt, "batch")
		downs := rapid.IntRange(0, 3).Draw(rt, "downs")
		key := make([]byte, rapid.SampledFrom([]int{0, 1300}).Draw(rt, "key")) // what is made of seventy fills a Write
		synctest.Test(t, func(t *testing.T) {
			source, letters, sink := connectortest.NewTopic("orders", 1, connectortest.WithBatch(size)), connectortest.NewTopic("dead", 0), &addressed{}
			var wantWritten, wantDead []int64
			filtered := uint64(0)
			for i, kind := range kinds {
				m := to(fmt.Sprint(i), kind)
				m.Key = key
				source.Put(0, m)
				switch kind {
				case "nowhere":
					filtered++
				case "", "bad":
					wantDead = append(wantDead, int64(i))
				default:
					wantWritten = append(wantWritten, int64(i))
				}
			}
			tried := map[int64]int{}
			sink.down = func() error {
				if downs--; downs >= 0 {
					return errNo
				}
				return nil
			}
			sink.fault = func(m *connectors.Message) error {
				where := string(m.Headers[0].Value)
				switch tried[m.Offset]++; {
				case where == "bad":
					return connectors.Permanent(errNo)
				case where == "later" && tried[m.Offset] < 3:
					return errNo
				}
				return nil
			}
			rc := between(source, connectortest.NewTopic("out", 0))
			rc.Window.Messages, rc.Window.Bytes = 512, 1<<30
			rc.Sink, rc.OnReject, rc.DeadLetter = sink.spec(), DeadLetter, letters.SinkSpec()
			s := start(t, shaped(t, rc, `headers["to"] != "nowhere"`))
			s.until("committed", func(*Route) bool { return source.CommittedSum() == int64(len(kinds)) })
			var written, dead []int64
			for _, m := range sink.taken() {
				written = append(written, m.Offset)
				if want := "to." + kinds[m.Offset] + ".0"; string(m.Key) != want || string(m.Value) != fmt.Sprint(m.Offset) {
					t.Errorf("offset %d: to %q with %q, want %q", m.Offset, m.Key, m.Value, want)
				}
			}
			for _, m := range letters.Messages("orders/0") {
				l, _ := ReadLetter(&m)
				dead = append(dead, l.Message.Offset)
			}
			c := s.Status()[0].Counts
			if diff := cmp.Diff(wantWritten, written); diff != "" {
				t.Errorf("written: %s", diff)
			}
			if diff := cmp.Diff(len(wantDead), len(dead)); diff != "" || c.Filtered != filtered || c.AcknowledgedMessages != uint64(len(kinds)) {
				t.Errorf("dead %v, want %v; %+v", dead, wantDead, c)
			}
			if w := s.Status()[0].Window; w.Messages != 0 || w.Bytes != 0 {
				t.Errorf("the window holds %+v", w)
			}
			s.end()
		})
		if t.Failed() {
			rt.FailNow()
		}
	})
}

// TestSlowShapeIsLimited: a mapping that takes its time sets the pace, which is limited and never stalled, and is named as
// what has the messages.
func TestSlowShapeIsLimited(t *testing.T) {
	t.Parallel()
	source := connectortest.NewTopic("orders", 1)
	source.Put(0, connectors.Message{Key: bytes.Repeat([]byte("ab"), 16<<10)})
	source.Repeat(1 << 30)
	rc := between(source, connectortest.NewTopic("out", 0, connectortest.WithDiscard()))
	rc.Window.Messages, rc.Window.Bytes = 512, 64<<20
	c := transform.NewCompiler("orders")
	if err := c.Filter(`not (key matches "(a|b|c)*(a|ab|ba)*c$")`); err != nil {
		t.Fatal(err)
	}
	rc.Transform = c.Program()
	b, err := New(Config{Instance: "test", Routes: []RouteConfig{rc}, Drain: time.Millisecond}, zerolog.Nop(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	seen := map[string]int{}
	for begin := time.Now(); time.Since(begin) < 3*time.Second; time.Sleep(5 * time.Millisecond) {
		if s := b.Status()[0]; s.Cause != flowcontrol.CauseNone {
			seen[s.State.String()+" "+s.Blocker.String()]++
		}
	}
	stop()
	<-done
	total, blamed := 0, 0
	for what, n := range seen {
		total += n
		if strings.HasSuffix(what, " transform") {
			blamed += n
		}
	}
	if total < 50 || blamed < total*9/10 || seen["limited transform"] < total/2 {
		t.Errorf("%v", seen)
	}
}

// TestFilteredPosition: what the filter does not let pass is not missing where a position is set by what the sink holds.
func TestFilteredPosition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := timed(1, 100), connectortest.NewTopic("out", 0)
		rc := between(source, sink)
		rc.Headers = true
		c := transform.NewCompiler("orders")
		if err := c.Filter("offset % 4 != 0"); err != nil {
			t.Fatal(err)
		}
		rc.Transform = c.Program()
		s := start(t, rc)
		s.until("committed", func(*Route) bool { return source.CommittedSum() == 100 })
		moves, err := s.SetPosition(t.Context(), "orders", PositionOrder{To: "sink", DryRun: true})
		if err != nil || len(moves) != 1 || moves[0].After != 100 || sink.Written() != 75 {
			t.Errorf("%+v, %v; %d written", moves, err, sink.Written())
		}
		s.end()
	})
}

// TestShapeReturned: what has come back by the other route of a two-way bridge, and what is stale, is not written whatever
// the mapping would make of it, so that what the mapping misses in it refuses nothing.
func TestShapeReturned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := connectortest.NewTopic("orders", 1, connectortest.WithBatch(7)), &addressed{}
		for i := range 60 {
			m := to(fmt.Sprint(i), "eu")
			m.Time = time.Now()
			switch i % 3 {
			case 1:
				m = to(fmt.Sprint(i), "", connectors.Header{Key: connectors.OriginHeader, Value: []byte("nats:c/ORDERS/1;hops=1")})
			case 2:
				m = to(fmt.Sprint(i), "")
				m.Time = time.Now().Add(-48 * time.Hour)
			}
			source.Put(0, m)
		}
		rc := between(source, connectortest.NewTopic("out", 0))
		rc.WayBack, rc.Sink, rc.Stale = "back", placedSink(sink.spec(), new(atomic.Bool)), Stale{OlderThan: 24 * time.Hour}
		s := start(t, shaped(t, rc, `headers["to"] != "nowhere"`))
		s.until("committed or halted", func(r *Route) bool { return source.CommittedSum() == 60 || r.Status().Halted != nil })
		status := s.Status()[0]
		if c := status.Counts; status.Halted != nil || c.Returned != 20 || c.Stale != 20 || c.AcknowledgedMessages != 60 || len(sink.taken()) != 20 {
			t.Errorf("%+v, %d written, halted %+v", c, len(sink.taken()), status.Halted)
		}
		if w := status.Window; w.Messages != 0 || w.Bytes != 0 {
			t.Errorf("the window holds %+v", w)
		}
		s.end()
	})
}

// TestShapeOldest: while what a mapping refuses cannot be dead-lettered, the lane's oldest message is the first that is
// not done with, be it mapped already.
func TestShapeOldest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink, away := connectortest.NewTopic("orders", 1, connectortest.WithBatch(5)), &addressed{}, on()
		for i := range 20 {
			where := "eu"
			if i == 12 {
				where = ""
			}
			source.Put(0, to(fmt.Sprint(i), where))
		}
		rc := between(source, connectortest.NewTopic("out", 0))
		rc.Sink, rc.OnReject = sink.spec(), DeadLetter
		rc.DeadLetter = connectortest.FaultySink(connectortest.NewTopic("dead", 0).SinkSpec(), func([]*connectors.Batch) connectortest.Fault {
			if away.Load() {
				return connectortest.Fault{Err: errNo}
			}
			return connectortest.Fault{}
		})
		s := start(t, shaped(t, rc, "true"))
		s.until("refused", func(r *Route) bool {
			all := r.Status().InFlight
			return len(all) == 1 && strings.Contains(all[0].Error, "dead-letter sink")
		})
		if lane := s.Status()[0].InFlight[0]; lane.Messages+lane.Offset != 20 { // nothing behind it is done with
			t.Errorf("%+v", lane)
		}
		away.Store(false)
		s.until("committed", func(*Route) bool { return source.CommittedSum() == 20 })
		s.end()
	})
}
