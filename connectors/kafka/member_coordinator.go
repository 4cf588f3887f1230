package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sluice-bridge/sluice/connectors/kafka/wire"
)

// call sends a request to the coordinator, which it finds first if need be.
func (m *member) call(ctx context.Context, timeout time.Duration, req *wire.Call) (*wire.Answer, error) {
	m.mu.Lock()
	node := m.node
	m.mu.Unlock()
	if node < 0 {
		var err error
		if node, err = m.find(ctx); err != nil {
			return nil, err
		}
	}
	req.Node = node
	answer, err := m.s.conn.call(ctx, timeout, req)
	if err != nil && ctx.Err() == nil {
		m.forget()
		m.s.signal(m.s.stale) // it may have moved
	}
	return answer, err
}

// moved looks elsewhere for the coordinator if c says that it is not where we asked.
func (m *member) moved(c code) {
	if c.class() == classCoordinator {
		m.forget()
	}
}

func (m *member) forget() {
	m.mu.Lock()
	m.node = -1
	m.mu.Unlock()
}

// find asks a configured broker, and some of those known, who coordinates the group.
func (m *member) find(ctx context.Context) (int32, error) {
	nodes := []int32{wire.AnyBroker}
	if known := m.s.conn.cached(); known != nil {
		nodes = append(nodes, slices.Sorted(maps.Keys(known.Brokers))...)
	}
	var first error
	for _, node := range nodes[:min(len(nodes), maxBrokersToAsk)] {
		answer, err := m.s.conn.call(ctx, m.s.timing.request, &wire.Call{
			Key: wire.FindCoordinatorKey, Version: wire.FindCoordinatorVersion, Node: node,
			Body: wire.AppendFindCoordinator(nil, m.s.cfg.Group),
		})
		if err == nil {
			return m.found(answer)
		}
		if ctx.Err() != nil {
			return -1, ctx.Err()
		}
		if first == nil {
			first = err
		}
	}
	return -1, first
}

func (m *member) found(answer *wire.Answer) (int32, error) {
	node, c, err := wire.ReadCoordinator(answer.Body)
	if err := errors.Join(err, codeError(code(c), "find the coordinator of group %s", m.s.cfg.Group)); err != nil {
		return -1, err
	}
	if node < 0 {
		return -1, fmt.Errorf("group %s has no coordinator", m.s.cfg.Group)
	}
	m.mu.Lock()
	m.node = node
	m.mu.Unlock()
	return node, nil
}
