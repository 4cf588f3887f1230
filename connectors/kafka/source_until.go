package kafka

import (
	"fmt"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/kafka/wire"
)

// readBack returns a source of what a sink had written when its Log told the ranges held. Its group is
// called name.
func readBack(c *SinkConfig, name string, held []connectors.Range) (*connectors.SourceSpec, error) {
	source := defaultSource(connectors.About{})
	source.Connection, source.Group = c.Connection, name
	source.until = map[string]int64{}
	known := map[string]bool{}
	for _, r := range held {
		topic, _, err := cutPartition(r.Partition)
		if err != nil {
			return nil, err
		}
		if !known[topic] {
			known[topic] = true
			source.Topics = append(source.Topics, topic)
		}
		source.until[r.Partition] = r.End
	}
	if err := source.Validate(); err != nil {
		return nil, fmt.Errorf("read back: %w", err)
	}
	return sourceSpec(source, connectors.About{})
}

// endOf returns where a partition ends for a source that ends, -1 if it goes on for ever.
func (s *source) endOf(partition string) int64 {
	if s.cfg.until == nil {
		return -1
	}
	return s.cfg.until[partition] // one that was not there then: at once
}

// ended reports whether everything of a partition was returned that is to be.
func (f *feed) ended() bool { return f.until >= 0 && f.located && f.next >= f.until }

// ended reports whether all partitions have ended. s.mu is held.
func (s *source) ended() bool {
	if s.cfg.until == nil || !s.settled {
		return false
	}
	for _, f := range s.feeds {
		if !f.ended() || f.reader != nil {
			return false
		}
	}
	return true
}

// trim takes the messages at and behind the end out of what was read, and reports whether there may be
// more before it.
func (f *feed) trim(out *wire.Out) (more bool) {
	if f.until < 0 {
		return true
	}
	for i := range out.Messages {
		if out.Messages[i].Offset >= f.until {
			out.Messages = out.Messages[:i]
			break
		}
	}
	return f.reader.Next() < f.until
}
