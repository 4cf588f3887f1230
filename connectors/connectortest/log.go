package connectortest

import (
	"context"
	"fmt"
	"testing"

	"go.uber.org/goleak"

	"github.com/sluice-bridge/sluice/connectors"
)

// LogHarness tells the suite how to open the log of an end and how to fill it.
type LogHarness struct {
	// New prepares a place that is empty and that no other check uses; t.Cleanup takes it down.
	New func(t testing.TB) Logged
	Settings
}

// Logged is one place that a log reads.
type Logged struct {
	Log func(context.Context, connectors.Env) (connectors.Log, error)
	// Partition is what the suite fills, Empty another one that stays empty, as Ranges calls them.
	Partition, Empty string
	// Put stores messages at a source, as another client would. A sink's place has Sink instead, through
	// which the suite writes.
	Put  func(t testing.TB, messages ...connectors.Message)
	Sink func(t testing.TB) *connectors.SinkSpec

	// The rest is optional; checks that need what is nil are skipped.

	// Source returns the source whose log it is.
	Source func(t testing.TB) *connectors.SourceSpec
	// Remove makes messages vanish, by their positions; the others stay where they are.
	Remove func(t testing.TB, positions ...int64)
}

// Log runs the suite against the log of a source or of a sink.
func Log(t *testing.T, h LogHarness) {
	h.setDefaults()
	for _, c := range logChecks() {
		t.Run(c.name, func(t *testing.T) { runLogCheck(t, h, c.run) })
	}
}

type logCheck struct {
	name string
	run  func(*logRun)
}

func logChecks() []logCheck {
	return []logCheck{
		{"fields", checkLogFields},
		{"origin", checkLogOrigin},
		{"bounds", checkLogBounds},
		{"holes", checkLogHoles},
		{"find", checkLogFind},
		{"visit", checkLogVisit},
		{"empty", checkLogEmpty},
		{"growth", checkLogGrowth},
		{"names", checkLogNames},
		{"cancelled", checkLogCancelled},
		{"read back", checkReadBack},
	}
}

// logRun is one check under way.
type logRun struct {
	testing.TB
	h     LogHarness
	place Logged
	ctx   context.Context
	log   connectors.Log
	put   int // messages, by the suite
}

func runLogCheck(t testing.TB, h LogHarness, run func(*logRun)) {
	ctx, cancel := context.WithTimeout(t.Context(), h.Timeout)
	defer cancel()
	r := &logRun{TB: t, h: h, place: h.New(t), ctx: ctx}
	before := goleak.IgnoreCurrent()
	log, err := r.place.Log(ctx, h.environment(t, NewHost()))
	if err != nil {
		t.Fatalf("Log: %v", err)
	}
	r.log = log
	closed := false
	defer func() {
		if !closed {
			h.abandon(log)
		}
	}()
	run(r)
	closed = true
	ending, stop := context.WithTimeout(context.WithoutCancel(ctx), h.Grace)
	defer stop()
	if err := within(ending, t, h.Grace, "Close", func() error { return log.Close(ending) }); err != nil {
		t.Errorf("Close: %v", err)
	}
	if !t.Failed() {
		h.noLeak(t, before)
	}
}

// logOrigin is where the suite's messages come from at a sink.
const logOrigin = "suite:here/suite/0"

// fill stores messages.
func (r *logRun) fill(messages ...connectors.Message) {
	r.Helper()
	first := r.put
	r.put += len(messages)
	if r.place.Sink == nil {
		r.place.Put(r, messages...)
		return
	}
	b := &connectors.Batch{Partition: "suite/0", Origin: logOrigin, Next: int64(r.put)}
	for i := range messages {
		m := clone(&messages[i])
		m.Subject, m.Offset = "suite", int64(first+i)
		b.Messages = append(b.Messages, m)
	}
	s, err := r.place.Sink(r).Open(r.ctx, r.h.environment(r, NewHost()))
	if err != nil {
		r.Fatalf("Open: %v", err)
	}
	err = s.Write(r.ctx, []*connectors.Batch{b})
	for err != nil && !connectors.IsPermanent(err) && r.ctx.Err() == nil {
		pause(r.ctx)
		err = s.Write(r.ctx, []*connectors.Batch{b})
	}
	if err != nil {
		r.Fatalf("Write: %v", err)
	}
	if err := s.Close(r.ctx); err != nil {
		r.Fatalf("Close of the sink: %v", err)
	}
}

// bounds returns what the log says that the suite's partition holds.
func (r *logRun) bounds() connectors.Range { return r.rangeOf(r.place.Partition) }

func (r *logRun) rangeOf(partition string) connectors.Range {
	r.Helper()
	all, err := r.log.Ranges(r.ctx)
	if err != nil {
		r.Fatalf("Ranges: %v", err)
	}
	for _, one := range all {
		if one.Partition == partition {
			if one.First > one.End {
				r.Fatalf("Ranges: %s begins at %d and ends at %d", partition, one.First, one.End)
			}
			return one
		}
	}
	r.Fatalf("Ranges: no %q in %v", partition, all)
	panic("unreachable")
}

// read returns copies of what the log holds in [from, to).
func (r *logRun) read(partition string, from, to int64) (all []connectors.Message) {
	r.Helper()
	if err := r.log.Read(r.ctx, partition, from, to, func(m *connectors.Message) error {
		if m.Offset < from || m.Offset >= to {
			return fmt.Errorf("position %d is not in [%d, %d)", m.Offset, from, to)
		}
		if len(all) > 0 && m.Offset <= all[len(all)-1].Offset {
			return fmt.Errorf("position %d comes behind %d", m.Offset, all[len(all)-1].Offset)
		}
		all = append(all, clone(m))
		return nil
	}); err != nil {
		r.Fatalf("Read [%d, %d): %v", from, to, err)
	}
	return all
}

// whole returns all that the suite has put, which has to be all there is.
func (r *logRun) whole() []connectors.Message {
	r.Helper()
	b := r.bounds()
	all := r.read(r.place.Partition, b.First, b.End)
	if len(all) != r.put {
		r.Fatalf("%d messages were put, the log holds %d in [%d, %d)", r.put, len(all), b.First, b.End)
	}
	return all
}
