package connectortest

import (
	"context"
	"errors"
	"fmt"

	"github.com/sluice-bridge/sluice/connectors"
)

// Positions opens what sources of the topic have committed.
func (t *Topic) Positions(context.Context, connectors.Env) (connectors.Positions, error) {
	return topicPositions{t}, nil
}

// Forget makes upstream lose a partition's committed position, by its name.
func (t *Topic) Forget(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.find(name)
	p.committed, p.known = 0, false
}

type topicPositions struct{ topic *Topic }

func (topicPositions) Close(context.Context) error { return nil }

func (s topicPositions) Committed(context.Context) (all []connectors.Position, err error) {
	s.topic.mu.Lock()
	defer s.topic.mu.Unlock()
	for _, p := range s.topic.partitions {
		all = append(all, connectors.Position{Partition: p.name, Origin: p.origin, Next: p.committed, Known: p.known})
	}
	return all, nil
}

func (s topicPositions) Set(_ context.Context, next map[string]int64) error {
	s.topic.mu.Lock()
	defer s.topic.mu.Unlock()
	if s.topic.readers > 0 {
		return errors.New("a source reads the topic; close it first")
	}
	for name := range next {
		if s.topic.find(name) == nil {
			return fmt.Errorf("there is no partition %q", name)
		}
	}
	for name, at := range next {
		p := s.topic.find(name)
		p.committed, p.known = at, true
	}
	s.topic.notify()
	return nil
}
