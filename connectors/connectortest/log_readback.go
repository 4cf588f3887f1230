package connectortest

import (
	"errors"
	"io"

	"github.com/sluice-bridge/sluice/connectors"
)

// checkReadBack: what a sink wrote is read back up to where its log ended, and from there the next time.
func checkReadBack(r *logRun) {
	if r.place.Sink == nil || r.place.Sink(r).ReadBack == nil {
		r.Skip("nothing is read back")
	}
	first := r.place.Sink(r)
	if held := r.ranges(); len(held) > 0 {
		r.wantBack(first, held, 0, 0)
	}
	r.fill(letters(0, 0, 60, 20)...)
	held := r.ranges()
	r.fill(letters(0, 60, 40, 20)...)
	r.wantBack(first, held, 0, 60)
	r.wantBack(first, held, 60, 0)
	r.wantBack(r.place.Sink(r), r.ranges(), 60, 40)
}

func (r *logRun) ranges() []connectors.Range {
	r.Helper()
	held, err := r.log.Ranges(r.ctx)
	if err != nil {
		r.Fatalf("Ranges: %v", err)
	}
	return held
}

// wantBack reads back until the end, commits, and wants the letters from first on, in order.
func (r *logRun) wantBack(sink *connectors.SinkSpec, held []connectors.Range, first, n int) {
	r.Helper()
	spec, err := sink.ReadBack("suite-again", held)
	if err != nil {
		r.Fatalf("ReadBack: %v", err)
	}
	s, err := spec.Open(r.ctx, r.h.environment(r, NewHost()))
	if err != nil {
		r.Fatalf("Open: %v", err)
	}
	next := first
	for {
		b, err := s.Fetch(r.ctx, wideRoom())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			r.Fatalf("Fetch after %d of %d messages: %v", next-first, n, err)
		}
		for i := range b.Messages {
			if _, number, ok := parseLetter(b.Messages[i].Value); !ok || number != next {
				r.Fatalf("message %s was read back, want letter %d", show(b.Messages[i].Value), next)
			}
			next++
		}
		if err := s.Commit(r.ctx, []*connectors.Batch{b}); err != nil {
			r.Fatalf("Commit: %v", err)
		}
	}
	if next-first != n {
		r.Errorf("%d messages were read back from %d on, want %d", next-first, first, n)
	}
	if err := s.Close(r.ctx); err != nil {
		r.Errorf("Close: %v", err)
	}
}
