package bridge

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/connectortest"
)

// picky is a sink that refuses values for good while bad holds them, and keeps what it was given, batch
// and all.
type picky struct {
	mu   sync.Mutex
	bad  map[string]bool
	took []connectors.Batch
}

func (s *picky) spec() *connectors.SinkSpec {
	return &connectors.SinkSpec{Open: func(context.Context, connectors.Env) (connectors.Sink, error) { return s, nil }}
}

func (s *picky) Close(context.Context) error { return nil }

func (s *picky) Write(_ context.Context, batches []*connectors.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var failed []connectors.Failure
	index := 0
	for _, b := range batches {
		for _, m := range b.Messages {
			if s.bad[string(m.Value)] {
				failed = append(failed, connectors.Failure{Index: index, Err: connectors.Permanent(fmt.Errorf("no %q", m.Value))})
			} else {
				m.Headers = append([]connectors.Header{}, m.Headers...)
				m.Key, m.Value = append([]byte{}, m.Key...), append([]byte{}, m.Value...)
				s.took = append(s.took, connectors.Batch{Partition: b.Partition, Origin: b.Origin, Messages: []connectors.Message{m}})
			}
			index++
		}
	}
	if failed != nil {
		return &connectors.BatchError{Failed: failed}
	}
	return nil
}

func (s *picky) refuse(values ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bad = map[string]bool{}
	for _, v := range values {
		s.bad[v] = true
	}
}

// redriven runs one redrive of what the letters hold now.
func redriven(t *testing.T, rc RouteConfig, r *Redrive) {
	t.Helper()
	log, err := rc.DeadLetter.Log(t.Context(), connectors.Env{})
	if err != nil {
		t.Fatal(err)
	}
	held, err := log.Ranges(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	back, err := rc.DeadLetter.ReadBack("sluice-orders-redrive", held)
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, r.Of(rc, back))
	if err := <-s.done; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// TestRedrive: letters that were refused come to the sink as if they never had been, the second refusal
// counts, and each redrive goes on behind the one before it.
func TestRedrive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, letters, sink := connectortest.NewTopic("orders", 2), connectortest.NewTopic("dead", 0), &picky{}
		for i := range 20 {
			source.Put(i%2, connectors.Message{
				Key: []byte("k"), Value: []byte(fmt.Sprint(i)), Time: time.Unix(int64(i), 7).UTC(),
				Headers: []connectors.Header{{Key: "a", Value: []byte("1")}, {Key: connectors.OriginHeader, Value: fmt.Appendf(nil, "nats:c/S/%d;hops=1", i)}},
			})
		}
		rc := between(source, letters)
		rc.OnReject, rc.Sink, rc.DeadLetter = DeadLetter, sink.spec(), letters.SinkSpec()

		plain := &picky{}
		whole := rc
		whole.Name, whole.Sink = "plain", plain.spec()
		whole.Source = source.SourceSpec()
		want := map[string]connectors.Batch{}
		func() { // what a delivery without a refusal is given
			s := start(t, whole)
			s.until("committed", func(*Route) bool { return source.CommittedSum() == 20 })
			s.end()
			for _, b := range plain.took {
				want[string(b.Messages[0].Value)] = b
			}
		}()
		again := connectortest.NewTopic("orders", 2)
		for i := range 20 {
			again.Put(i%2, source.Messages(fmt.Sprintf("orders/%d", i%2))[i/2])
		}
		rc.Source = again.SourceSpec()
		sink.refuse("3", "4", "5", "6")
		s := start(t, rc)
		s.until("committed", func(*Route) bool { return again.CommittedSum() == 20 })
		s.end()

		sink.refuse("3", "4")
		first := &Redrive{}
		redriven(t, rc, first)
		if first.Count(Redriven) != 2 || first.Again() != 2 || letters.Written() != 6 {
			t.Errorf("redriven %d, again %d, letters %d; want 2, 2, 6", first.Count(Redriven), first.Again(), letters.Written())
		}
		sink.refuse("4")
		second := &Redrive{}
		redriven(t, rc, second)
		if second.Count(Redriven) != 1 || second.Again() != 1 {
			t.Errorf("redriven %d, again %d; want 1, 1", second.Count(Redriven), second.Again())
		}
		third, fourth := &Redrive{}, &Redrive{}
		redriven(t, rc, third)
		redriven(t, rc, fourth)
		if third.Again() != 1 || fourth.Again() != 0 || fourth.Count(TooOften) != 1 {
			t.Errorf("third again %d; fourth again %d, too often %d; want 1; 0, 1", third.Again(), fourth.Again(), fourth.Count(TooOften))
		}
		got := map[string]connectors.Batch{}
		for _, b := range sink.took {
			if _, twice := got[string(b.Messages[0].Value)]; twice {
				t.Errorf("%q came twice", b.Messages[0].Value)
			}
			got[string(b.Messages[0].Value)] = b
		}
		delete(want, "4")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("what a redrive writes is not what a delivery does:\n%s", diff)
		}
		last := letters.Messages("orders/0")
		l, ok := ReadLetter(&last[len(last)-1])
		if !ok || l.Redriven != maxRedriven || l.Route != "orders" || l.Partition != "orders/0" || l.Reason != `no "4"` || l.Message.Offset != 2 {
			t.Errorf("the last letter of 4 is %+v", l)
		}
	})
}

// TestRedrivePassesOver: what is no letter of the route stays where it is.
func TestRedrivePassesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		letters, sink := connectortest.NewTopic("dead", 1), &picky{}
		letter := func(l Letter) connectors.Message { l.Partition, l.Reason = "p", "r"; return l.message() }
		letters.Put(0,
			letter(Letter{Route: "orders", Message: connectors.Message{Value: []byte("a")}}),
			letter(Letter{Route: "other", Message: connectors.Message{Value: []byte("b")}}),
			letter(Letter{Route: "orders", Undecoded: true, Message: connectors.Message{Value: []byte("c")}}),
			letter(Letter{Route: "orders", Redriven: 3, Message: connectors.Message{Value: []byte("d")}}),
			connectors.Message{Value: []byte("e")},
			letter(Letter{Route: "orders", Redriven: 2, Message: connectors.Message{Value: []byte("f")}}),
		)
		rc := between(connectortest.NewTopic("orders", 1), letters)
		rc.Sink, rc.DeadLetter = sink.spec(), letters.SinkSpec()
		r := &Redrive{}
		redriven(t, rc, r)
		var got [numFates]int64
		for f := range numFates {
			got[f] = r.Count(f)
		}
		if want := [numFates]int64{Redriven: 2, TooOften: 1, Undecoded: 1, Others: 1, NoLetter: 1}; got != want {
			t.Errorf("fates %v, want %v", got, want)
		}
		if len(sink.took) != 2 || string(sink.took[0].Messages[0].Value) != "a" || string(sink.took[1].Messages[0].Value) != "f" {
			t.Errorf("the sink took %+v", sink.took)
		}
	})
}

// TestRedriveKeepsItsPace: no more than limit, no faster than rate, and the next one goes on.
func TestRedriveKeepsItsPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		letters, sink := connectortest.NewTopic("dead", 1), &picky{}
		for i := range 1000 {
			letters.Put(0, (&Letter{Reason: "r", Route: "orders", Partition: "p", Message: connectors.Message{Value: []byte(fmt.Sprint(i))}}).message())
		}
		rc := between(connectortest.NewTopic("orders", 1), letters)
		rc.Sink, rc.DeadLetter = sink.spec(), letters.SinkSpec()
		begin := time.Now()
		redriven(t, rc, &Redrive{Limit: 300, Rate: 100})
		if d := time.Since(begin); len(sink.took) != 300 || d < 2800*time.Millisecond || d > 4*time.Second {
			t.Errorf("%d in %v, want 300 in 3 s", len(sink.took), d)
		}
		redriven(t, rc, &Redrive{Limit: 5})
		redriven(t, rc, &Redrive{})
		if n := len(sink.took); n != 1000 || string(sink.took[299+1].Messages[0].Value) != "300" {
			t.Errorf("%d in all, and the second redrive begins with %q", n, sink.took[300].Messages[0].Value)
		}
	})
}
