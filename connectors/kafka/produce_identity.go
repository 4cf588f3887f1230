package kafka

import (
	"errors"

	"github.com/sluice-bridge/sluice/connectors/kafka/wire"
)

// identify returns an identity of at least a generation, and its generation.
func (p *producer) identify(atLeast int) (wire.Producer, int, error) {
	p.mu.Lock()
	id, generation := p.identity, p.generation
	p.mu.Unlock()
	if generation >= max(1, atLeast) {
		return id, generation, nil
	}
	answer, err := p.conn.call(p.ctx, p.conn.timeout, &wire.Call{
		Key: wire.InitProducerIDKey, Version: wire.InitProducerIDVersion, Node: wire.AnyBroker,
		Body: wire.AppendInitProducerID(nil), Limit: 1 << 10,
	})
	if err != nil {
		return id, 0, err
	}
	id, failed, err := wire.ReadInitProducerID(answer.Body)
	if err := errors.Join(err, codeError(code(failed), "get a producer id from %s", p.conn.brokerName(wire.AnyBroker))); err != nil {
		return id, 0, err
	}
	if id.ID < 0 {
		return id, 0, codeError(codeCoordinatorLoading, "get a producer id from %s", p.conn.brokerName(wire.AnyBroker))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.identity = id
	p.generation++
	return id, p.generation, nil
}

// spoil makes a target ask for a new producer id, under which sequences start anew (KIP-360 without the
// epochs that only transactions have).
func (t *target) spoil() {
	t.atLeast = max(t.atLeast, t.generation+1)
	t.generation, t.sequence = 0, 0
}
