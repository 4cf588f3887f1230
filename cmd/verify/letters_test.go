package verify

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/sluice-bridge/sluice/bridge"
	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/connectortest"
)

// bridged moves 100 messages whose sink refuses those at the positions, which become dead letters.
func bridged(t *testing.T, refused ...int64) (source, sink, letters *connectortest.Topic) {
	source, sink, letters = connectortest.NewTopic("orders", 2), connectortest.NewTopic("out", 0), connectortest.NewTopic("dead", 0)
	for i := range 100 {
		source.Put(i%2, connectors.Message{Value: []byte(strconv.Itoa(i)), Key: []byte("k")})
	}
	faults := func(batches []*connectors.Batch) connectortest.Fault {
		var failed []connectors.Failure
		index := 0
		for _, b := range batches {
			for i := range b.Messages {
				for _, at := range refused {
					if b.Messages[i].Offset == at && b.Partition == "orders/0" {
						failed = append(failed, connectors.Failure{Index: index, Err: connectors.Permanent(errors.New("no"))})
					}
				}
				index++
			}
		}
		if len(failed) == 0 {
			return connectortest.Fault{}
		}
		return connectortest.Fault{Err: &connectors.BatchError{Failed: failed}}
	}
	b, err := bridge.New(bridge.Config{Instance: "test", Routes: []bridge.RouteConfig{{
		Name: "orders", Source: source.SourceSpec(), Sink: connectortest.FaultySink(sink.SinkSpec(), faults), Headers: true,
		OnReject: bridge.DeadLetter, DeadLetter: letters.SinkSpec(),
	}}}, zerolog.Nop(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	if err := source.AwaitCommitted(t.Context(), 100); err != nil {
		t.Fatal(err)
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return source, sink, letters
}

func logOf(t *testing.T, topic *connectortest.Topic) connectors.Log {
	l, err := topic.Log(t.Context(), connectors.Env{})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// A message that has a dead letter is not lost, whatever became of it later.
func TestDeadLettersAreAccountedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink, letters := bridged(t, 7, 8, 40)
		ends := Ends{Source: logOf(t, source), Sink: logOf(t, sink), Letters: logOf(t, letters)}
		r := compare(t, ends, Options{Route: "orders", Whole: true})
		if p := r.Partitions[0]; !r.Equal || p.DeadLettered != 3 || !cmp.Equal(p.DeadLetters, []int64{7, 8, 40}) {
			t.Errorf("%s, dead-lettered %v", r.Verdict(), p.DeadLetters)
		}
		if r := compare(t, ends, Options{Route: "another", Whole: true}); r.Counts[Lost] != 3 {
			t.Errorf("letters of another route: %s", r.Verdict())
		}
		if r := compare(t, Ends{Source: ends.Source, Sink: ends.Sink}, Options{Route: "orders", Whole: true}); r.Counts[Lost] != 3 {
			t.Errorf("without the letters: %s", r.Verdict())
		}

		// Redriven: it comes late, and once.
		again := &connectors.Batch{Partition: "orders/0", Origin: "memory:orders/0", Messages: source.Messages("orders/0")[8:9]}
		w, err := sink.SinkSpec().Open(t.Context(), connectors.Env{})
		if err != nil {
			t.Fatal(err)
		}
		for want, n := map[Kind]int64{}, int64(1); n < 3; n++ {
			if err := w.Write(t.Context(), []*connectors.Batch{again}); err != nil {
				t.Fatal(err)
			}
			if r := compare(t, ends, Options{Route: "orders", Whole: true}); !cmp.Equal(r.Counts, want) {
				t.Errorf("redriven %d times: %s", n, r.Verdict())
			}
			want[Doubled]++
		}
	})
}
