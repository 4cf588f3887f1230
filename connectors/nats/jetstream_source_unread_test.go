package nats

import (
	"math"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/sluice-bridge/sluice/connectors"
)

// The first limit that is reached counts, at the rate at which the stream was written to lately.
func TestForecast(t *testing.T) {
	begin := time.Unix(1_700_000_000, 0)
	stored := begin.Add(-time.Minute)
	for name, c := range map[string]struct {
		change func(*streamInfo)
		want   time.Duration // after the second look; -1: never
		limit  string
	}{
		"none":      {func(*streamInfo) {}, -1, ""},
		"age":       {func(i *streamInfo) { i.Config.MaxAge = time.Hour }, time.Hour - time.Minute - 20*time.Second, "max_age of the stream"},
		"messages":  {func(i *streamInfo) { i.Config.MaxMsgs = 3000 }, 10 * time.Second, "max_msgs of the stream"},
		"bytes":     {func(i *streamInfo) { i.Config.MaxBytes = 300_000 }, 10 * time.Second, "max_bytes of the stream"},
		"over":      {func(i *streamInfo) { i.Config.MaxMsgs = 10 }, 0, "max_msgs of the stream"},
		"the first": {func(i *streamInfo) { i.Config.MaxMsgs, i.Config.MaxAge = 3000, 85*time.Second }, 5 * time.Second, "max_age of the stream"},
		"refuses":   {func(i *streamInfo) { i.Config.MaxMsgs, i.Config.Discard = 3000, "new" }, -1, ""},
	} {
		var a ahead
		var i streamInfo
		i.Config.Discard = "old"
		c.change(&i)
		var u connectors.Unread
		for look := range 3 { // 100 messages a second
			now := begin.Add(time.Duration(look) * 10 * time.Second)
			i.State.FirstSeq, i.State.LastSeq = 1, uint64(1000+1000*look)
			i.State.Messages, i.State.Bytes = i.State.LastSeq, 100*i.State.LastSeq
			u = connectors.Unread{Oldest: stored}
			a.forecast(&u, &i, 1000, now)
		}
		got := time.Duration(-1)
		if !u.Lost.IsZero() {
			got = u.Lost.Sub(begin.Add(20 * time.Second))
		}
		if math.Abs((got-c.want).Seconds()) > 0.001 || u.Limit != c.limit {
			t.Errorf("%s: lost %v from now by %q, want %v by %q", name, got, u.Limit, c.want, c.limit)
		}
	}
}

// A source says how old what it has not read is, and what the stream's limits make of that.
func TestSourceForecasts(t *testing.T) {
	st := newStreamTest(t, func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour })
	st.publish(1, 10)
	s := st.open(st.config(), newSourceHost(), "a")
	b, err := s.Fetch(t.Context(), connectors.Room{Messages: 4, Bytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	want := b.Messages[len(b.Messages)-1].Time
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		if u := s.Unread(); u.Oldest.Equal(want) && u.Lost.Equal(want.Add(time.Hour)) && u.Limit == "max_age of the stream" {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("unread %+v, the last message read is of %v", u, want)
		}
	}
}
