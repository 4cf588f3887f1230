package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/kafka/wire"
)

// mostAdvertised is how many brokers are dialled; where one listener is wrong, all are.
const mostAdvertised = 100

// askAdvertised goes where each broker says that it listens, as every client does after its first answer, and
// looks whether that is a broker of the same cluster.
func (e *examiner) askAdvertised(ctx context.Context) (all []connectors.Finding) {
	m := e.conn.cached()
	nodes := slices.Sorted(maps.Keys(m.Brokers))
	asked := nodes[:min(len(nodes), mostAdvertised)]
	why := make([]error, len(asked))
	var wg sync.WaitGroup
	for i, id := range asked { // side by side: one that swallows packets takes all the time there is
		wg.Go(func() { why[i] = e.advertised(ctx, m, id) })
	}
	wg.Wait()
	for i, id := range asked {
		if why[i] != nil {
			all = append(all, connectors.Finding{
				Level: connectors.Failed, Way: e.listenerWay(id),
				Text: fmt.Sprintf("%s answers, but it advertises broker %d at %s, which %v", e.addresses()[0], id, m.Brokers[id], why[i]),
			})
		}
	}
	if all == nil {
		return connectors.Found(connectors.Fine, "", "%d advertised address(es) reached, each of cluster %s", len(asked), m.ClusterID)
	}
	return all
}

func (e *examiner) advertised(ctx context.Context, m *metadata, id int32) error {
	address := m.Brokers[id]
	if err := connectors.Dial(ctx, address); err != nil {
		host, _, _ := net.SplitHostPort(address)
		if _, unknown := errors.AsType[*net.DNSError](err); unknown {
			return fmt.Errorf("does not resolve from here (%s: %w)", host, err)
		}
		return fmt.Errorf("cannot be reached from here: %w", err)
	}
	answer, err := e.conn.call(ctx, e.conn.timeout, &wire.Call{
		Key: metadataKey, Version: metadataPlain, Node: id, Body: appendMetadataRequest(nil, metadataPlain, nil),
	})
	if err != nil {
		return fmt.Errorf("does not answer: %w", err)
	}
	there, err := readMetadata(answer.Body, metadataPlain)
	switch {
	case err != nil:
		return fmt.Errorf("does not answer as a broker: %w", err)
	case there.ClusterID != m.ClusterID:
		return fmt.Errorf("is from here a broker of another cluster (%s, not %s)", there.ClusterID, m.ClusterID)
	}
	return nil
}

func (e *examiner) listenerWay(id int32) string {
	return fmt.Sprintf("set advertised.listeners=PLAINTEXT://%s, or where this machine reaches it, in server.properties of broker %d and restart it; "+
		"or name the listener in brokers that advertises such an address", e.addresses()[0], id)
}
