package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/sluice-bridge/sluice/connectors/kafka/wire"
)

// list asks the leaders for offsets. It returns those it got, and an error if one is missing.
func (s *source) list(ctx context.Context, timestamp int64, stable bool, feeds []*feed) (map[*feed]int64, error) {
	known := s.conn.cached()
	byLeader := map[int32][]*feed{}
	var errs []error
	for _, f := range feeds {
		node := known.leader(f.topic, f.number)
		if node < 0 {
			errs = append(errs, codeError(codeLeaderNotAvailable, "leader of %s", f.name))
			continue
		}
		byLeader[node] = append(byLeader[node], f)
	}
	at := map[*feed]int64{}
	for node, feeds := range byLeader {
		answer, err := s.conn.call(ctx, s.timing.request, &wire.Call{
			Key: wire.ListOffsetsKey, Version: wire.ListOffsetsVersion, Node: node,
			Body: wire.AppendListOffsets(nil, stable, timestamp, places(feeds)),
		})
		if err != nil {
			errs = append(errs, err)
			continue
		}
		all, err := wire.ReadListed(answer.Body)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, f := range feeds {
			if o := find(all, f); o == nil {
				errs = append(errs, fmt.Errorf("%s did not answer about %s", s.conn.brokerName(node), f.name))
			} else if o.Code != 0 {
				errs = append(errs, codeError(code(o.Code), "offsets of %s", f.name))
			} else {
				at[f] = o.Offset
			}
		}
	}
	return at, errors.Join(errs...)
}

func places(feeds []*feed) []wire.Offset {
	parts := make([]wire.Offset, 0, len(feeds))
	for _, f := range byTopic(feeds) {
		parts = append(parts, wire.Offset{Topic: f.topic, Partition: f.number})
	}
	return parts
}

func find(all []wire.Offset, f *feed) *wire.Offset {
	for i := range all {
		if all[i].Partition == f.number && all[i].Topic == f.topic {
			return &all[i]
		}
	}
	return nil
}
