package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/sluice-bridge/sluice/connectors"
)

// The ways to break one message.
const (
	breakDrop   = "drop"
	breakDouble = "double"
	breakSwap   = "swap"
	breakAlter  = "alter"
)

// breakAfter is how many messages pass before one is broken.
const breakAfter = 200

// sabotage returns the registry with the sink of the plugin called name breaking one message, so that
// one can see the verification find it.
func sabotage(registry *connectors.Registry, name, how string) (*connectors.Registry, error) {
	plugins := registry.Plugins()
	i := slices.IndexFunc(plugins, func(p connectors.Plugin) bool { return p.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("this build has no connector %q", name)
	}
	factory := plugins[i].Sink
	plugins[i].Sink = func(decode connectors.Decode, about connectors.About) (*connectors.SinkSpec, error) {
		spec, err := factory(decode, about)
		if err != nil {
			return nil, err
		}
		broken, open := *spec, spec.Open
		broken.Open = func(ctx context.Context, env connectors.Env) (connectors.Sink, error) {
			sink, err := open(ctx, env)
			if err != nil {
				return nil, err
			}
			return &saboteur{Sink: sink, how: how}, nil
		}
		return &broken, nil
	}
	return connectors.NewRegistry(plugins...)
}

// saboteur is a sink that breaks one message of one Write.
type saboteur struct {
	connectors.Sink
	how  string
	seen atomic.Int64
	done atomic.Bool
}

// Describe passes on what the sink says of itself.
func (s *saboteur) Describe() connectors.Facts {
	if d, ok := s.Sink.(connectors.Describer); ok {
		return d.Describe()
	}
	return connectors.Facts{}
}

func (s *saboteur) Write(ctx context.Context, batches []*connectors.Batch) error {
	for i, b := range batches {
		// Two messages, so that there is something to exchange and something left.
		if s.seen.Add(int64(len(b.Messages))) < breakAfter || len(b.Messages) < 2 || !s.done.CompareAndSwap(false, true) {
			continue
		}
		broken := slices.Clone(batches)
		broken[i] = s.breakOne(b)
		err := s.Sink.Write(ctx, broken)
		if err != nil {
			s.done.Store(false)
			// Its indexes count other messages than the bridge's; the whole Write is tried again.
			return errors.New(err.Error())
		}
		return nil
	}
	return s.Sink.Write(ctx, batches)
}

// breakOne returns a copy of b with its second message broken.
func (s *saboteur) breakOne(b *connectors.Batch) *connectors.Batch {
	c := *b
	c.Messages = slices.Clone(b.Messages)
	switch s.how {
	case breakDrop:
		c.Messages = slices.Delete(c.Messages, 1, 2)
	case breakDouble:
		c.Messages = slices.Insert(c.Messages, 1, c.Messages[1])
	case breakSwap:
		c.Messages[0], c.Messages[1] = c.Messages[1], c.Messages[0]
	case breakAlter:
		value := bytes.Clone(c.Messages[1].Value)
		if len(value) == 0 {
			value = []byte{0}
		}
		value[0] ^= 1
		c.Messages[1].Value = value
	}
	return &c
}
