package connectortest

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
)

// away is a broker that can be taken away. An end that it wraps reports as a remote one does.
type away struct{ gone atomic.Bool }

func (a *away) fault(ctx context.Context, host connectors.Host, told *atomic.Int32) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if a.gone.Load() {
		if told.Swap(2) != 2 {
			host.Report(connectors.Event{Kind: connectors.Disconnected, Err: ErrFault})
		}
		return ErrFault
	}
	if told.Swap(1) != 1 {
		host.Report(connectors.Event{Kind: connectors.Connected})
	}
	return nil
}

type remoteSource struct {
	connectors.Source
	optional
	away *away
	host connectors.Host
	told atomic.Int32
}

func (s *remoteSource) Fetch(ctx context.Context, room connectors.Room) (*connectors.Batch, error) {
	if err := s.away.fault(ctx, s.host, &s.told); err != nil {
		return nil, err
	}
	return s.Source.Fetch(ctx, room)
}

func (s *remoteSource) Commit(ctx context.Context, done []*connectors.Batch) error {
	if s.away.gone.Load() {
		return ErrFault
	}
	return s.Source.Commit(ctx, done)
}

type remoteSink struct {
	connectors.Sink
	away *away
	host connectors.Host
	told atomic.Int32
}

func (s *remoteSink) Write(ctx context.Context, batches []*connectors.Batch) error {
	if err := s.away.fault(ctx, s.host, &s.told); err != nil {
		return err
	}
	return s.Sink.Write(ctx, batches)
}

// memorySource is a harness for a topic of two partitions, whose sources pass through mutate.
func memorySource(mutate func(connectors.Source, connectors.Host) connectors.Source) SourceHarness {
	return SourceHarness{New: func(testing.TB) Upstream {
		topic, broker := NewTopic("in", 2, WithAssign(), WithBatch(16)), &away{}
		return Upstream{
			Partitions: 2,
			Spec: func(testing.TB) *connectors.SourceSpec {
				spec := topic.SourceSpec()
				open := spec.Open
				spec.Remote = true
				spec.Open = func(ctx context.Context, env connectors.Env) (connectors.Source, error) {
					s, err := open(ctx, env)
					if err != nil {
						return nil, err
					}
					return mutate(&remoteSource{Source: s, optional: s.(optional), away: broker, host: env.Host}, env.Host), nil
				}
				return spec
			},
			Put:   func(_ testing.TB, p int, m ...connectors.Message) { topic.Put(p, m...) },
			Break: func(testing.TB) { broker.gone.Store(true) },
			Mend:  func(testing.TB) { broker.gone.Store(false) },
			End:   func(testing.TB) { topic.End() },
			Rebalance: func(t testing.TB) {
				if err := topic.Move(t.Context(), "in/0"); err != nil {
					t.Fatal(err)
				}
			},
		}
	}}
}

// memorySink is a harness for a topic that refuses large messages, whose sinks pass through mutate.
func memorySink(mutate func(connectors.Sink, connectors.Host) connectors.Sink) SinkHarness {
	const most = 100_000
	return SinkHarness{New: func(testing.TB) Downstream {
		topic, broker := NewTopic("out", 0), &away{}
		return Downstream{
			Oversize: most + 1,
			Spec: func(testing.TB) *connectors.SinkSpec {
				spec := FaultySink(topic.SinkSpec(), func(batches []*connectors.Batch) Fault {
					return Fault{Err: refuse(batches, most)}
				})
				open := spec.Open
				spec.Remote = true
				spec.Open = func(ctx context.Context, env connectors.Env) (connectors.Sink, error) {
					s, err := open(ctx, env)
					if err != nil {
						return nil, err
					}
					return mutate(&remoteSink{Sink: s, away: broker, host: env.Host}, env.Host), nil
				}
				return spec
			},
			Read:  func(t testing.TB, n int) []connectors.Message { return readTopic(t, topic, n) },
			Break: func(testing.TB) { broker.gone.Store(true) },
			Mend:  func(testing.TB) { broker.gone.Store(false) },
		}
	}}
}

func refuse(batches []*connectors.Batch, most int) error {
	refused := &connectors.BatchError{}
	index := 0
	for _, b := range batches {
		for i := range b.Messages {
			if len(b.Messages[i].Value) > most {
				refused.Failed = append(refused.Failed, connectors.Failure{Index: index, Err: connectors.Permanent(ErrFault)})
			}
			index++
		}
	}
	if len(refused.Failed) == 0 {
		return nil
	}
	return refused
}

func readTopic(t testing.TB, topic *Topic, n int) []connectors.Message {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := topic.AwaitWritten(ctx, int64(n)); err != nil {
		t.Fatalf("%d of %d messages arrived", topic.Written(), n)
	}
	var all []connectors.Message
	for _, p := range topic.Partitions() {
		all = append(all, topic.Messages(p)...)
	}
	return all
}

// patience is how long these tests wait for what a mutant never does.
const patience = 200 * time.Millisecond

func sameSource(s connectors.Source, _ connectors.Host) connectors.Source { return s }
func sameSink(s connectors.Sink, _ connectors.Host) connectors.Sink       { return s }

func TestMemorySource(t *testing.T) { Source(t, memorySource(sameSource)) }

func TestMemorySink(t *testing.T) { Sink(t, memorySink(sameSink)) }

func TestMemoryPlugin(t *testing.T) {
	p := Memory(NewTopic("orders", 1))
	if _, err := p.Source(Decode("topic: orders"), About()); err != nil {
		t.Error(err)
	}
	if _, err := p.Sink(Decode("topic: order"), About()); err == nil || err.Error() != `topic: there is no topic "order" in memory` {
		t.Errorf("an unknown topic: %v", err)
	}
	if _, err := p.Source(Decode("topics: orders"), About()); err == nil {
		t.Error("an unknown key was accepted")
	}
}
