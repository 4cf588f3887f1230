package connectortest

import (
	"context"
	"errors"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
)

// ErrFault is what a fault without an error of its own returns. It is retryable.
var ErrFault = errors.New("connectortest: fault on purpose")

// Fault is what goes wrong in one call. The zero value lets the call through. Wait and Delay come
// first, then the call itself, unless Err is set and Applied is not, then the error.
type Fault struct {
	// Wait holds the call until the channel is closed or the call's context ends.
	Wait <-chan struct{}
	// Delay holds the call for so long.
	Delay time.Duration
	// Err is returned instead of the call's own result; it may be Permanent or, from Write, a
	// *BatchError that refuses some messages: the others are written.
	Err error
	// Applied lets the call happen although Err is returned: an acknowledgement that was lost.
	Applied bool
	// Written lets a Write apply its first messages and fail the rest, retryably with Err or ErrFault,
	// in a *BatchError.
	Written int
}

// hold waits as the fault says.
func (f *Fault) hold(ctx context.Context) error {
	if f.Wait != nil {
		select {
		case <-f.Wait:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if f.Delay > 0 {
		timer := time.NewTimer(f.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// call runs do under the fault.
func (f *Fault) call(ctx context.Context, do func() error) error {
	if err := f.hold(ctx); err != nil {
		return err
	}
	if f.Err != nil && !f.Applied {
		return f.Err
	}
	if err := do(); err != nil {
		return err
	}
	return f.Err
}

// SourceFaults say what goes wrong in the next call; nil functions: nothing. They are called from the
// goroutine of the call.
type SourceFaults struct {
	// Fetch's Applied is ignored: a batch that is fetched and not returned is a hole.
	Fetch func() Fault
	// Commit's Applied makes the bridge commit again what the source has been told already; a Topic's
	// sources bear that.
	Commit func(done []*connectors.Batch) Fault
}

// FaultySource wraps the sources that spec opens. Optional interfaces stay visible if the source is
// Pauser, Recycler and Lagger at once, as a Topic's is; else all are hidden.
func FaultySource(spec *connectors.SourceSpec, faults SourceFaults) *connectors.SourceSpec {
	wrapped := *spec
	wrapped.Open = func(ctx context.Context, env connectors.Env) (connectors.Source, error) {
		inner, err := spec.Open(ctx, env)
		if err != nil {
			return nil, err
		}
		s := &faultySource{inner, faults}
		if o, ok := inner.(optional); ok {
			return struct {
				*faultySource
				optional
			}{s, o}, nil
		}
		return s, nil
	}
	return &wrapped
}

type optional interface {
	connectors.Pauser
	connectors.Recycler
	connectors.Lagger
}

type faultySource struct {
	inner  connectors.Source
	faults SourceFaults
}

func (s *faultySource) Fetch(ctx context.Context, room connectors.Room) (b *connectors.Batch, err error) {
	if s.faults.Fetch == nil {
		return s.inner.Fetch(ctx, room)
	}
	f := s.faults.Fetch()
	f.Applied = false
	err = f.call(ctx, func() error {
		b, err = s.inner.Fetch(ctx, room)
		return err
	})
	return b, err
}

func (s *faultySource) Commit(ctx context.Context, done []*connectors.Batch) error {
	if s.faults.Commit == nil {
		return s.inner.Commit(ctx, done)
	}
	f := s.faults.Commit(done)
	return f.call(ctx, func() error { return s.inner.Commit(ctx, done) })
}

func (s *faultySource) Close(ctx context.Context) error { return s.inner.Close(ctx) }

// SinkFaults says what goes wrong in the next Write, from the goroutine of the lane.
type SinkFaults func(batches []*connectors.Batch) Fault

// FaultySink wraps the sinks that spec opens.
func FaultySink(spec *connectors.SinkSpec, faults SinkFaults) *connectors.SinkSpec {
	wrapped := *spec
	wrapped.Open = func(ctx context.Context, env connectors.Env) (connectors.Sink, error) {
		inner, err := spec.Open(ctx, env)
		if err != nil {
			return nil, err
		}
		return &faultySink{inner, faults}, nil
	}
	return &wrapped
}

type faultySink struct {
	inner  connectors.Sink
	faults SinkFaults
}

func (s *faultySink) Write(ctx context.Context, batches []*connectors.Batch) error {
	f := s.faults(batches)
	var partial *connectors.BatchError
	switch {
	case f.Written > 0:
		partial = cut(batches, f.Written, f.Err)
	case errors.As(f.Err, &partial) && !f.Applied:
	default:
		return f.call(ctx, func() error { return s.inner.Write(ctx, batches) })
	}
	if err := f.hold(ctx); err != nil {
		return err
	}
	if rest := without(batches, partial); len(rest) > 0 {
		if err := s.inner.Write(ctx, rest); err != nil {
			return err // of other indexes, so the caller writes all again: doubled, not lost
		}
	}
	if len(partial.Failed) == 0 {
		return nil
	}
	return partial
}

func (s *faultySink) Close(ctx context.Context) error { return s.inner.Close(ctx) }

// cut returns the error of a Write that stopped after so many messages.
func cut(batches []*connectors.Batch, written int, err error) *connectors.BatchError {
	if err == nil {
		err = ErrFault
	}
	failed := &connectors.BatchError{}
	for i := written; i < count(batches); i++ {
		failed.Failed = append(failed.Failed, connectors.Failure{Index: i, Err: err})
	}
	return failed
}

// without returns batches with only the messages that did not fail.
func without(batches []*connectors.Batch, failed *connectors.BatchError) []*connectors.Batch {
	var rest []*connectors.Batch
	index, next := 0, 0
	for _, b := range batches {
		c := *b
		c.Messages = nil
		for i := range b.Messages {
			if next < len(failed.Failed) && failed.Failed[next].Index == index {
				next++
			} else {
				c.Messages = append(c.Messages, b.Messages[i])
			}
			index++
		}
		if len(c.Messages) > 0 {
			rest = append(rest, &c)
		}
	}
	return rest
}

func count(batches []*connectors.Batch) (n int) {
	for _, b := range batches {
		n += len(b.Messages)
	}
	return n
}
