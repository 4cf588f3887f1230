package connectortest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/sluice-bridge/sluice/connectors"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var wide = connectors.Room{Messages: 1 << 20, Bytes: 1 << 40, Alone: true}

func values(messages []connectors.Message) (all []string) {
	for _, m := range messages {
		all = append(all, string(m.Value))
	}
	return all
}

func numbered(n int) []connectors.Message {
	all := make([]connectors.Message, n)
	for i := range all {
		all[i] = connectors.Message{Value: fmt.Appendf(nil, "m%d", i)}
	}
	return all
}

func openTopic(t *testing.T, spec *connectors.SourceSpec) connectors.Source {
	t.Helper()
	s, err := spec.Open(t.Context(), connectors.Env{Host: NewHost()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	return s
}

func TestTopicGivesBackMemoryOnce(t *testing.T) {
	topic := NewTopic("orders", 1)
	topic.Put(0, numbered(2)...)
	s := openTopic(t, topic.SourceSpec())
	b, err := s.Fetch(t.Context(), wide)
	if err != nil {
		t.Fatal(err)
	}
	kept := b.Messages[0].Value
	s.(connectors.Recycler).Recycle(b)
	if kept[0] != scribble {
		t.Errorf("a slice of a recycled batch still holds %q", kept)
	}
	defer func() {
		if recover() == nil {
			t.Error("a batch was recycled twice and nobody noticed")
		}
	}()
	s.(connectors.Recycler).Recycle(b)
}

func TestTopicRoom(t *testing.T) {
	topic := NewTopic("orders", 1)
	topic.Put(0, numbered(3)...)
	one := memory(&connectors.Message{Value: []byte("m0")})
	s := openTopic(t, topic.SourceSpec())
	var noRoom *connectors.NoRoomError
	if _, err := s.Fetch(t.Context(), connectors.Room{Messages: 9, Bytes: 1}); !errors.As(err, &noRoom) || noRoom.Need != one {
		t.Errorf("Fetch with a byte of room: %v", err)
	}
	b, err := s.Fetch(t.Context(), connectors.Room{Messages: 9, Bytes: 1, Alone: true})
	if err != nil || len(b.Messages) != 1 {
		t.Fatalf("Fetch alone: %v, %v", b, err)
	}
	b, err = s.Fetch(t.Context(), connectors.Room{Messages: 9, Bytes: 2*one - 1})
	if err != nil || len(b.Messages) != 1 || b.Memory != one {
		t.Fatalf("Fetch with room for less than two: %v, %v", b, err)
	}
}

func TestTopicRepeatsAndEnds(t *testing.T) {
	topic := NewTopic("orders", 2, WithBatch(4))
	topic.Put(0, numbered(3)...)
	topic.Put(1, numbered(3)...)
	topic.Repeat(10)
	topic.End()
	s := openTopic(t, topic.SourceSpec())
	var offsets int64
	for {
		b, err := s.Fetch(t.Context(), wide)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range b.Messages {
			offsets += m.Offset
		}
		if err := s.Commit(t.Context(), []*connectors.Batch{b}); err != nil {
			t.Fatal(err)
		}
	}
	if topic.CommittedSum() != 20 || offsets != 90 {
		t.Errorf("committed %d of 20, offsets sum to %d of 90", topic.CommittedSum(), offsets)
	}
}

func TestTopicMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		topic := NewTopic("orders", 1, WithAssign(), WithBatch(2))
		topic.Put(0, numbered(4)...)
		host := NewHost()
		s, err := topic.SourceSpec().Open(t.Context(), connectors.Env{Host: host})
		if err != nil {
			t.Fatal(err)
		}
		first, err := s.Fetch(t.Context(), wide)
		if err != nil {
			t.Fatal(err)
		}
		second, _ := s.Fetch(t.Context(), wide)
		if err := s.Commit(t.Context(), []*connectors.Batch{first}); err != nil {
			t.Fatal(err)
		}
		if err := topic.Move(t.Context(), "orders/0"); err != nil {
			t.Fatal(err)
		}
		// Invariant I9: this one was fetched before the move.
		if err := s.Commit(t.Context(), []*connectors.Batch{second}); err != nil || topic.Committed("orders/0") != 2 {
			t.Errorf("a stale commit: %v, committed %d", err, topic.Committed("orders/0"))
		}
		again, err := s.Fetch(t.Context(), wide)
		if err != nil || again.Messages[0].Offset != 2 {
			t.Errorf("after the move: %v, %v", again, err)
		}
		if want := []string{"orders/0"}; !cmp.Equal(host.Revoked(), want) {
			t.Errorf("revoked %v", host.Revoked())
		}
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestFaultySink(t *testing.T) {
	batch := func() []*connectors.Batch {
		return []*connectors.Batch{{Partition: "p", Messages: numbered(2)}, {Partition: "p", Messages: numbered(2)}}
	}
	refused := &connectors.BatchError{Failed: []connectors.Failure{{Index: 2, Err: connectors.Permanent(ErrFault)}}}
	for name, c := range map[string]struct {
		fault Fault
		want  []string
		err   error
	}{
		"none":    {Fault{}, []string{"m0", "m1", "m0", "m1"}, nil},
		"error":   {Fault{Err: ErrFault}, nil, ErrFault},
		"lost":    {Fault{Err: ErrFault, Applied: true}, []string{"m0", "m1", "m0", "m1"}, ErrFault},
		"partial": {Fault{Written: 3}, []string{"m0", "m1", "m0"}, ErrFault},
		"refused": {Fault{Err: refused}, []string{"m0", "m1", "m1"}, refused},
	} {
		t.Run(name, func(t *testing.T) {
			topic := NewTopic("out", 0)
			s, err := FaultySink(topic.SinkSpec(), func([]*connectors.Batch) Fault { return c.fault }).Open(t.Context(), connectors.Env{})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Write(t.Context(), batch()); !errors.Is(err, c.err) {
				t.Errorf("Write: %v, want %v", err, c.err)
			}
			if got := values(topic.Messages("p")); !cmp.Equal(got, c.want) {
				t.Errorf("written %v, want %v", got, c.want)
			}
		})
	}
}

func TestFaultyBlockEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		topic := NewTopic("in", 1)
		topic.Put(0, numbered(1)...)
		never := make(chan struct{})
		spec := FaultySource(topic.SourceSpec(), SourceFaults{Fetch: func() Fault { return Fault{Wait: never} }})
		s, err := spec.Open(t.Context(), connectors.Env{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := s.Fetch(ctx, wide); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Fetch: %v", err)
		}
		if _, ok := s.(connectors.Recycler); !ok {
			t.Error("the decorator hides Recycler")
		}
	})
}

func BenchmarkTopics(b *testing.B) {
	in, out := NewTopic("in", 4), NewTopic("out", 0, WithDiscard())
	for i := range 4 {
		in.Put(i, numbered(512)...)
	}
	in.Repeat(int64(b.N)/4 + 1)
	source, _ := in.SourceSpec().Open(b.Context(), connectors.Env{})
	sink, _ := out.SinkSpec().Open(b.Context(), connectors.Env{})
	done := make([]*connectors.Batch, 1)
	b.ReportAllocs()
	for n := 0; n < b.N; {
		batch, err := source.Fetch(b.Context(), wide)
		if err != nil {
			b.Fatal(err)
		}
		n += len(batch.Messages)
		done[0] = batch
		if err := sink.Write(b.Context(), done); err != nil {
			b.Fatal(err)
		}
		if err := source.Commit(b.Context(), done); err != nil {
			b.Fatal(err)
		}
	}
}
