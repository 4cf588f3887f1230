package connectortest

import (
	"context"
	"slices"
	"testing"

	"github.com/sluice-bridge/sluice/connectors"
)

// mutantPositions are mostly others.
type mutantPositions struct {
	connectors.Positions
	committed func([]connectors.Position)
	set       func(map[string]int64) error
}

func (m *mutantPositions) Committed(ctx context.Context) ([]connectors.Position, error) {
	all, err := m.Positions.Committed(ctx)
	if m.committed != nil {
		m.committed(all)
	}
	return all, err
}

func (m *mutantPositions) Set(ctx context.Context, next map[string]int64) error {
	if m.set != nil {
		return m.set(next)
	}
	return m.Positions.Set(ctx, next)
}

func TestSuiteNoticesPositions(t *testing.T) {
	for _, c := range []struct {
		name, check string
		seed        func(*mutantPositions, *Topic)
		words       string
	}{
		{"off by one", "committed", func(m *mutantPositions, _ *Topic) {
			m.committed = func(all []connectors.Position) { all[0].Next++ }
		}, "position 51, known true; want 50"},
		{"known before anything is", "committed", func(m *mutantPositions, _ *Topic) {
			m.committed = func(all []connectors.Position) { all[0].Known = true }
		}, "nothing was committed"},
		{"of nowhere", "committed", func(m *mutantPositions, _ *Topic) {
			m.committed = func(all []connectors.Position) { all[0].Origin = "" }
		}, `of ""`},
		{"in any order", "committed", func(m *mutantPositions, _ *Topic) { m.committed = slices.Reverse[[]connectors.Position] }, "not in the order"},
		{"set under a reader", "committed", func(m *mutantPositions, topic *Topic) {
			m.set = func(next map[string]int64) error {
				topic.mu.Lock()
				defer topic.mu.Unlock()
				for name, at := range next {
					topic.find(name).committed = at
				}
				return nil
			}
		}, "while a source reads"},
		{"set by nobody", "set", func(m *mutantPositions, _ *Topic) {
			m.set = func(map[string]int64) error { return nil }
		}, "was set to 20"},
		{"set one too far", "set", func(m *mutantPositions, _ *Topic) {
			m.set = func(next map[string]int64) error {
				for name := range next {
					next[name]++
				}
				return m.Positions.Set(context.Background(), next)
			}
		}, "letter 21 came, 20 was next"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := memorySource(func(s connectors.Source, _ connectors.Host) connectors.Source { return s })
			made := h.New
			h.New = func(t testing.TB) Upstream {
				up := made(t)
				spec := up.Spec
				up.Spec = func(t testing.TB) *connectors.SourceSpec {
					s := spec(t)
					open := s.Positions
					s.Positions = func(ctx context.Context, env connectors.Env) (connectors.Positions, error) {
						p, err := open(ctx, env)
						m := &mutantPositions{Positions: p}
						c.seed(m, p.(topicPositions).topic)
						return m, err
					}
					return s
				}
				return up
			}
			hasty(&h.Settings, false)
			checks := sourceChecks()
			i := slices.IndexFunc(checks, func(s sourceCheck) bool { return s.name == c.check })
			watch(t, func(t testing.TB) { runSourceCheck(t, h, checks[i].run) }).notices(t, c.words)
		})
	}
}
