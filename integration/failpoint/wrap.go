package failpoint

import (
	"context"
	"sync"

	"github.com/sluice-bridge/sluice/connectors"
)

// wrap puts the points of t around the ends of a plugin. What is optional in the contract stays as it is.
func wrap(p connectors.Plugin, t *trap) connectors.Plugin {
	if inner := p.Source; inner != nil {
		p.Source = func(d connectors.Decode, a connectors.About) (*connectors.SourceSpec, error) {
			spec, err := inner(d, a)
			if err != nil {
				return nil, err
			}
			wrapped := *spec
			wrapped.Open = func(ctx context.Context, env connectors.Env) (connectors.Source, error) {
				s, err := spec.Open(ctx, env)
				if err != nil {
					return nil, err
				}
				return wrapSource(s, t, spec.Facts), nil
			}
			return &wrapped, nil
		}
	}
	if inner := p.Sink; inner != nil {
		p.Sink = func(d connectors.Decode, a connectors.About) (*connectors.SinkSpec, error) {
			spec, err := inner(d, a)
			if err != nil {
				return nil, err
			}
			wrapped := *spec
			wrapped.Open = func(ctx context.Context, env connectors.Env) (connectors.Sink, error) {
				s, err := spec.Open(ctx, env)
				if err != nil {
					return nil, err
				}
				return &sink{Sink: s, trap: t, facts: spec.Facts}, nil
			}
			return &wrapped, nil
		}
	}
	return p
}

// source has the points around a source.
type source struct {
	connectors.Source
	trap  *trap
	facts connectors.Facts

	mu  sync.Mutex
	ids map[*connectors.Batch][]int64 // of what is fetched and not committed
}

func wrapSource(inner connectors.Source, t *trap, facts connectors.Facts) connectors.Source {
	s := &source{Source: inner, trap: t, facts: facts, ids: map[*connectors.Batch][]int64{}}
	if p, ok := inner.(connectors.Pauser); ok {
		return struct {
			*source
			connectors.Pauser
		}{s, p}
	}
	return s
}

func (s *source) Fetch(ctx context.Context, room connectors.Room) (*connectors.Batch, error) {
	b, err := s.Source.Fetch(ctx, room)
	if err != nil {
		return nil, err
	}
	ids := idsOf(b)
	s.mu.Lock()
	s.ids[b] = ids
	s.mu.Unlock()
	s.trap.pass(Fetched, ids)
	return b, nil
}

// Recycle implements connectors.Recycler, for sources that are none too: it is the first that a source
// hears of an acknowledgement.
func (s *source) Recycle(b *connectors.Batch) {
	s.trap.pass(Acknowledged, idsOf(b))
	if r, ok := s.Source.(connectors.Recycler); ok {
		r.Recycle(b)
	}
}

func (s *source) Commit(ctx context.Context, done []*connectors.Batch) error {
	var ids []int64
	s.mu.Lock()
	for _, b := range done {
		ids = append(ids, s.ids[b]...)
	}
	s.mu.Unlock()
	s.trap.pass(CommitBegun, ids)
	if err := s.Source.Commit(ctx, done); err != nil {
		return err
	}
	s.trap.pass(CommitDone, ids)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range done {
		delete(s.ids, b)
	}
	return nil
}

// Lag implements connectors.Lagger.
func (s *source) Lag() (int64, bool) {
	if l, ok := s.Source.(connectors.Lagger); ok {
		return l.Lag()
	}
	return 0, false
}

// Describe implements connectors.Describer.
func (s *source) Describe() connectors.Facts { return describe(s.Source, s.facts) }

// sink has the points around a sink.
type sink struct {
	connectors.Sink
	trap  *trap
	facts connectors.Facts
}

func (s *sink) Write(ctx context.Context, batches []*connectors.Batch) error {
	ids := idsOf(batches...)
	s.trap.pass(WriteBegun, ids)
	if half := len(ids) / 2; half > 0 && s.trap.due(WriteHalf) {
		if err := s.Sink.Write(ctx, firsts(batches, half)); err != nil {
			return err
		}
		s.trap.spring(Passage{Point: WriteHalf, IDs: ids[:half], Rest: ids[half:]})
	}
	if err := s.Sink.Write(ctx, batches); err != nil {
		return err
	}
	s.trap.pass(WriteDone, ids)
	return nil
}

// firsts returns batches with their first n messages only.
func firsts(batches []*connectors.Batch, n int) (part []*connectors.Batch) {
	for _, b := range batches {
		view := *b
		view.Messages = b.Messages[:min(n, len(b.Messages))]
		if n -= len(view.Messages); len(view.Messages) > 0 {
			part = append(part, &view)
		}
	}
	return part
}

// Describe implements connectors.Describer.
func (s *sink) Describe() connectors.Facts { return describe(s.Sink, s.facts) }

func describe(end any, facts connectors.Facts) connectors.Facts {
	if d, ok := end.(connectors.Describer); ok {
		return d.Describe()
	}
	return facts
}
