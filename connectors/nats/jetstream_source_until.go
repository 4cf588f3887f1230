package nats

import (
	"errors"
	"fmt"
	"strings"

	"github.com/sluice-bridge/sluice/connectors"
)

// readBack returns a source of what a sink had written when its Log told the ranges held: a durable called
// name, of the subjects that the sink makes.
func readBack(c *JetStreamSinkConfig, subjects *subjects, name string, held []connectors.Range) (*connectors.SourceSpec, error) {
	if len(held) != 1 {
		return nil, fmt.Errorf("read back stream %s: it is one partition, not %d", c.Stream, len(held))
	}
	source := jetStreamSourceDefaults(connectors.About{})
	source.Connection, source.Stream, source.Durable = c.Connection, c.Stream, name
	source.until = uint64(held[0].End)
	if filter := subjects.filter(); filter != ">" {
		source.Subjects = connectors.List{filter}
	}
	if err := source.Validate(); err != nil {
		return nil, fmt.Errorf("read back: %w", err)
	}
	return jetStreamSourceSpec(source, connectors.About{})
}

// filter returns a filter of all subjects that the template may make: what stands before its first place,
// in whole tokens, and anything behind them.
func (s *subjects) filter() string {
	if s.constant != nil {
		return string(s.constant)
	}
	prefix := s.template.Prefix()
	return prefix[:strings.LastIndexByte(prefix, '.')+1] + ">"
}

// errLooked says that it was looked at how much there is to read.
var errLooked = errors.New("looked")

// beyond reports whether a message is behind the end of a source that ends.
func (s *jetStreamSource) beyond(stream uint64) bool { return s.cfg.until > 0 && stream >= s.cfg.until }

// ended reports whether a source that ends has returned everything before its end: the next message is
// behind it, or none is left.
func (s *jetStreamSource) ended(p *pullSession) bool {
	if s.cfg.until == 0 {
		return false
	}
	if len(p.carry) > 0 {
		return s.beyond(p.carry[0].Stream)
	}
	return s.lag.Load() == 0
}
