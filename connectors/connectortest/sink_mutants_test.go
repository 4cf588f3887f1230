package connectortest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sluice-bridge/sluice/connectors"
)

// writer is a sink that is mostly another one.
type writer struct {
	connectors.Sink
	write  func(context.Context, []*connectors.Batch) error
	closed func(context.Context) error
}

func (w *writer) Write(ctx context.Context, batches []*connectors.Batch) error {
	if w.write != nil {
		return w.write(ctx, batches)
	}
	return w.Sink.Write(ctx, batches)
}

func (w *writer) Close(ctx context.Context) error {
	if w.closed != nil {
		return w.closed(ctx)
	}
	return w.Sink.Close(ctx)
}

// deep copies batches, so that a mutant may keep or change them.
func deep(batches []*connectors.Batch) []*connectors.Batch {
	all := make([]*connectors.Batch, len(batches))
	for i, b := range batches {
		c := *b
		c.Messages = make([]connectors.Message, len(b.Messages))
		for j := range b.Messages {
			c.Messages[j] = clone(&b.Messages[j])
		}
		all[i] = &c
	}
	return all
}

// altered is a mutant that changes copies of the batches before they are written.
func altered(alter func([]*connectors.Batch) []*connectors.Batch) func(*writer, connectors.Host) {
	return func(w *writer, _ connectors.Host) {
		w.write = func(ctx context.Context, batches []*connectors.Batch) error {
			return w.Sink.Write(ctx, alter(deep(batches)))
		}
	}
}

func TestSuiteNoticesSinks(t *testing.T) {
	hung := hang(t)
	for _, c := range []struct {
		name, check string
		seed        func(*writer, connectors.Host)
		words       string // of the complaint; "never: " before what shows by not happening
	}{
		{"batches change places", "order", altered(func(b []*connectors.Batch) []*connectors.Batch {
			b[0], b[len(b)-1] = b[len(b)-1], b[0]
			return b
		}), "was next"},
		{"a batch is written twice", "order", altered(func(b []*connectors.Batch) []*connectors.Batch {
			return append(b, b[len(b)-1])
		}), "arrived twice"},
		{"the last batch is lost", "order", altered(func(b []*connectors.Batch) []*connectors.Batch {
			return b[:len(b)-1]
		}), "arrived"},
		{"nothing is written", "order", func(w *writer, _ connectors.Host) {
			w.write = func(context.Context, []*connectors.Batch) error { return nil }
		}, "messages arrived"},
		{"Connected is not reported", "order", func(w *writer, _ connectors.Host) {
			w.Sink.(*remoteSink).told.Store(1)
		}, "never reported Connected"},
		{"Write calls Host.Revoke", "order", func(w *writer, host connectors.Host) {
			w.write = func(ctx context.Context, b []*connectors.Batch) error {
				host.Revoke(ctx, "suite/0")
				return w.Sink.Write(ctx, b)
			}
		}, "from inside Write"},
		{"lanes are mixed up", "lanes", func(w *writer, _ connectors.Host) {
			var mu sync.Mutex
			var kept []*connectors.Batch
			w.write = func(ctx context.Context, b []*connectors.Batch) error {
				mu.Lock()
				defer mu.Unlock()
				b, kept = append(kept, b[:len(b)-1]...), deep(b[len(b)-1:])
				return w.Sink.Write(ctx, b)
			}
		}, ""},
		{"null becomes empty", "fields", altered(func(batches []*connectors.Batch) []*connectors.Batch {
			for _, b := range batches {
				for i := range b.Messages {
					b.Messages[i].Value = append([]byte{}, b.Messages[i].Value...)
				}
			}
			return batches
		}), "want nil"},
		{"headers are lost", "fields", altered(func(batches []*connectors.Batch) []*connectors.Batch {
			for _, b := range batches {
				for i := range b.Messages {
					b.Messages[i].Headers = nil
				}
			}
			return batches
		}), "headers"},
		{"a large Write is cut", "large", altered(func(b []*connectors.Batch) []*connectors.Batch {
			return b[:min(4, len(b))]
		}), "arrived"},
		{"slices are kept", "kept", func(w *writer, _ connectors.Host) {
			var kept []*connectors.Batch
			w.write = func(ctx context.Context, b []*connectors.Batch) error {
				late := kept
				kept = nil
				for _, one := range b {
					shallow := *one
					shallow.Messages = slices.Clone(one.Messages)
					kept = append(kept, &shallow)
				}
				return w.Sink.Write(ctx, append(late, b...))
			}
		}, "never written"},
		{"Write does not look at its context", "interrupted", func(w *writer, _ connectors.Host) {
			w.write = func(ctx context.Context, b []*connectors.Batch) error {
				if ctx.Err() != nil {
					hung()
				}
				return w.Sink.Write(ctx, b)
			}
		}, "Write has not returned"},
		{"an interrupted Write is acknowledged", "interrupted", func(w *writer, _ connectors.Host) {
			w.write = func(ctx context.Context, b []*connectors.Batch) error {
				if ctx.Err() != nil {
					return nil
				}
				return w.Sink.Write(ctx, b)
			}
		}, "arrived"},
		{"what is oversize is lost", "oversize", func(w *writer, _ connectors.Host) {
			w.write = func(ctx context.Context, b []*connectors.Batch) error {
				err := w.Sink.Write(ctx, b)
				if e := new(connectors.BatchError); errors.As(err, &e) {
					return nil
				}
				return err
			}
		}, "was acknowledged"},
		{"one oversize refuses all", "oversize", func(w *writer, _ connectors.Host) {
			w.write = func(ctx context.Context, b []*connectors.Batch) error {
				err := w.Sink.Write(ctx, b)
				if e := new(connectors.BatchError); errors.As(err, &e) {
					return cut(b, 0, connectors.Permanent(ErrFault))
				}
				return err
			}
		}, "beside an oversize"},
		{"one oversize halts the route", "oversize", func(w *writer, _ connectors.Host) {
			w.write = func(ctx context.Context, b []*connectors.Batch) error {
				err := w.Sink.Write(ctx, b)
				if e := new(connectors.BatchError); errors.As(err, &e) {
					return connectors.Permanent(ErrFault)
				}
				return err
			}
		}, "permanent error"},
		{"a message is acknowledged behind one to try again", "order", func(w *writer, _ connectors.Host) {
			w.write = func(_ context.Context, b []*connectors.Batch) error {
				return &connectors.BatchError{Failed: []connectors.Failure{{Index: count(b) - 2, Err: ErrFault}}}
			}
		}, "acknowledged behind"},
		{"indexes are out of range", "order", func(w *writer, _ connectors.Host) {
			w.write = func(_ context.Context, b []*connectors.Batch) error { return cut(append(b, b...), count(b), nil) }
		}, "BatchError: index"},
		{"a broker that is away acknowledges", "outage", func(w *writer, _ connectors.Host) {
			w.write = func(ctx context.Context, b []*connectors.Batch) error {
				if err := w.Sink.Write(ctx, b); err != nil && !errors.Is(err, ErrFault) {
					return err
				}
				return nil
			}
		}, "is away and a Write was acknowledged"},
		{"an outage is permanent", "outage", func(w *writer, _ connectors.Host) {
			w.write = func(ctx context.Context, b []*connectors.Batch) error {
				return connectors.Permanent(w.Sink.Write(ctx, b))
			}
		}, "permanent error"},
		{"an outage is not reported", "away at start", func(w *writer, _ connectors.Host) {
			w.Sink.(*remoteSink).host = NewHost()
		}, "never: Disconnected was never reported"},
		{"Close never returns", "close", func(w *writer, _ connectors.Host) {
			w.closed = func(context.Context) error { hung(); return nil }
		}, "Close has not returned"},
		{"a goroutine stays", "close", func(w *writer, _ connectors.Host) {
			w.closed = func(context.Context) error { go hung(); return nil }
		}, "goroutines are left"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := memorySink(func(s connectors.Sink, host connectors.Host) connectors.Sink {
				w := &writer{Sink: s}
				c.seed(w, host)
				return w
			})
			h.setDefaults()
			hasty(&h.Settings, strings.HasPrefix(c.words, "never: "))
			watch(t, func(tb testing.TB) { runSinkCheck(tb, h, sinkCheckNamed(t, c.check)) }).notices(t, strings.TrimPrefix(c.words, "never: "))
		})
	}
}

func sinkCheckNamed(t *testing.T, name string) func(*sinkRun) {
	for _, c := range sinkChecks() {
		if c.name == name {
			return c.run
		}
	}
	t.Fatalf("there is no check %q", name)
	return nil
}
