package bridge

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sluice-bridge/sluice/bridge/transform"
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
	Filtered       // the route's filter does not let it pass, by now
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
// least once, and order is that of the letters, behind whatever has passed since. The route's filter and mapping are
// applied to what the letters were.
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

// restorer is a route's sink that is given dead letters: it writes what they were, filtered and mapped as the route
// does.
type restorer struct {
	connectors.Sink
	redrive *Redrive
	shape   *transform.Program
}

// Describe implements connectors.Describer.
func (s *restorer) Describe() connectors.Facts { return describe(s.Sink, connectors.Facts{}) }

// restored is what is to be written of the letters of one Write, of which index are the numbers.
type restored struct {
	batches  []*connectors.Batch
	index    []int
	failed   []connectors.Failure // what the mapping refuses
	filtered int64
}

// Write implements connectors.Sink. What is not redriven is passed over.
func (s *restorer) Write(ctx context.Context, batches []*connectors.Batch) error {
	r := s.restore(batches)
	var err error
	if len(r.batches) > 0 {
		err = s.Sink.Write(ctx, r.batches)
	}
	var partial *connectors.BatchError
	if err != nil && !errors.As(err, &partial) {
		return err
	}
	written := len(r.batches)
	if partial != nil {
		written -= len(partial.Failed)
		for _, f := range partial.Failed {
			r.failed = append(r.failed, connectors.Failure{Index: r.index[f.Index], Err: f.Err})
		}
		slices.SortFunc(r.failed, func(a, b connectors.Failure) int { return a.Index - b.Index })
	}
	s.redrive.fates[Redriven].Add(int64(written))
	s.redrive.fates[Filtered].Add(r.filtered)
	if len(r.failed) == 0 {
		return nil
	}
	return &connectors.BatchError{Failed: r.failed}
}

// restore returns what the letters among some batches were.
func (s *restorer) restore(batches []*connectors.Batch) (r restored) {
	eval := s.shape.Evaluator()
	at := -1
	for _, b := range batches {
		for i := range b.Messages {
			at++
			l, fate := FateOf(s.redrive.route, &b.Messages[i])
			if fate != Redriven {
				continue
			}
			one := &connectors.Batch{
				Partition: l.Partition, Origin: l.Origin, Messages: []connectors.Message{l.Message}, Next: l.Message.Offset + 1,
			}
			passes, err := eval.Passes(one, &l.Message)
			if err == nil && passes {
				one.Messages[0], err = eval.Map(one, &l.Message)
			}
			switch {
			case err != nil:
				r.failed = append(r.failed, connectors.Failure{Index: at, Err: err})
			case passes:
				r.batches, r.index = append(r.batches, one), append(r.index, at)
			default:
				r.filtered++
			}
		}
	}
	return r
}
