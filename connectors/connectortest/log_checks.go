package connectortest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
)

// checkLogFields: what was stored is read as it was, nil apart from empty, headers in order.
func checkLogFields(r *logRun) {
	want := oddities(r.h.Lacks)
	r.fill(want...)
	for i, m := range r.whole() {
		m.Headers = slices.DeleteFunc(m.Headers, func(h connectors.Header) bool { return h.Key == connectors.OriginHeader })
		if d := difference(r.h.Lacks, &want[i], &m); d != "" {
			r.Errorf("message %d: %s", i, d)
		}
	}
}

// checkLogOrigin: Sluice-Origin is among the headers: what the sink wrote, or what a message brought.
func checkLogOrigin(r *logRun) {
	if r.h.Lacks.has(Headers) {
		r.Skip("there are no headers")
	}
	messages := letters(0, 0, 3, 20)
	brought := connectors.Header{Key: connectors.OriginHeader, Value: []byte("other:there/x/7;hops=2")}
	messages[1].Headers = append(messages[1].Headers, brought)
	r.fill(messages...)
	for i, m := range r.whole() {
		want := ""
		switch {
		case r.place.Sink != nil && i == 1:
			want = fmt.Sprintf("%s/%d;hops=3", logOrigin, i)
		case r.place.Sink != nil:
			want = fmt.Sprintf("%s/%d;hops=1", logOrigin, i)
		case i == 1:
			want = string(brought.Value)
		}
		if got := connectors.FindOrigin(m.Headers); string(got) != want {
			r.Errorf("message %d has %s %q, want %q", i, connectors.OriginHeader, got, want)
		}
	}
}

// checkLogBounds: Read keeps to [from, to), whatever that is of what there is.
func checkLogBounds(r *logRun) {
	const n = 100
	r.fill(letters(0, 0, n, 100)...)
	all, b := r.whole(), r.bounds()
	for _, c := range [][2]int{{0, 1}, {n - 1, n}, {10, 90}, {50, 50}, {60, 40}, {1, n}} {
		from, to := b.End, b.End
		if c[0] < n {
			from = all[c[0]].Offset
		}
		if c[1] < n {
			to = all[c[1]].Offset
		}
		got := r.read(r.place.Partition, from, to)
		if want := all[c[0]:max(c[0], c[1])]; !slices.EqualFunc(got, want, sameLetter) {
			r.Errorf("Read [%d, %d): %d messages, want %d", from, to, len(got), len(want))
		}
	}
	if got := r.read(r.place.Partition, -5, b.End+1000); len(got) != n {
		r.Errorf("Read beyond both ends: %d messages, want %d", len(got), n)
	}
	if got := r.read(r.place.Partition, b.End, b.End+10); len(got) != 0 {
		r.Errorf("Read behind the end: %d messages", len(got))
	}
}

func sameLetter(a, b connectors.Message) bool {
	return a.Offset == b.Offset && string(a.Value) == string(b.Value)
}

// checkLogHoles: what vanished is stepped over, in the middle and at either end.
func checkLogHoles(r *logRun) {
	if r.place.Remove == nil {
		r.Skip("nothing can vanish")
	}
	const n = 100
	r.fill(letters(0, 0, n, 20)...)
	all := r.whole()
	var gone []int64
	kept := slices.DeleteFunc(slices.Clone(all), func(m connectors.Message) bool {
		i := slices.IndexFunc(all, func(o connectors.Message) bool { return o.Offset == m.Offset })
		vanishes := i < 2 || i%7 == 3 || i >= 40 && i < 60 || i >= n-3
		if vanishes {
			gone = append(gone, m.Offset)
		}
		return vanishes
	})
	r.place.Remove(r, gone...)
	b := r.bounds()
	if got := r.read(r.place.Partition, 0, b.End); !slices.EqualFunc(got, kept, sameLetter) {
		r.Errorf("%d messages, want %d", len(got), len(kept))
	}
	if got := r.read(r.place.Partition, all[40].Offset, all[60].Offset); len(got) != 0 {
		r.Errorf("%d messages, want none", len(got))
	}
}

// checkLogFind: the first message that was stored at a time or later.
func checkLogFind(r *logRun) {
	const n = 40
	r.fill(stamped(0, n)...)
	time.Sleep(3 * time.Millisecond)
	between := time.Now()
	time.Sleep(3 * time.Millisecond)
	r.fill(stamped(n, n)...)
	all, b := r.whole(), r.bounds()
	for _, c := range []struct {
		t    time.Time
		want int64
	}{
		{time.Time{}, b.First},
		{between.Add(-time.Hour), all[0].Offset},
		{between, all[n].Offset},
		{between.Add(time.Hour), b.End},
	} {
		got, err := r.log.Find(r.ctx, r.place.Partition, c.t)
		if err != nil {
			r.Fatalf("Find %v: %v", c.t, err)
		}
		if got != c.want {
			r.Errorf("Find %v from the middle: %d, want %d", c.t.Sub(between), got, c.want)
		}
	}
}

// stamped are letters of now, for places that go by the time a message has.
func stamped(first, n int) []connectors.Message {
	all := letters(0, first, n, 20)
	for i := range all {
		all[i].Time = time.Now().Truncate(time.Millisecond)
	}
	return all
}

// checkLogVisit: an error of visit ends Read and is what it returns.
func checkLogVisit(r *logRun) {
	r.fill(letters(0, 0, 100, 20)...)
	enough, b, calls := errors.New("enough"), r.bounds(), 0
	err := r.log.Read(r.ctx, r.place.Partition, b.First, b.End, func(*connectors.Message) error {
		if calls++; calls == 50 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || calls != 50 {
		r.Errorf("Read returned %v after %d calls, want the error of the 50th", err, calls)
	}
	r.whole() // it can go on
}

// checkLogEmpty: a partition without messages is no error and holds nothing.
func checkLogEmpty(r *logRun) {
	name := r.place.Empty
	if name == "" {
		name = r.place.Partition
	} else {
		r.fill(letters(0, 0, 3, 20)...)
	}
	b := r.rangeOf(name)
	if b.First != b.End {
		r.Errorf("an empty partition holds [%d, %d)", b.First, b.End)
	}
	if got := r.read(name, 0, b.End+5); len(got) > 0 {
		r.Errorf("an empty partition has %d messages", len(got))
	}
	for _, t := range []time.Time{{}, time.Now(), time.Now().Add(time.Hour)} {
		if got, err := r.log.Find(r.ctx, name, t); got != b.End || err != nil {
			r.Errorf("Find in an empty partition: %d, %v, want its end %d", got, err, b.End)
		}
	}
}

// checkLogGrowth: what came after the log was opened is read too.
func checkLogGrowth(r *logRun) {
	r.fill(letters(0, 0, 60, 20)...)
	before := r.bounds()
	r.whole()
	r.fill(letters(0, 60, 60, 20)...)
	if got := r.bounds(); got.End <= before.End {
		r.Errorf("the end stays %d", got.End)
	}
	for i, m := range r.whole() {
		if _, number, ok := parseLetter(m.Value); !ok || number != i {
			r.Fatalf("message %d is %s", i, show(m.Value))
		}
	}
}

// checkLogNames: partitions and positions are called as in the source's batches.
func checkLogNames(r *logRun) {
	if r.place.Source == nil {
		r.Skip("there is no source")
	}
	r.fill(letters(0, 0, 5, 20)...)
	s, err := r.place.Source(r).Open(r.ctx, r.h.environment(r, NewHost()))
	if err != nil {
		r.Fatalf("Open: %v", err)
	}
	defer r.h.abandon(s)
	b, err := s.Fetch(r.ctx, wideRoom())
	if err != nil {
		r.Fatalf("Fetch: %v", err)
	}
	if got := r.rangeOf(b.Partition); got.Origin != b.Origin {
		r.Errorf("the origin of %s is %q, the source says %q", b.Partition, got.Origin, b.Origin)
	}
	if got, want := r.whole()[0].Offset, b.Messages[0].Offset; got != want {
		r.Errorf("the first message is at %d, the source says %d", got, want)
	}
}

// checkLogCancelled: a context that has ended ends Read.
func checkLogCancelled(r *logRun) {
	r.fill(letters(0, 0, 100, 20)...)
	b := r.bounds()
	over, cancel := context.WithCancel(r.ctx)
	defer cancel()
	err := within(over, r, r.h.Grace, "Read", func() error {
		return r.log.Read(over, r.place.Partition, b.First, b.End+1_000_000, func(*connectors.Message) error {
			cancel()
			return nil
		})
	})
	if err != nil && !errors.Is(err, context.Canceled) {
		r.Errorf("Read: %v", err)
	}
	r.whole()
}
