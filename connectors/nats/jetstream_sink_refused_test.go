package nats

import (
	"context"
	"errors"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/sluice-bridge/sluice/connectors"
)

// A message amid others that the stream refuses for the moment is tried again and again, as the bridge
// does: what had been sent behind it by single publishes is doubled once and not with each attempt, and
// a fast-ingest batch doubles nothing.
func TestSinkDoublesOnceBehindRefused(t *testing.T) {
	forms(t, func(t *testing.T, change func(*jetstream.StreamConfig)) {
		const n = 100
		st := newSinkTest(t, startServer(t, nil).ClientURL(), func(c *jetstream.StreamConfig) {
			change(c)
			c.Discard, c.DiscardNewPerSubject, c.MaxMsgsPerSubject = jetstream.DiscardNew, true, 10*n
		})
		for range 10 * n {
			if _, err := st.js.Publish(t.Context(), "orders.b", []byte("1/0")); err != nil {
				t.Fatal(err)
			}
		}
		c := st.config()
		c.Subject = "orders.{{ key }}"
		s := st.open(c, st.env())
		b := lane(0, 0, n, 0)
		for i := range b.Messages {
			b.Messages[i].Key = []byte("a")
		}
		b.Messages[10].Key = []byte("b")
		for attempt := range 5 {
			var partial *connectors.BatchError
			if err := s.Write(t.Context(), []*connectors.Batch{b}); err != nil && errors.As(err, &partial) {
				b.Messages = b.Messages[partial.Failed[0].Index:]
			} else if err == nil {
				t.Fatal("a message that the stream refuses was acknowledged")
			}
			if b.Messages[0].Offset != 10 {
				t.Fatalf("after attempt %d message %d is the next", attempt, b.Messages[0].Offset)
			}
		}
		st.stream.MaxMsgsPerSubject = 20 * n
		if _, err := st.js.UpdateStream(t.Context(), st.stream); err != nil {
			t.Fatal(err)
		}
		for {
			var partial *connectors.BatchError
			err := s.Write(t.Context(), []*connectors.Batch{b})
			if err == nil {
				break
			}
			if errors.As(err, &partial) {
				b.Messages = b.Messages[partial.Failed[0].Index:]
			}
			if errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
		}
		got := st.stored()["0"]
		seen := map[int]bool{}
		for _, i := range got {
			seen[i] = true
		}
		most := n
		if form(s.form.Load()) == formPipelined {
			most = n + n - 11 // what stood behind it, once more
		}
		if len(seen) != n || len(got) > most {
			t.Errorf("%d different messages of %d, %d in all, want at most %d", len(seen), n, len(got), most)
		}
	})
}
