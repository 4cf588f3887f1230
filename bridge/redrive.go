package bridge

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
)

// maxRedriven is how often a dead letter is redriven: what is refused again and again would otherwise go
// round for ever.
const maxRedriven = 3

// Fate is what a redrive does with one message of a dead-letter target.
type Fate uint8

// The fates. All but Redriven stay where they are and are passed over.
const (
	Redriven  Fate = iota
	TooOften       // it was redriven maxRedriven times already
	Undecoded      // its value is no message
	Others         // it is a letter of another route
	NoLetter       // it is no dead letter, or one of a later version
	numFates
)

// FateOf says what a redrive of a route does with a message, and reads its letter.
func FateOf(route string, m *connectors.Message) (Letter, Fate) {
	l, ok := ReadLetter(m)
	switch {
	case !ok:
		return l, NoLetter
	case l.Route != route:
		return l, Others
	case l.Undecoded:
		return l, Undecoded
	case l.Redriven >= maxRedriven:
		return l, TooOften
	}
	return l, Redriven
}

// Redrive writes the dead letters of a route to its sink, as if they had never been refused. It is a route
// of its own: its source reads the dead-letter target back and ends, its sink is the route's own. What is
// refused again goes back to the dead letters with the count of its redrives one higher. Delivery is at
// least once, and order is that of the letters, behind whatever has passed since.
type Redrive struct {
	Limit int64   // letters; 0: all
	Rate  float64 // letters a second; 0: as fast as the sink takes them

	route string
	begun time.Time
	taken int64 // letters that were fetched to be redriven; of the fetcher
	fates [numFates]atomic.Int64
	again atomic.Int64
}

// Of returns the route that redrives the dead letters of rc. letters is its dead-letter sink's ReadBack.
func (r *Redrive) Of(rc RouteConfig, letters *connectors.SourceSpec) RouteConfig {
	r.route = rc.Name
	rc.Name += "-redrive"
	rc.Source, rc.SourceName = letters, "dead letters"
	sink := *rc.Sink
	sink.Log = nil // what it holds of the letters' own place says nothing about a first redrive
	rc.Sink = &sink
	rc.OnReject, rc.HaltOnGap, rc.Stale, rc.WayBack, rc.Paused, rc.Limit = DeadLetter, false, Stale{}, "", false, Limit{}
	rc.redrive = r
	return rc
}

// Count returns how many messages met a fate: those Redriven are in the sink.
func (r *Redrive) Count(f Fate) int64 { return r.fates[f].Load() }

// Again returns how many letters were refused again and are dead letters anew.
func (r *Redrive) Again() int64 { return r.again.Load() }

// pace waits as the rate says, and returns how many messages may be fetched: 0 if the limit is reached or
// ctx has ended. The fetcher calls it.
func (r *Redrive) pace(ctx context.Context) int {
	most := int64(DefaultMaxMessages)
	if r.Limit > 0 {
		most = min(most, r.Limit-r.taken)
	}
	if r.Rate == 0 || most == 0 {
		return int(most)
	}
	if r.begun.IsZero() {
		r.begun = time.Now()
	}
	due := r.begun.Add(time.Duration(float64(r.taken) / r.Rate * float64(time.Second)))
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	select {
	case <-timer.C:
		const slice = 10 // of a second that one fetch may take
		return int(min(most, max(1, int64(r.Rate)/slice)))
	case <-ctx.Done():
		return 0
	}
}

// fetched counts what a batch holds.
func (r *Redrive) fetched(b *connectors.Batch) {
	if b.Reject != nil {
		return
	}
	for i := range b.Messages {
		_, fate := FateOf(r.route, &b.Messages[i])
		if fate == Redriven {
			r.taken++
		} else {
			r.fates[fate].Add(1)
		}
	}
}

// refused returns the letter of a letter that was refused again.
func (r *Redrive) refused(l *Letter) {
	r.again.Add(1)
	l.Route = r.route
	if old, ok := ReadLetter(&l.Message); ok {
		l.Partition, l.Origin, l.Undecoded, l.Message = old.Partition, old.Origin, old.Undecoded, old.Message
		l.Redriven = old.Redriven + 1
	}
}

// restorer is a route's sink that is given dead letters: it writes what they were.
type restorer struct {
	connectors.Sink
	redrive *Redrive
}

// Describe implements connectors.Describer.
func (s *restorer) Describe() connectors.Facts { return describe(s.Sink, connectors.Facts{}) }

// Write implements connectors.Sink. What is not redriven is passed over.
func (s *restorer) Write(ctx context.Context, batches []*connectors.Batch) error {
	var restored []*connectors.Batch
	var index []int // of what is restored, among the letters
	at := 0
	for _, b := range batches {
		for i := range b.Messages {
			if l, fate := FateOf(s.redrive.route, &b.Messages[i]); fate == Redriven {
				restored = append(restored, &connectors.Batch{
					Partition: l.Partition, Origin: l.Origin, Messages: []connectors.Message{l.Message}, Next: l.Message.Offset + 1,
				})
				index = append(index, at)
			}
			at++
		}
	}
	if len(restored) == 0 {
		return nil
	}
	err := s.Sink.Write(ctx, restored)
	var partial *connectors.BatchError
	switch {
	case err == nil:
		s.redrive.fates[Redriven].Add(int64(len(restored)))
		return nil
	case !errors.As(err, &partial):
		return err
	}
	s.redrive.fates[Redriven].Add(int64(len(restored) - len(partial.Failed)))
	failed := slices.Clone(partial.Failed)
	for i := range failed {
		failed[i].Index = index[failed[i].Index]
	}
	return &connectors.BatchError{Failed: failed}
}
