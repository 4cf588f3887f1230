package connectortest

import (
	"context"
	"testing"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
)

// memoryLog is a harness for a topic, as a source's place or a sink's, whose logs pass through mutate.
func memoryLog(sink bool, mutate func(connectors.Log) connectors.Log) LogHarness {
	return LogHarness{New: func(testing.TB) Logged {
		topic := NewTopic("suite", 2, WithAssign())
		place := Logged{Partition: "suite/0", Empty: "suite/1"}
		place.Log = func(ctx context.Context, env connectors.Env) (connectors.Log, error) {
			l, err := topic.Log(ctx, env)
			return mutate(l), err
		}
		if sink {
			place.Sink = func(testing.TB) *connectors.SinkSpec { return topic.SinkSpec() }
			return place
		}
		place.Put = func(_ testing.TB, messages ...connectors.Message) { topic.Put(0, messages...) }
		place.Source = func(testing.TB) *connectors.SourceSpec { return topic.SourceSpec() }
		return place
	}}
}

func TestMemoryLogs(t *testing.T) {
	same := func(l connectors.Log) connectors.Log { return l }
	t.Run("source", func(t *testing.T) { Log(t, memoryLog(false, same)) })
	t.Run("sink", func(t *testing.T) { Log(t, memoryLog(true, same)) })
}

// reader is a log that is mostly another one.
type reader struct {
	connectors.Log
	ranges func([]connectors.Range) []connectors.Range
	find   func(int64) int64
	read   func(from, to *int64, visit func(*connectors.Message) error) func(*connectors.Message) error
	forget bool // visit's error
}

func (r *reader) Ranges(ctx context.Context) ([]connectors.Range, error) {
	all, err := r.Log.Ranges(ctx)
	if r.ranges != nil {
		all = r.ranges(all)
	}
	return all, err
}

func (r *reader) Find(ctx context.Context, partition string, t time.Time) (int64, error) {
	at, err := r.Log.Find(ctx, partition, t)
	if r.find != nil {
		at = r.find(at)
	}
	return at, err
}

func (r *reader) Read(ctx context.Context, partition string, from, to int64, visit func(*connectors.Message) error) error {
	if r.read != nil {
		visit = r.read(&from, &to, visit)
	}
	err := r.Log.Read(ctx, partition, from, to, visit)
	if r.forget {
		return nil
	}
	return err
}

// changed is a mutant that alters each message.
func changed(change func(*connectors.Message)) func(*reader) {
	return func(r *reader) {
		r.read = func(_, _ *int64, visit func(*connectors.Message) error) func(*connectors.Message) error {
			return func(m *connectors.Message) error {
				change(m)
				return visit(m)
			}
		}
	}
}

func TestSuiteNoticesLogs(t *testing.T) {
	for _, c := range []struct {
		name, check, words string
		sink               bool
		mutate             func(*reader)
	}{
		{"nil becomes empty", "fields", "value \"\", want nil", false, changed(func(m *connectors.Message) {
			if m.Value == nil {
				m.Value = []byte{}
			}
		})},
		{"drops a header", "fields", "headers", false, changed(func(m *connectors.Message) { m.Headers = nil })},
		{"drops the origin", "origin", "Sluice-Origin", true, changed(func(m *connectors.Message) { m.Headers = nil })},
		{"drops the origin a message brought", "origin", "Sluice-Origin", false, changed(func(m *connectors.Message) { m.Headers = nil })},
		{"ends a message early", "read back", "messages were read back", true, func(r *reader) {
			r.ranges = func(all []connectors.Range) []connectors.Range {
				for i := range all {
					all[i].End = max(0, all[i].End-1)
				}
				return all
			}
		}},
		{"reads one more", "bounds", "is not in", false, func(r *reader) {
			r.read = func(_, to *int64, visit func(*connectors.Message) error) func(*connectors.Message) error {
				*to++
				return visit
			}
		}},
		{"reads one less", "bounds", "messages were put", false, func(r *reader) {
			r.read = func(from, _ *int64, visit func(*connectors.Message) error) func(*connectors.Message) error {
				*from++
				return visit
			}
		}},
		{"goes back", "bounds", "comes behind", false, changed(func(m *connectors.Message) { m.Offset /= 2 })},
		{"finds the one before", "find", "from the middle", false, func(r *reader) {
			r.find = func(at int64) int64 { return max(0, at-1) }
		}},
		{"finds no end", "find", "from the middle", false, func(r *reader) {
			r.find = func(at int64) int64 {
				if at == 80 {
					return 79
				}
				return at
			}
		}},
		{"forgets visit's error", "visit", "Read returned <nil>", false, func(r *reader) { r.forget = true }},
		{"goes on after visit's error", "visit", "calls", false, func(r *reader) {
			r.read = func(_, _ *int64, visit func(*connectors.Message) error) func(*connectors.Message) error {
				var first error
				return func(m *connectors.Message) error {
					err := visit(m)
					if first == nil && err != nil {
						first = err
						return nil
					}
					return first
				}
			}
		}},
		{"does not grow", "growth", "the end stays", false, func(r *reader) {
			r.ranges = func(all []connectors.Range) []connectors.Range {
				for i := range all {
					all[i].End = min(all[i].End, 60)
				}
				return all
			}
		}},
		{"calls it otherwise", "names", "the origin of", false, func(r *reader) {
			r.ranges = func(all []connectors.Range) []connectors.Range {
				for i := range all {
					all[i].Origin += "x"
				}
				return all
			}
		}},
		{"an empty one holds something", "empty", "an empty partition holds", false, func(r *reader) {
			r.ranges = func(all []connectors.Range) []connectors.Range {
				for i := range all {
					all[i].End++
				}
				return all
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := memoryLog(c.sink, func(l connectors.Log) connectors.Log {
				r := &reader{Log: l}
				c.mutate(r)
				return r
			})
			h.setDefaults()
			for _, check := range logChecks() {
				if check.name == c.check {
					watch(t, func(tb testing.TB) { runLogCheck(tb, h, check.run) }).notices(t, c.words)
				}
			}
		})
	}
}
